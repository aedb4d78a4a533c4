from __future__ import annotations

import numpy as np
import pytest
from evaluation_samples import COUNTS

from ltfix.evaluation.bootstrap import paired_difference
from ltfix.evaluation.metrics import shot_accuracy
from ltfix.evaluation.shots import group


def sample(seed: int, n: int = 700) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, n)
    ours = rng.random(n) < 0.6
    theirs = np.where(rng.random(n) < 0.8, ours, rng.random(n) < 0.5)
    return ours, theirs, labels


def test_the_value_is_the_difference_of_the_accuracies():
    ours, theirs, labels = sample(0)
    found = paired_difference(ours, theirs, labels, group(COUNTS).of)
    mine, other = (shot_accuracy(np.where(hit, labels, -1), labels, COUNTS) for hit in (ours, theirs))
    for shot in ("all", "many", "medium", "few"):
        assert found[shot]["value"] == pytest.approx(mine[shot] - other[shot], abs=1e-12)
        assert found[shot]["low"] < found[shot]["value"] < found[shot]["high"]


def test_it_agrees_with_resampling_rows_one_by_one():
    ours, theirs, labels = sample(1)
    rng = np.random.default_rng(5)
    rows = [np.flatnonzero(labels == k) for k in range(7)]
    gain = ours.astype(int) - theirs.astype(int)
    drawn = [np.mean([gain[rng.choice(r, len(r))].mean() for r in (rows[5], rows[6])]) for _ in range(4000)]
    found = paired_difference(ours, theirs, labels, group(COUNTS).of, resamples=4000)["few"]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found["low"] == pytest.approx(low, abs=0.012)
    assert found["high"] == pytest.approx(high, abs=0.012)


def test_equal_heads_differ_by_nothing():
    ours, _, labels = sample(2)
    zero = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert paired_difference(ours, ours, labels, group(COUNTS).of)["all"] == zero


def test_a_seed_decides_the_draws():
    ours, theirs, labels = sample(3)
    first, again, other = (
        paired_difference(ours, theirs, labels, group(COUNTS).of, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    ours, theirs, labels = sample(4)
    whole = paired_difference(ours, theirs, labels, group(COUNTS).of, resamples=300)
    monkeypatch.setattr("ltfix.evaluation.bootstrap._CHUNK_VALUES", 700)
    assert paired_difference(ours, theirs, labels, group(COUNTS).of, resamples=300) == whole


def test_an_empty_shot_and_an_untested_class_are_left_out():
    ours, theirs, labels = np.array([True, False]), np.array([False, False]), np.array([0, 0])
    found = paired_difference(ours, theirs, labels, np.array([0, 0, 2]))
    assert found["all"]["value"] == found["many"]["value"] == 0.5
    assert found["medium"] is None
    assert found["few"] is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(4), 60)
        draw = rng.random(240)
        ours, theirs = draw < 0.5, (draw > 0.2) & (draw < 0.6)  # +0.2 and -0.1: a true difference of 0.1
        found = paired_difference(ours, theirs, labels, np.zeros(4, int), resamples=400, seed=seed)["all"]
        covered += found["low"] <= 0.1 <= found["high"]
    assert 180 <= covered <= 199
