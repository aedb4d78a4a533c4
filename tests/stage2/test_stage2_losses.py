"""Losses: the published values, closed-form gradients against autograd, extreme logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.focal import SigmoidFocal, SoftmaxFocal
from ltfix.stage2.losses.loss import Loss, build_loss
from ltfix.stage2.methods.catalog import LOSSES

Make = Callable[[Tensor], Loss]


def built(name: str, **values: object) -> Make:
    return lambda counts: build_loss(name, counts, [values], dtype=torch.float64)


def cb(counts: Tensor, beta: float) -> Tensor:
    return torch.from_numpy(weights.effective_number(counts.numpy(), beta))[None]


def ldam(s: float, drw_from: float = 1.0) -> Make:
    def make(counts: Tensor) -> Loss:
        loss = built("ldam", ldam_s=s, max_margin=0.5, beta=0.9999, drw_from=drw_from)(counts)
        if drw_from < 1:
            loss.start_epoch(1, 2)
        return loss

    return make


ONE = torch.ones(1, dtype=torch.float64)


def published() -> dict[str, Make]:
    """Every loss of the golden file, by its name there."""
    found: dict[str, Make] = {
        "ce_check": built("ce"),
        "ldam_s30_m0.5": ldam(30),
        "ldam_prescaled_s25": ldam(25),
        "ldam_drw_s30_m0.5": ldam(30, drw_from=0.5),
        "focal_softmax_g1": built("focal", definition="softmax", gamma=1),
        "focal_softmax_g2": built("focal", definition="softmax", gamma=2),
        "focal_softmax_g1_cbweight": lambda counts: SoftmaxFocal(ONE, cb(counts, 0.9999)),
        "cb_code_focal_g0.5_b0.9999": built("cb", form="focal", gamma=0.5, beta=0.9999),
        "cb_ce_weightedmean_b0.9999": built("cb", form="softmax", mean="weighted", beta=0.9999),
        "balanced_softmax": built("balanced-softmax"),
        "lift_la_tau1": built("logit-adjusted", tau=1.0),
        "lade": built("lade", lade_weight=0.1),
    }
    for b in (0.9, 0.999, 0.9999):
        found[f"cb_code_softmaxbce_b{b}"] = built("cb", form="bce", beta=b)
        found[f"cb_code_focal_g2_b{b}"] = built("cb", form="focal", gamma=2, beta=b)
    for b in (0.9999, 1):
        found[f"ewb_cb_softmax_b{b}"] = built("cb", form="softmax", mean="plain", beta=b)
        found[f"ewb_cb_focal_b{b}"] = built("cb", form="focal", gamma=2, beta=b)
        found[f"ewb_cb_sigmoid_b{b}"] = lambda counts, b=b: SigmoidFocal(0 * ONE, cb(counts, b) / len(counts))
    for shape in LOSSES["las"].values["shape"].choices:
        for head, tail in ((0.3, 0), (0.4, 0.1)):
            found[f"las_{shape}_{head}_{tail}"] = built(
                "las", eps_head=head, eps_tail=tail, shape=shape, power=1.5, las_form="code"
            )
    found |= {f"los_d{d}": built("los", delta=d) for d in (0.1, 0.98, 0.99)}
    found |= {f"la_loss_tau{t}": built("logit-adjusted", tau=t) for t in (0.5, 1, 1.5)}
    found |= {f"grw_rho{r}": built("grw", rho=r) for r in (1, 1.2)}
    found |= {
        f"vs_g{g}_t{t}": built("vs", gamma=g, tau=t) for g, t in ((0.3, 1), (0.2, 1.2), (0.3, 0), (0, 1))
    }
    return found


PUBLISHED = published()


def relative(a: Tensor, b: Tensor) -> float:
    """The measure of the golden README."""
    return float((a.double() - b).abs().max() / b.abs().max().clamp(min=1e-3))


@pytest.mark.parametrize("classes", ["k10", "k100"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_value_and_gradient(golden64, classes: str, name: str):
    g = golden64("losses_official")
    logits = g[f"{classes}.cos_logits" if name.startswith("ldam") else f"{classes}.logits"]
    y, loss = g[f"{classes}.labels"], PUBLISHED[name](g[f"{classes}.counts"])
    z = logits[:, None]
    assert relative(loss.value(z, y), g[f"{classes}.{name}.loss"]) < 2e-5
    assert relative(loss.grad_(z.clone(), y)[:, 0] / len(y), g[f"{classes}.{name}.grad"]) < 2e-5


def test_no_entry_of_the_golden_file_is_left_out(golden64):
    g = golden64("losses_official")
    names = {key.removeprefix("k10.").removesuffix(".loss") for key in g if key.endswith(".loss")}
    assert {name for name in names if not name.startswith("k100.")} == set(PUBLISHED) | {"ce"}
    assert g["k10.ce.loss"] == g["k10.ce_check.loss"]  # ce has its gradient there


COUNTS = torch.tensor([50, 20, 20, 7, 1, 3])
PAIRS: dict[str, list[dict[str, object]]] = {
    "ce": [{}, {}],
    "los": [{"delta": 0.98}, {"delta": 0.1}],
    "las": [
        {"eps_head": h, "eps_tail": t, "shape": "concave", "power": 1.5, "las_form": "code"}
        for h, t in ((0.4, 0.1), (0.3, 0.0))
    ],
    "balanced-softmax": [{}, {}],
    "logit-adjusted": [{"tau": 1.0}, {"tau": 1.5}],
    "vs": [{"gamma": 0.2, "tau": 1.2}, {"gamma": 0.3, "tau": 0.0}],
    "margin-linear": [{"max_margin": 0.5, "margin_power": 0.25}, {"max_margin": 3.0, "margin_power": 1.0}],
    "ldam": [
        {"ldam_s": s, "max_margin": m, "beta": 0.9999, "drw_from": 1.0} for s, m in ((30, 0.5), (4, 1.0))
    ],
    "focal": [{"definition": "softmax", "gamma": 2.0}, {"definition": "softmax", "gamma": 0.5}],
    "cb": [{"form": "softmax", "mean": "weighted", "beta": b} for b in (0.999, 1.0)],
    "grw": [{"rho": 1.2}, {"rho": 0.5}],
    "lade": [{"lade_weight": 0.1}, {"lade_weight": 1.0}],
}
VARIANTS = {
    "las paper": ("las", [{**v, "las_form": "paper"} for v in PAIRS["las"]]),
    "focal sigmoid": ("focal", [{"definition": "sigmoid", "gamma": g} for g in (2.0, 0.5)]),
    "cb plain": ("cb", [{"form": "softmax", "mean": "plain", "beta": b} for b in (0.999, 1.0)]),
    "cb bce": ("cb", [{"form": "bce", "beta": b} for b in (0.999, 0.9)]),
    "cb sigmoid": ("cb", [{"form": "sigmoid", "beta": b} for b in (0.999, 0.9)]),
    "cb focal": ("cb", [{"form": "focal", "gamma": g, "beta": 0.999} for g in (2.0, 1.0)]),
}
CASES = {**{name: (name, values) for name, values in PAIRS.items()}, **VARIANTS}


def test_margins_on_plain_logits_are_the_literal_formula():
    """z_y − C/n_y^γ, C such that the rarest class has the largest margin; no scale."""
    z, n, y = torch.randn(7, 6, dtype=torch.float64), COUNTS.double(), torch.tensor([0, 1, 2, 3, 4, 5, 4])
    moved = z.clone()
    for i, k in enumerate(y):
        moved[i, k] -= 3.0 * n.min() ** 0.5 / n[k] ** 0.5
    loss = built("margin-linear", max_margin=3.0, margin_power=0.5)(COUNTS)
    assert loss.value(z[:, None], y)[0] == pytest.approx(float(F.cross_entropy(moved, y)), rel=1e-12)


def test_every_loss_of_the_table_is_tried():
    assert set(PAIRS) == set(LOSSES)


def batch(seed: int, n_classes: int, spread: float) -> tuple[Tensor, Tensor]:
    """z [S=3, B=5, M=2, K] and y [3, 5]."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, 5, 2, n_classes, dtype=torch.float64, generator=generator) * spread
    return z, torch.randint(n_classes, (3, 5), generator=generator)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), n_classes=st.sampled_from([2, 6]), spread=st.sampled_from([0.1, 1.0, 5.0]))
def test_grad_is_the_gradient_of_value(case: str, seed: int, n_classes: int, spread: float):
    name, values = CASES[case]
    loss = build_loss(name, COUNTS[:n_classes], values, dtype=torch.float64)
    z, y = batch(seed, n_classes, spread)
    z.requires_grad_()
    value = loss.value(z, y)
    assert value.shape == (3, 2)
    (expected,) = torch.autograd.grad(value.sum(), z)
    found = loss.grad_(z.detach().clone(), y) / y.shape[1]
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-12)  # 1 − q cancels where q nears 1


@pytest.mark.parametrize("case", CASES)
def test_settings_and_seeds_do_not_touch_each_other(case: str):
    name, values = CASES[case]
    z, y = batch(0, 6, 2.0)
    together = build_loss(name, COUNTS, values, dtype=torch.float64)
    value, grad = together.value(z, y), together.grad_(z.clone(), y)
    for m in range(2):
        alone = build_loss(name, COUNTS, values[m : m + 1], dtype=torch.float64)
        for s in range(3):
            one = z[s, :, m : m + 1]
            torch.testing.assert_close(alone.value(one, y[s])[0], value[s, m])
            torch.testing.assert_close(alone.grad_(one.clone(), y[s])[:, 0], grad[s, :, m])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(case: str, dtype: torch.dtype):
    name, values = CASES[case]
    loss = build_loss(name, COUNTS, values, dtype=dtype)
    z = torch.full((1, 6, 2, 6), -100.0, dtype=dtype)
    z[0, torch.arange(6), :, torch.arange(6)] = 100.0
    for shift in range(6):  # shift 0: every sample certain and right; else certain and wrong
        y = (torch.arange(6) + shift)[None] % 6
        assert torch.isfinite(loss.value(z, y)).all()
        assert torch.isfinite(loss.grad_(z.clone(), y)).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("counts", [[5, 5, 5], [9, 0, 4], [1, 1, 0]], ids=str)
def test_equal_and_empty_counts_are_no_special_case(case: str, counts: list[int]):
    name, values = CASES[case]
    loss = build_loss(name, torch.tensor(counts), values)
    z, y = batch(1, 3, 1.0)
    assert torch.isfinite(loss.value(z.float(), y)).all()
    assert torch.isfinite(loss.grad_(z.float(), y)).all()


def test_balanced_softmax_is_logit_adjustment_of_strength_one():
    z, y = batch(2, 6, 1.0)
    values = [{"tau": 1.0}, {"tau": 1.0}]
    a, b = (
        build_loss(n, COUNTS, values, dtype=torch.float64) for n in ("balanced-softmax", "logit-adjusted")
    )
    torch.testing.assert_close(a.value(z, y), b.value(z, y))
    torch.testing.assert_close(a.grad_(z.clone(), y), b.grad_(z.clone(), y))


def test_los_targets_are_label_smoothing_of_the_framework():
    z, y = batch(3, 6, 1.0)
    loss = build_loss("los", COUNTS, [{"delta": 0.98}] * 2, dtype=torch.float64)
    for s in range(3):
        for m in range(2):
            expected = torch.nn.functional.cross_entropy(z[s, :, m], y[s], label_smoothing=0.98)
            torch.testing.assert_close(loss.value(z, y)[s, m], expected)
