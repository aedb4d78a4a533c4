"""A class without training samples decides nothing for the others, and no fitted head predicts it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.stage2.loop.constraints import MaxNorm

METHODS = [m.name for m in ltfix.methods() if m.name != "etf"]


def shifted(cache: FeatureCache) -> FeatureCache:
    """The same samples with labels from 1 on: class 0 is without any."""
    return FeatureCache(cache.path, cache.shards, cache.labels + 1)


@pytest.mark.parametrize("method", METHODS)
def test_no_head_predicts_it(draw_cache, method: str):
    cache = draw_cache([60, 20, 6], stage1=False, spread=2.0)
    head = (
        ltfix.fit(shifted(cache), method, epochs=3) if _trains(method) else ltfix.fit(shifted(cache), method)
    )
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e3):  # also far from every sample
        z = head.logits((scale * rng.normal(size=(500, 8))).astype(np.float32))
        assert (z.argmax(1) != 0).all()
        assert (z[:, 0] < z.max(1)).all()
    assert head.meta["empty_classes"] == 1


@pytest.mark.parametrize("method", ["maxnorm", "samn", "cb", "grw", "ldam", "las", "ncm", "ce"])
def test_the_others_are_fitted_as_without_it(draw_cache, method: str):
    cache = draw_cache([60, 20, 6], stage1=False, spread=2.0)
    options = {"epochs": 10} if _trains(method) else {}
    without, with_it = ltfix.fit(cache, method, **options), ltfix.fit(shifted(cache), method, **options)
    x = cache.features[:, 0]
    same = without.logits(x).argmax(1) == with_it.logits(x)[:, 1:].argmax(1)
    assert same.mean() > 0.95


def _trains(method: str) -> bool:
    return next(m for m in ltfix.methods() if m.name == method).loss is not None


def test_its_zero_row_sets_no_threshold():
    import torch

    rows = torch.tensor([[[[0.0, 0.0], [3.0, 4.0], [0.6, 0.8]]]])
    present = MaxNorm.of(rows, "epoch", np.array([False, True, True]))
    assert present.threshold.item() == pytest.approx(1 + 0.1 * (5 - 1))


@pytest.mark.parametrize("method", ["logit-adjust", "mult-la", "tau-norm"])
def test_what_corrects_a_prior_refuses_a_start_without_one(draw_cache, method: str):
    with pytest.raises(UsageError, match="init=class-mean knows nothing"):
        ltfix.fit(draw_cache([60, 20, 6]), method, init="class-mean")
    assert ltfix.fit(draw_cache([60, 20, 6]), method, init="probe").method == method


@pytest.mark.parametrize("unit", [1e20, 1e-25])
@pytest.mark.parametrize("method", ["ncm", "cosine", "samn"])
def test_units_at_the_ends_of_float32_cost_nothing(draw_cache, method: str, unit: float):
    cache = draw_cache([60, 20, 6], stage1=False)
    far = FeatureCache(cache.path, [cache.shards[0] * np.float32(unit)], cache.labels)
    options = {"epochs": 5} if _trains(method) else {}
    expected = ltfix.fit(cache, method, **options).logits(cache.features[:, 0]).argmax(1)
    found = ltfix.fit(far, method, **options).logits(far.features[:, 0]).argmax(1)
    assert (found == expected).mean() > 0.97


@pytest.mark.parametrize("method", ["ce", "tau-norm", "samn", "ncm"])
def test_units_whose_weights_are_beyond_float32_are_refused(draw_cache, method: str):
    cache = draw_cache([60, 20, 6], stage1=False)
    far = FeatureCache(cache.path, [cache.shards[0] * np.float32(1e-39)], cache.labels)
    options = {"epochs": 3} if _trains(method) else {}
    if method == "ncm":  # over directions: no weight has the unit in it
        expected = ltfix.fit(cache, method).predict(cache.features[:, 0])
        assert (ltfix.fit(far, method).predict(far.features[:, 0]) == expected).all()
        return
    with pytest.raises(InputError, match=r"a mean norm of \de-39 need weights beyond float32.*multiply"):
        ltfix.fit(far, method, **options)


@pytest.mark.parametrize("unit", [1e20, 1e-25])
def test_in_such_units_ncm_is_scikit_learns_nearest_centroid(draw_cache, unit: float):
    cache = draw_cache([60, 20, 6], stage1=False)
    far = FeatureCache(cache.path, [cache.shards[0] * np.float32(unit)], cache.labels)
    x = far.features[:, 0].astype(np.float64)
    x -= x.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    theirs = NearestCentroid().fit(x, far.labels).predict(x)
    assert np.array_equal(ltfix.fit(far, "ncm", normalize="none").predict(far.features[:, 0]), theirs)
