"""SAMN: the published head's tensors, for the public module and for the engine's closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.stage2.layers import samn
from ltfix.stage2.layers.rows import Samn
from ltfix.stage2.layers.samn import SAMNLinear
from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.loop import engine
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.catalog import HEADS

CASES = {"init": ("init.raw_w", "init.raw_b", "exp"), "randraw": ("rand", "rand", "exp")}
CASES["randraw_mul"] = ("rand", "rand", "mul")
LOSSES = {
    "las_concave_0.3_0.1": (
        "las",
        {"eps_head": 0.3, "eps_tail": 0.1, "shape": "concave", "power": 1.5, "las_form": "code"},
    ),
    "los_0.98": ("los", {"delta": 0.98}),
}
DEFAULTS = {name: value.default for name, value in HEADS["samn"].values.items()}
GRADS = ("grad_weight", "grad_bias", "grad_raw_w", "grad_raw_b")
RATES = ("0.0005", "0.05")

every_head = pytest.mark.parametrize("face", ["module", "closed form"])
every_case = pytest.mark.parametrize("case", CASES)
every_metric = pytest.mark.parametrize("metric", ["freq", "norm"])
every_k = pytest.mark.parametrize("k", ["k10", "k100"])


class Golden:
    """The golden tensors of one K and metric, in one dtype."""

    def __init__(self, tensors: dict[str, Tensor], k: str, metric: str, dtype=torch.float64) -> None:
        self.tensors, self.k, self.prefix, self.dtype = tensors, k, f"{k}.{metric}.", dtype
        self.metric = tensors[f"{k}.counts" if metric == "freq" else f"{k}.stage1_norm"].double().numpy()
        self.n_classes = len(self.metric)

    def __getitem__(self, name: str) -> Tensor:
        key = self.prefix + name if self.prefix + name in self.tensors else f"{self.k}.{name}"
        value = self.tensors[key]
        return value.to(self.dtype) if value.is_floating_point() else value

    def raw(self, case: str) -> tuple[Tensor, Tensor]:
        w, b, _ = CASES[case]
        return (self["rand_raw_w"], self["rand_raw_b"]) if w == "rand" else (self[w], self[b])

    def module(self, case: str) -> SAMNLinear:
        """The public module at the golden parameters."""
        module = SAMNLinear(64, self.n_classes, self.metric, scale=CASES[case][2]).to(self.dtype)
        raw_w, raw_b = self.raw(case)
        with torch.no_grad():
            for own, value in zip(module.parameters(), (self["W0"], self["b0"], raw_w, raw_b), strict=True):
                own.copy_(value)
        return module

    def head(self, case: str) -> Samn:
        """The engine's head at the golden parameters."""
        head = Samn(
            self["W0"][None, None],
            self["b0"][None, None],
            self.metric[None, None],
            {**DEFAULTS, "scale": CASES[case][2]},
        )
        raw_w, raw_b = self.raw(case)
        head.raw_weight.copy_(raw_w)
        head.raw_bias.copy_(raw_b)
        return head

    def batch(self, step: int = 0) -> tuple[Tensor, Tensor]:
        rows = slice(64 * (step % 4), 64 * (step % 4) + 64)
        return self["X"][rows], self["y"][rows]


@pytest.fixture
def at(golden64):
    return lambda k, metric, dtype=torch.float64: Golden(golden64("samn_official"), k, metric, dtype)


def parameters(head: Samn) -> list[Tensor]:
    return [t[0, 0].clone() for t in (head.rows.weight, head.bias, head.raw_weight, head.raw_bias)]


def loss_and_gradients(g: Golden, face: str, case: str, loss: str = "ce", **values) -> tuple[Tensor, list]:
    """Logits, mean loss and the gradients of weight, bias, raw_weight, raw_bias on the first batch.

    The engine keeps no gradients: one step of rate 1 without momentum moves by them.
    """
    x, y = g.batch()
    law = build_loss(loss, g["counts"], [values], dtype=g.dtype)
    if face == "module":
        module = g.module(case)
        z = module(x)
        value = law.value(z[:, None], y)[0]
        return z.detach(), value.detach(), list(torch.autograd.grad(value, list(module.parameters())))
    head = g.head(case)
    before = parameters(head)
    z = head.logits(x[None])[0, :, 0].clone()
    value = law.value(z[:, None], y)[0]
    engine.step(head, law, x[None], y[None], Sgd(1.0, 0.0))
    return z, value, [a - b for a, b in zip(before, parameters(head), strict=True)]


def differ(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).detach().abs().max())


@every_k
@every_metric
def test_where_it_starts(at, k: str, metric: str):
    g = at(k, metric)
    raw, perm = samn.initial_raw(g.metric), samn.order(g.metric)
    module = SAMNLinear(64, g.n_classes, g.metric)
    for name, own in (("init.raw_w", module.raw_weight), ("init.raw_b", module.raw_bias)):
        assert differ(torch.from_numpy(raw), g[name]) < 1e-6
        assert differ(own.detach(), g[name]) < 1e-6
    assert torch.equal(torch.from_numpy(perm), g["perm"])
    assert torch.equal(module.perm, g["perm"])
    assert torch.equal(module.perm.argsort(), g["inv_perm"])


@every_k
@every_metric
@every_case
def test_scales_temperatures_and_the_folded_layer(at, k: str, metric: str, case: str):
    g = at(k, metric)
    module = g.module(case)
    weight, bias = module.folded()
    rho_w, rho_b = module.scales(module.raw_weight), module.scales(module.raw_bias)
    assert differ(rho_w, g[f"{case}.row_scale"]) < 2e-6
    s_w, s_b = (rho_w, rho_b) if case.endswith("mul") else (rho_w.log(), rho_b.log())
    assert differ(s_w, g[f"{case}.scaling_w"]) < 1e-6
    assert differ(s_b, g[f"{case}.scaling_b"]) < 1e-6
    assert differ(1 / s_w - samn.EPS, g[f"{case}.temps_w"]) < 1e-6
    assert differ(bias, g[f"{case}.eff_bias"]) < 2e-6
    folded = g.head(case).folded()
    assert differ(folded["bias"][0, 0], g[f"{case}.eff_bias"]) < 2e-6
    if not case.endswith("mul"):
        assert differ(weight, g[f"{case}.eff_weight"]) < 2e-6
        assert differ(folded["weight"][0, 0], g[f"{case}.eff_weight"]) < 2e-6


@every_head
@every_k
@every_metric
@every_case
def test_logits_loss_and_gradients(at, face: str, k: str, metric: str, case: str):
    g = at(k, metric)
    z, loss, gradients = loss_and_gradients(g, face, case)
    assert differ(z, g[f"{case}.logits"]) < 1e-5
    assert differ(loss, g[f"{case}.loss"]) < 1e-5
    for name, gradient in zip(GRADS, gradients, strict=True):
        assert differ(gradient, g[f"{case}.{name}"]) < 5e-6, name


@every_head
@every_k
@every_metric
@pytest.mark.parametrize("loss", LOSSES)
def test_smoothed_labels_on_top(at, face: str, k: str, metric: str, loss: str):
    g = at(k, metric)
    name, values = LOSSES[loss]
    _, value, (_, *gradients) = loss_and_gradients(g, face, "init", name, **values)
    assert differ(value, g[f"init.{loss}.loss"]) < 1e-5
    for key, gradient in zip(GRADS[1:], gradients, strict=True):
        assert differ(gradient, g[f"init.{loss}.{key}"]) < 1e-5, key


def trajectory(g: Golden, face: str, rate: float) -> tuple[list[float], list[list[Tensor]], list[Tensor]]:
    """40 steps of SGD with momentum 0.9: losses before each step, parameters and folded weight after each."""
    losses, states, folded = [], [], []
    if face == "module":
        module = g.module("init")
        sgd = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9)
    else:
        head = g.head("init")
        law = build_loss("ce", g["counts"], [{}], dtype=g.dtype)

    def record() -> None:
        own = [p.detach().clone() for p in module.parameters()] if face == "module" else parameters(head)
        states.append(own)
        weight = module.folded()[0].detach() if face == "module" else head.folded()["weight"][0, 0]
        folded.append(weight.clone())

    record()
    for step in range(40):
        x, y = g.batch(step)
        if face == "module":
            sgd.zero_grad()
            loss = F.cross_entropy(module(x), y)
            loss.backward()
            losses.append(loss.item())
            sgd.step()
        else:
            losses.append(law.value(head.logits(x[None]), y[None]).item())
            engine.step(head, law, x[None], y[None], Sgd(rate, 0.9))
        record()
    return losses, states, folded


@every_head
@every_k
@every_metric
@pytest.mark.parametrize("rate", RATES)
def test_forty_steps_in_float64(at, face: str, k: str, metric: str, rate: str):
    g = at(k, metric)
    losses, states, _ = trajectory(g, face, float(rate))
    assert differ(torch.tensor(losses, dtype=torch.float64), g[f"traj_lr{rate}.f64.loss"]) < 1e-11
    final = dict(zip(("weight", "bias", "raw_w", "raw_b"), states[-1], strict=True))
    for name in ("raw_w", "raw_b", "bias"):
        assert differ(final[name], g[f"traj_lr{rate}.f64.final_{name}"]) < 1e-12, name


@every_head
@every_k
@every_metric
@pytest.mark.parametrize("rate", RATES)
def test_forty_steps_in_float32(at, face: str, k: str, metric: str, rate: str):
    g = at(k, metric, torch.float32)
    losses, states, folded = trajectory(g, face, float(rate))
    weight, bias, raw_w, raw_b = (torch.stack(t) for t in zip(*states, strict=True))
    key = f"traj_lr{rate}.f32."
    assert differ(torch.tensor(losses), g[f"{key}loss"]) < 1e-5
    for name, found in (("raw_w", raw_w), ("raw_b", raw_b), ("bias", bias)):
        assert differ(found, g[key + name]) < 2e-6, name
    assert differ(torch.stack(folded).norm(dim=-1), g[f"{key}eff_norm"]) < 1e-5
    assert differ(weight[-1], g[f"{key}final_weight"]) < 5e-6


def literal(metric: Tensor, projection: str, start: str, variant: str) -> tuple[Tensor, Callable]:
    """Where raw starts and the row scale of raw, as the formulas read, without PAVA."""
    order = torch.argsort(-metric if variant == "paper" else metric, stable=True)
    if start == "inverse":  # S = softplus(1/a)
        s = torch.log1p(torch.exp(1 / metric))
        raw = 1 / metric if variant == "paper" else torch.log(torch.expm1(1 / s - 2e-6))
    else:
        raw = (metric - metric.min()) / (metric.max() - metric.min())
        raw = 1 - raw if variant == "paper" else raw + 1e-6
    if projection == "recursive":
        steps = raw[order].diff().sqrt()
        raw = torch.empty_like(raw).index_put((order,), torch.cat([raw[order][:1], steps]))

    def scale(raw: Tensor) -> Tensor:
        p = [raw[order[0]]]
        for k in order[1:]:
            p.append(p[-1] + raw[k] ** 2 if projection == "recursive" else raw[k])
        s = torch.log1p(torch.exp(torch.stack(p)))
        s = s if variant == "paper" else 1 / (s + 2e-6)
        return torch.empty_like(raw).index_put((order,), s.exp())

    return raw, scale


@every_head
@pytest.mark.parametrize("variant", ["code", "paper"])
@pytest.mark.parametrize(
    ("projection", "start"), [("none", "minmax"), ("recursive", "minmax"), ("none", "inverse")]
)
def test_what_stands_in_for_pava_is_the_literal_formula(
    at, face: str, projection: str, start: str, variant: str
):
    g = at("k10", "norm")
    form = {**DEFAULTS, "projection": projection, "start": start, "variant": variant}
    raw, scale = literal(torch.from_numpy(g.metric), projection, start, variant)
    mine = [t.clone().requires_grad_() for t in (g["W0"], g["b0"], raw, raw)]
    sgd = torch.optim.SGD(mine, lr=0.05, momentum=0.9)
    head = Samn(g["W0"][None, None], g["b0"][None, None], g.metric[None, None], form)
    module = SAMNLinear(64, 10, g.metric, **{k: v for k, v in form.items() if k != "metric"}).double()
    with torch.no_grad():
        for own, value in zip(module.parameters(), mine, strict=True):
            own.copy_(value)
    theirs = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    law = build_loss("ce", g["counts"], [{}], dtype=torch.float64)
    assert differ(module._initial_raw(g.metric), raw) < 1e-12
    for step in range(40):
        x, y = g.batch(step)
        w, b, raw_w, raw_b = mine
        z = x @ (scale(raw_w)[:, None] * w / w.norm(dim=1, keepdim=True)).T + b + scale(raw_b)
        sgd.zero_grad()
        F.cross_entropy(z, y).backward()
        if face == "module":
            found = module(x)
            theirs.zero_grad()
            F.cross_entropy(found, y).backward()
            theirs.step()
        else:
            found = head.logits(x[None])[0, :, 0].clone()
            engine.step(head, law, x[None], y[None], Sgd(0.05, 0.9))
        assert differ(found, z) < 1e-10
        sgd.step()
    found = parameters(head) if face == "closed form" else list(module.parameters())
    for own, expected in zip(found, mine, strict=True):
        assert differ(own, expected) < 1e-11


@pytest.mark.parametrize("projection", ["pava", "none", "recursive"])
def test_a_run_that_diverges_leaves_the_others_alone(projection: str):
    metric = np.broadcast_to(np.array([3.0, 1.0, 2.0]), (1, 2, 3))
    head = Samn(torch.ones(1, 2, 3, 4), torch.zeros(1, 2, 3), metric, {**DEFAULTS, "projection": projection})
    before = head.folded()["bias"][0, 1].clone()
    head.raw_bias[0, 0, 1] = float("inf")
    after = head.folded()["bias"][0]
    assert bool(after[0].isnan().all())
    assert torch.equal(after[1], before)
