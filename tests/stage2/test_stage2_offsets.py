"""Offsets and axes of the features cost no method its accuracy: beside it scikit-learn's, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import ltfix
from ltfix.features.cache import FeatureCache

METHODS = ("ce", "samn", "cosine", "los", "balanced-softmax", "logit-adjust", "ncm")
COUNTS, EACH = [120, 60, 30, 10, 4], 200


def draw(rng: np.random.Generator, centres: np.ndarray, counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat(np.arange(len(counts)), counts)
    x = centres[y] + rng.normal(size=(len(y), centres.shape[1]))
    return np.hstack([x, rng.integers(2015, 2025, (len(y), 1))]), y


def spoiled(x: np.ndarray, how: str) -> np.ndarray:
    """The table as it was found: a year beside ordinary columns, an origin far away, other axes."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(x.shape[1],) * 2))[0]
    plain = x - np.append(np.zeros(x.shape[1] - 1), 2020)
    table = {"a year": x, "ten away": plain + 10, "thirty away": plain + 30, "turned": (plain + 30) @ turn}
    return table[how]


def accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], method: str) -> float:
    x, y = train
    cache = FeatureCache(Path("table"), [x[:, None].astype(np.float32)], y)
    head = ltfix.fit(cache, method)
    return float((head.logits(test[0].astype(np.float32)).argmax(1) == test[1]).mean())


@pytest.mark.parametrize("how", ["a year", "ten away", "thirty away", "turned"])
def test_a_table_as_it_was_found_fits_as_one_standardised_by_hand(how: str):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 12)) * 1.5
    (x, y), (xt, yt) = (draw(rng, centres, counts) for counts in (COUNTS, [EACH] * 5))
    x, xt = spoiled(x, how), spoiled(xt, how)
    by_hand = StandardScaler().fit(x)
    theirs = LogisticRegression(max_iter=5000).fit(by_hand.transform(x), y)
    reached = float(theirs.score(by_hand.transform(xt), yt))
    assert reached > 0.85
    for method in METHODS:
        found = accuracy((x, y), (xt, yt), method)
        beside = accuracy((by_hand.transform(x), y), (by_hand.transform(xt), yt), method)
        assert found > beside - 0.01, (method, found, beside)
        assert found > reached - 0.1, (method, found, reached)
