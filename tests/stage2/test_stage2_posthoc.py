"""Post-hoc steps: against values that the published implementations gave."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltfix.heads.head import Head
from ltfix.stage2.fitting import posthoc
from ltfix.stage2.losses.weights import prior_shift

Golden = Callable[[str], dict[str, np.ndarray]]
rows = hnp.arrays(np.float32, (4, 3), elements=st.floats(-9, 9, width=32))


def corrected(step: str, weight: np.ndarray, bias: np.ndarray, counts=None, /, **values: object):
    """Weight and bias after a step of the method table."""
    data = SimpleNamespace(counts=counts)
    found = getattr(posthoc, step)(Head(weight, bias), values, data, None)
    return found.weight, found.bias


@pytest.fixture
def heads(golden: Golden) -> dict[str, np.ndarray]:
    return golden("heads_official")


@pytest.mark.parametrize("tau", ["0", "0.5", "0.7", "1", "1.9"])
def test_tau_norm_drops_the_bias(heads: dict[str, np.ndarray], tau: str) -> None:
    weight, bias = corrected("tau_norm", heads["W"], heads["b"], tau=float(tau), bias="drop")
    np.testing.assert_allclose(weight, heads[f"tau{tau}.weight"], rtol=0, atol=1e-5)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads[f"tau{tau}.logits_nobias"], rtol=0, atol=2e-5)
    assert not bias.any()


def test_tau_norm_keeps_the_bias(heads: dict[str, np.ndarray]) -> None:
    weight, bias = corrected("tau_norm", heads["W"], heads["b"], tau=1.9, bias="keep")
    np.testing.assert_allclose(weight, heads["ltwb_tau1.9.weight"], rtol=0, atol=1e-5)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads["ltwb_tau1.9.logits_withbias"], rtol=0, atol=2e-5)


@given(rows, st.floats(0, 20))
def test_tau_norm_of_any_rows(weight: np.ndarray, tau: float) -> None:
    """Directions stay, norms become ‖w‖^(1−τ), a zero row stays zero, and nothing overflows quietly."""
    weight[np.linalg.norm(weight, axis=1) < 1e-2] = 0
    scaled, _ = corrected("tau_norm", weight, np.zeros(4, np.float32), tau=tau, bias="drop")
    assert scaled.dtype == np.float32
    norm = np.linalg.norm(weight.astype(np.float64), axis=1)
    expected = np.where(norm > 0, np.maximum(norm, 1e-12) ** (1 - tau), 0)
    np.testing.assert_allclose(
        np.linalg.norm(scaled.astype(np.float64), axis=1), expected, rtol=1e-5, atol=1e-30
    )


def test_additive_adjustment(heads: dict[str, np.ndarray]) -> None:
    weight, bias = corrected("logit_adjust", heads["W"], heads["b"], heads["counts"], tau=1.0)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads["ewb_add_tau1.logits"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["code", "ewb", "kim"])
def test_multiplicative_adjustment_is_the_literal_one(heads: dict[str, np.ndarray], form: str) -> None:
    """As sources write it; ``code`` and ``kim`` but for one factor, which no prediction sees."""
    w, b, counts = (heads[name].astype(np.float64) for name in ("W", "b", "counts"))
    factor, x = (counts / counts.sum()) ** -0.65, heads["test_X"].astype(np.float64)
    unit = x @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    expected = {"code": (x @ w.T + b) * factor, "ewb": unit * factor + b, "kim": unit * factor}[form]
    weight, bias = corrected("multiply_prior", w, b, counts, tau=0.65, form=form)
    logits = x @ weight.T + bias
    common = 1.0 if form == "ewb" else (counts.sum() / counts.max()) ** 0.65
    np.testing.assert_allclose(logits * common, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("tau", ["0.5", "1", "1.5"])
def test_posthoc_logit_adjustment(golden: Golden, k: int, tau: str) -> None:
    """The published code takes log(π^τ + 1e-12); the floor moves nothing at these counts."""
    values = golden("losses_official")
    counts, logits = values[f"k{k}.counts"], values[f"k{k}.logits"]
    _, bias = corrected("logit_adjust", np.zeros((k, 1)), np.zeros(k), counts, tau=float(tau))
    adjust = values[f"k{k}.la_tau{tau}.adjust"]
    assert np.abs(-bias - adjust).max() / np.abs(adjust).max() < 2e-5
    expected = values[f"k{k}.la_posthoc_tau{tau}.logits"]
    assert np.abs(logits + bias - expected).max() / np.abs(expected).max() < 2e-5


def test_an_empty_class_counts_as_one_sample() -> None:
    prior = prior_shift(np.array([0, 1, 6]))
    assert prior.dtype == np.float64
    np.testing.assert_allclose(np.exp(prior), [1 / 8, 1 / 8, 6 / 8])


@given(hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(0, 10**6)), st.floats(-3, 3))
def test_adjustment_moves_only_the_bias(counts: np.ndarray, tau: float) -> None:
    k = len(counts)
    weight, bias = np.ones((k, 2)), np.arange(k, dtype=float)
    same, moved = corrected("logit_adjust", weight, bias, counts, tau=tau)
    assert same is weight
    assert np.isfinite(moved).all()
    order = np.argsort(-counts, kind="stable")
    assert (np.diff((moved - bias)[order]) * np.sign(tau) >= -1e-12).all()
