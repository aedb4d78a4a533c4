"""SAMN: the published head's tensors for the module and for the engine's closed form, and its invariants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix.pava import pava
from ltfix.stage2 import engine, samn
from ltfix.stage2.directions import Samn
from ltfix.stage2.losses import build_loss
from ltfix.stage2.samn import SAMNLinear
from ltfix.stage2.sgd import Sgd

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
        head.raw_weight, head.raw_bias = raw_w[None, None].clone(), raw_b[None, None].clone()
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
    assert differ(folded.bias[0, 0], g[f"{case}.eff_bias"]) < 2e-6
    if not case.endswith("mul"):
        assert differ(weight, g[f"{case}.eff_weight"]) < 2e-6
        assert differ(folded.weight[0, 0], g[f"{case}.eff_weight"]) < 2e-6


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
        weight = module.folded()[0].detach() if face == "module" else head.folded().weight[0, 0]
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


COUNTS = st.lists(st.integers(1, 200), min_size=2, max_size=12)


def trained(counts: list[int], seed: int, rate: float = 0.5, **options) -> tuple[SAMNLinear, np.ndarray]:
    """A module after 15 steps on noise, and its metric."""
    generator = torch.Generator().manual_seed(seed)
    module = SAMNLinear(5, len(counts), counts, **options)
    with torch.no_grad():
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
    sgd = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9)
    x = torch.randn(30, 5, generator=generator)
    y = torch.randint(len(counts), (30,), generator=generator)
    for _ in range(15):
        sgd.zero_grad()
        F.cross_entropy(module(x), y).backward()
        sgd.step()
    return module, np.asarray(counts)


@settings(max_examples=30, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**31), variant=st.sampled_from(samn.VARIANTS))
def test_row_norms_stay_monotone_in_the_metric(counts: list[int], seed: int, variant: str):
    module, metric = trained(counts, seed, variant=variant)
    weight, _ = module.folded()
    norms = weight.detach().norm(dim=1).double()
    rare_to_frequent = np.argsort(metric, kind="stable")
    along = norms[torch.from_numpy(rare_to_frequent.copy())]
    if variant == "paper":  # ordered frequent to rare, ties too
        along = norms[torch.from_numpy(np.argsort(-metric, kind="stable"))].flip(0)
    assert bool((along.diff() <= 1e-5 * along[:-1]).all())
    assert bool((norms > 1).all())


@settings(max_examples=20, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**31))
def test_row_norms_are_equal_inside_a_block(counts: list[int], seed: int):
    module, _ = trained(counts, seed)
    norms = module.folded()[0].detach().norm(dim=1)[module.perm]
    _, edges = pava(module.raw_weight.detach()[module.perm].numpy())
    for start, stop in itertools.pairwise(edges):
        assert torch.allclose(norms[start:stop], norms[start], rtol=1e-5)


def test_documented_values_of_the_scale():
    module = SAMNLinear(2, 2, [1.0, 2.0]).double()
    with torch.no_grad():
        module.raw_weight.copy_(torch.tensor([0.0, 1.0]))
    scales = module.scales(module.raw_weight)
    assert scales.tolist() == pytest.approx([4.232, 2.141], abs=1e-3)
    paper = SAMNLinear(2, 2, [1.0, 2.0], variant="paper")
    assert paper.scales(paper.raw_weight).tolist() == pytest.approx([3.7183, 2.0], abs=1e-3)  # 1 + e^raw


@pytest.mark.parametrize("metric", [[7, 7, 7], [4.0, 4.0]], ids=str)
def test_a_constant_metric_scales_all_rows_alike(metric: list[float]):
    module = SAMNLinear(3, len(metric), metric)
    assert module.raw_weight.tolist() == pytest.approx([1e-6] * len(metric))
    assert module.folded()[0].norm(dim=1).tolist() == pytest.approx([4.232] * len(metric), abs=1e-3)


@pytest.mark.parametrize("scale", samn.SCALES)
@pytest.mark.parametrize("variant", samn.VARIANTS)
@pytest.mark.parametrize("value", [-1000.0, -30.0, -4.0, 30.0, 1000.0])
def test_far_raw_values_stay_finite(variant: str, scale: str, value: float):
    module = SAMNLinear(3, 4, [1, 2, 3, 4], variant=variant, scale=scale)
    with torch.no_grad():
        module.raw_weight.fill_(value)
        module.raw_bias.fill_(value)
    module(torch.ones(2, 3)).sum().backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert all(torch.isfinite(t).all() for t in module.folded())


def test_gradcheck():
    torch.manual_seed(0)
    for variant in samn.VARIANTS:
        module = SAMNLinear(3, 5, [9, 1, 4, 4, 2], variant=variant).double()
        raw = torch.tensor([0.9, 0.35, 0.1, 0.7, 0.5], dtype=torch.float64)
        x = torch.randn(4, 3, dtype=torch.float64)

        def forward(weight, bias, raw_weight, raw_bias, module=module, x=x):
            own = {"weight": weight, "bias": bias, "raw_weight": raw_weight, "raw_bias": raw_bias}
            return torch.func.functional_call(module, own, (x,))

        inputs = (module.weight.detach() * 30, module.bias.detach(), raw, raw.flip(0))
        assert torch.autograd.gradcheck(forward, [t.clone().requires_grad_() for t in inputs])


def test_parts_leave_the_other_half_plain():
    linear = nn.Linear(3, 4)
    weight_only = SAMNLinear.from_linear(linear, [4, 3, 2, 1], part="weight")
    assert torch.equal(weight_only.folded()[1], linear.bias)
    assert not torch.equal(weight_only.folded()[0], linear.weight)
    bias_only = SAMNLinear.from_linear(linear, [4, 3, 2, 1], part="bias")
    assert torch.equal(bias_only.folded()[0], linear.weight)
    assert bool((bias_only.folded()[1] > linear.bias + 2).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_linear_and_back(dtype: torch.dtype):
    linear = nn.Linear(3, 4, bias=False).to(dtype)
    module = SAMNLinear.from_linear(linear, [4, 0, 2, 1])
    assert torch.equal(module.weight, linear.weight)
    assert module.bias.tolist() == [0] * 4
    x = torch.randn(2, 5, 3, dtype=dtype)
    torch.testing.assert_close(module.to_linear()(x), module(x))
    assert module(x).shape == (2, 5, 4)
    by_norm = SAMNLinear.from_linear(linear, metric="norm")
    assert torch.equal(by_norm.perm, linear.weight.norm(dim=1).argsort())


def test_state_dict_carries_everything_to_another_module():
    a, b = SAMNLinear(3, 4, [4, 3, 2, 1]), SAMNLinear(3, 4, [1, 1, 1, 1])
    b.load_state_dict(a.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(a(x), b(x))
    assert set(dict(a.named_parameters())) == {"weight", "bias", "raw_weight", "raw_bias"}


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2],), {}, "3 positive numbers"),
        (([1, 2, 0],), {}, "positive"),
        (([1, 2, float("nan")],), {}, "positive"),
        (([1, 2, 3],), {"variant": "papers"}, "code, paper"),
        (([1, 2, 3],), {"part": "all"}, "both, weight, bias"),
        (([1, 2, 3],), {"scale": "log"}, "exp, mul"),
    ],
)
def test_wrong_arguments(arguments, options, message: str):
    with pytest.raises(ValueError, match=message):
        SAMNLinear(5, 3, *arguments, **options)


def test_wrong_arguments_of_from_linear():
    linear = nn.Linear(5, 3)
    with pytest.raises(ValueError, match="freq or norm"):
        SAMNLinear.from_linear(linear, [1, 2, 3], metric="count")
    with pytest.raises(ValueError, match="class_counts are needed"):
        SAMNLinear.from_linear(linear)
    with pytest.raises(ValueError, match="3 positive"):
        SAMNLinear.from_linear(linear, [1, 2])


def test_repr_says_what_it_is():
    assert "variant=code, part=both, scale=exp" in repr(SAMNLinear(5, 3, [1, 2, 3]))
