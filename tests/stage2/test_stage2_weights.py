"""Per-class weights, margins and smoothing: published values, limits, empty and equal classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.methods.catalog import LOSSES

K = pytest.mark.parametrize("classes", ["k10", "k100"])
LISTS = st.lists(st.integers(0, 5000), min_size=2, max_size=20).map(np.array)


def near(found: np.ndarray, expected: Tensor, rtol: float = 2e-5) -> None:
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=rtol, atol=1e-3 * rtol)


@K
def test_published_weights_and_margins(golden64, classes: str):
    g = golden64("losses_official")
    counts = g[f"{classes}.counts"].numpy()
    near(weights.effective_number(counts, 0.9999), g[f"{classes}.drw_weights_b0.9999"], rtol=1e-4)
    near(weights.ldam_margins(counts, 0.5), g[f"{classes}.ldam.margins"])
    near(1 / weights.vs_scale(counts, 0.3), g[f"{classes}.vs_g0.3.delta"])
    near(weights.prior_shift(counts), g[f"{classes}.vs_t1.iota"])
    for tau in ("0.5", "1", "1.5"):
        near(weights.prior_shift(counts, float(tau)), g[f"{classes}.la_tau{tau}.adjust"])


@K
@pytest.mark.parametrize("shape", LOSSES["las"].values["shape"].choices)
@pytest.mark.parametrize("ends", ["0.3_0", "0.4_0.1"])
def test_published_smoothing(golden64, classes: str, shape: str, ends: str):
    g = golden64("losses_official")
    head, tail = map(float, ends.split("_"))
    found = weights.las_smoothing(g[f"{classes}.counts"].numpy(), head, tail, shape, 1.5)
    near(found, g[f"{classes}.las_{shape}_{ends}.eps"])


@settings(deadline=None)
@given(counts=LISTS, beta=st.sampled_from([0.0, 0.9, 0.9999, 0.99999999, 1.0]))
def test_effective_numbers_have_mean_one_and_fall_with_the_count(counts: np.ndarray, beta: float):
    weight = weights.effective_number(counts, beta)
    assert np.isfinite(weight).all()
    assert float(weight[counts > 0].mean() if counts.any() else weight.mean()) == pytest.approx(1)
    ordered = weight[counts.argsort()]
    assert bool((np.diff(ordered) <= 1e-9).all())


def test_limits_of_the_effective_number():
    counts = np.array([1000, 100, 10])
    np.testing.assert_allclose(weights.effective_number(counts, 0.0), np.ones(3))
    harmonic = 3 / (1 / counts).sum()
    np.testing.assert_allclose(weights.effective_number(counts, 1.0), harmonic / counts)
    near_one = weights.effective_number(counts, 1 - 1e-12)  # (1 − β)/(1 − β^n) is 0/0 in naive float64
    np.testing.assert_allclose(near_one, weights.effective_number(counts, 1.0), rtol=1e-6, atol=0)


@settings(deadline=None)
@given(counts=LISTS)
def test_empty_classes_count_as_one_sample(counts: np.ndarray):
    filled = counts.clip(min=1)
    for make in (weights.prior, weights.prior_shift, lambda n: weights.vs_scale(n, 0.3)):
        assert np.array_equal(make(counts), make(filled))
        assert np.isfinite(make(counts)).all()


@settings(deadline=None)
@given(counts=LISTS.filter(lambda counts: (counts > 0).sum() > 1))
def test_empty_classes_decide_nothing_for_the_others(counts: np.ndarray):
    present = counts > 0
    for make in (
        lambda n: weights.effective_number(n, 0.99),
        lambda n: weights.ldam_margins(n, 0.5),
        lambda n: weights.las_smoothing(n, 0.4, 0.1, "concave"),
    ):
        assert make(counts)[present] == pytest.approx(make(counts[present]))
        assert np.isfinite(make(counts)).all()
    power = weights.inverse_power(counts, 1.2)
    assert power[present] == pytest.approx(weights.inverse_power(counts[present], 1.2))


@settings(deadline=None)
@given(counts=LISTS)
def test_margins_and_scales_mark_the_rarest_class(counts: np.ndarray):
    margin, scale = weights.ldam_margins(counts, 0.5), weights.vs_scale(counts, 0.3)
    assert float(margin[counts > 0].max() if counts.any() else margin.max()) == pytest.approx(0.5)
    assert float(scale.max()) == 1
    assert int(margin.argmax()) == int(scale.argmin()) == int(counts.clip(min=1).argmin())


@pytest.mark.parametrize("shape", LOSSES["las"].values["shape"].choices)
@settings(deadline=None)
@given(counts=LISTS)
def test_smoothing_runs_from_tail_to_head(shape: str, counts: np.ndarray):
    smoothing = weights.las_smoothing(counts, 0.4, 0.1, shape)
    assert float(smoothing[counts.argmax()]) == pytest.approx(0.4)
    rarest = int(np.where(counts > 0, counts, counts.max()).argmin())
    if 0 < counts[rarest] < counts.max():
        assert float(smoothing[rarest]) == pytest.approx(0.1)
    assert bool((np.diff(smoothing[counts.argsort()]) >= -1e-9).all())


def test_inverse_power_zero_is_no_weighting():
    np.testing.assert_allclose(weights.inverse_power(np.array([7, 3]), 0.0), np.ones(2))
