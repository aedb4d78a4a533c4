"""SAMN: the published head's tensors, for the public module and for the engine's closed form."""

from __future__ import annotations

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

CASES = {"init": ("init.raw_w", "init.raw_b", "exp"), "randraw": ("rand", "rand", "exp")}
CASES["randraw_mul"] = ("rand", "rand", "mul")
LOSSES = {
    "las_concave_0.3_0.1": (
        "las",
        {"eps_head": 0.3, "eps_tail": 0.1, "shape": "concave", "power": 1.5, "las_form": "code"},
    ),
    "los_0.98": ("los", {"delta": 0.98}),
}
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
            variant="code",
            part="both",
            scale=CASES[case][2],
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
    return float((a.detach().double() - b.double()).abs().max())


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
