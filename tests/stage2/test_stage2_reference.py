"""Literal reference runs of the published code on real features, and ours within stated bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.evaluation.metrics import shot_accuracy
from ltfix.evaluation.scores import predictions
from ltfix.features.cache import FeatureCache
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.layers.samn import order

# All, Many, Medium, Few of plain autograd runs of the published heads on these features, both views averaged
REFERENCE = {
    "ce": ("ce", {}, 3, (39.03, 70.71, 38.35, 2.84)),
    "samn freq": ("samn", {}, 3, (42.06, 67.89, 40.83, 13.38)),
    "samn norm": ("samn", {"metric": "norm"}, 3, (42.14, 68.00, 41.66, 12.53)),
    "samn weight": ("samn", {"part": "weight"}, 1, (41.99, 67.83, 40.83, 13.20)),
    "samn bias": ("samn", {"part": "bias"}, 1, (39.73, 70.46, 39.80, 3.80)),
    "los": ("los", {}, 3, (43.02, 58.80, 51.49, 14.72)),
    "tau-norm": ("tau-norm", {"tau": 1.0}, 1, (41.92, 59.91, 42.66, 20.07)),
    "logit-adjust": ("logit-adjust", {}, 1, (43.03, 64.34, 46.97, 13.57)),
}


@pytest.fixture(scope="module")
def splits(shared_data: Path) -> tuple[FeatureCache, FeatureCache]:
    return tuple(ltfix.open_cache(shared_data / f"c100_if100_{s}.safetensors") for s in ("train", "test"))


@pytest.mark.parametrize("name", REFERENCE)
def test_accuracies_are_those_of_the_published_code(splits, name: str):
    train, test = splits
    method, values, seeds, expected = REFERENCE[name]
    heads = plan_fit(method, values).train(train, range(seeds))
    rows = [shot_accuracy(predictions(head, test), test.labels, train.counts) for head in heads]
    overall, many, _, few = (
        100 * np.mean([row[shot] for row in rows]) for shot in ("all", "many", "medium", "few")
    )
    assert overall == pytest.approx(expected[0], abs=0.7)
    assert many == pytest.approx(expected[1], abs=1.5)
    assert few == pytest.approx(expected[3], abs=1.5)
    if method in ("tau-norm", "logit-adjust"):  # nothing is random there
        assert overall == pytest.approx(expected[0], abs=0.011)
        assert few == pytest.approx(expected[3], abs=0.011)


def test_samn_shrinks_the_frequent_classes_and_pools_the_tail(splits):
    train, _ = splits
    head = ltfix.fit(train, "samn", feature_scale="none")
    norms = np.linalg.norm(head.weight, axis=1)[order(train.counts)]  # rare to frequent
    assert (np.diff(norms) <= 1e-5).all()
    assert 1 < norms[-1] < 3 < norms[0]
    assert len(np.flatnonzero(np.diff(norms) < -1e-5)) < len(norms) - 1  # equal norms inside blocks


def test_samn_tells_the_tail_apart_where_the_start_does_not(splits):
    train, test = splits
    few = {
        name: shot_accuracy(predictions(head, test), test.labels, train.counts)["few"]
        for name, head in (("start", train.head), ("samn", ltfix.fit(train, "samn")))
    }
    assert few["samn"] > few["start"] + 0.08
