"""ltfix.evaluation.temperature against scipy's optimisers, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from caches import write_cache
from evaluation_samples import COUNTS, noisy
from scipy.optimize import minimize
from scipy.special import log_softmax

from ltfix.errors import InputError, UsageError
from ltfix.evaluation import likelihood
from ltfix.evaluation import temperature as module
from ltfix.evaluation.scores import predictions
from ltfix.evaluation.shots import group
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Every class alike, literally: the mean over classes of the mean over samples."""
    p = log_softmax(logits.astype(np.float64), axis=1)
    return -float(np.mean([p[labels == k, k].mean() for k in np.unique(labels)]))


@pytest.fixture
def sample() -> tuple[FeatureCache, Head]:
    """Seven classes of all shots and unequal numbers of samples, a head that is far too sure."""
    cache, head = noisy(n=700, counts=COUNTS)
    keep = np.random.default_rng(3).random(cache.n) < 1 / (1 + cache.labels)
    cache = FeatureCache(cache.path, [cache.features[keep]], cache.labels[keep])
    return cache, dataclasses.replace(head, weight=head.weight * 3)


def best(cache: FeatureCache, head: Head, of: np.ndarray) -> np.ndarray:
    """[G] temperatures by Nelder and Mead, on logarithms."""
    z = head.mean_logits(cache.features)
    start = np.zeros(of.max() + 1)
    options = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000}
    found = minimize(
        lambda t: nll(z / np.exp(t[of]), cache.labels), start, method="Nelder-Mead", options=options
    )
    return np.exp(found.x)


@pytest.mark.parametrize("factor", [0.01, 1.0, 20.0])
def test_one_temperature_is_the_one_of_least_likelihood(sample: tuple[FeatureCache, Head], factor: float):
    cache, head = sample
    head = dataclasses.replace(head, weight=head.weight * factor, bias=head.bias * factor)
    found = module.calibrate(head, cache)
    assert found.temperature == pytest.approx(np.full(7, best(cache, head, np.zeros(7, int))[0]), rel=1e-4)
    np.testing.assert_array_equal(predictions(found, cache), predictions(head, cache))
    record = found.meta["calibration"]
    for when, which in (("before", head), ("after", found)):
        assert record[when]["nll"] == pytest.approx(
            nll(which.mean_logits(cache.features), cache.labels), rel=1e-4
        )
    assert record["after"]["nll"] < record["before"]["nll"]
    present = np.bincount(cache.labels)
    effective = np.count_nonzero(present) ** 2 / (1 / present[present > 0]).sum()
    assert record["n_effective"] == pytest.approx(effective, rel=1e-2)
    assert record["n_effective"] < record["n"]


@pytest.mark.parametrize("kept", [0, 1 << 26])
def test_one_a_shot(sample: tuple[FeatureCache, Head], kept: int, monkeypatch: pytest.MonkeyPatch):
    """Whether logits are kept between passes or computed at each."""
    monkeypatch.setattr(likelihood, "_KEPT_VALUES", kept)
    cache, head = sample
    of = group(COUNTS).of
    found = module.calibrate(head, cache, "shots")
    assert found.temperature == pytest.approx(best(cache, head, of)[of], rel=1e-3)
    told = found.meta["calibration"]["temperature"]
    assert [told[name] for name in ("many", "medium", "few")] == pytest.approx(
        [found.temperature[of == g][0] for g in range(3)]
    )


def test_a_temperature_that_is_there_is_replaced(sample: tuple[FeatureCache, Head]):
    cache, head = sample
    once = module.calibrate(head, cache, "shots")
    np.testing.assert_array_equal(
        module.calibrate(once, cache).temperature, module.calibrate(head, cache).temperature
    )


def test_a_shot_without_samples_goes_with_its_nearest(sample: tuple[FeatureCache, Head]):
    cache, head = sample
    of = group(COUNTS).of
    keep = of[cache.labels] != 2
    seen = FeatureCache(cache.path, [cache.features[keep]], cache.labels[keep], head=head)
    found = module.calibrate(head, seen, "shots").temperature
    assert found is not None
    assert found[of == 2].tolist() == found[of == 1][0].repeat((of == 2).sum()).tolist()


def test_a_class_without_training_samples_stays_behind_its_model():
    cache, head = noisy(n=300)
    counts = np.array([500, 400, 300, 60, 30, 10, 0])
    weight, bias = head.weight.copy(), head.bias.copy()
    weight[6], bias[6] = weight[0], bias[0] - 10
    found = module.calibrate(Head(weight, bias, "mine", counts=counts), cache, "shots")
    assert found.temperature is not None
    assert found.temperature[6] == found.temperature[0]
    assert 6 not in predictions(found, cache)


def test_where_every_sample_is_right_it_ends_within_the_limits():
    cache = FeatureCache(Path("x"), [np.eye(3, dtype=np.float32)[:, None]], np.arange(3))
    found = module.calibrate(Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "mine"), cache)
    assert 1 / likelihood.HIGH <= found.temperature[0] < 0.1


def test_refusals(tmp_path: Path, sample: tuple[FeatureCache, Head]):
    cache, head = sample
    with pytest.raises(UsageError, match=r"no such calibration \(by=shot\): did you mean shots"):
        module.calibrate(head, cache, "shot")
    with pytest.raises(InputError, match="training counts are unknown"):
        module.calibrate(dataclasses.replace(head, counts=None), cache, "shots")
    with pytest.raises(InputError, match="has D = 5, the cache"):
        module.calibrate(head, write_cache(tmp_path / "val"))
    own = write_cache(tmp_path / "train")
    fitted = Head(np.ones((3, 4)), np.zeros(3), "mine", meta={"cache": own.fingerprint})
    with pytest.raises(InputError, match=r"fitted on these samples.*train"):
        module.calibrate(fitted, own)
