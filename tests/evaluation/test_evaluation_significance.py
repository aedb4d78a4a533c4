"""Intervals and tests against scipy, a definition and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ltfix.evaluation.significance import holm, paired_test, sample_interval


def test_the_interval_of_one_run_is_that_of_a_proportion():
    right = np.arange(200)[None] < 130
    found = sample_interval(right)
    half = stats.norm.ppf(0.975) * np.sqrt(0.65 * 0.35 / 200)
    assert found == {"low": pytest.approx(0.65 - half), "high": pytest.approx(0.65 + half)}
    assert sample_interval(np.ones((2, 5), bool)) == {"low": 1.0, "high": 1.0}


def test_of_single_runs_it_is_the_paired_z_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((1, 500)) < 0.7, rng.random((1, 500)) < 0.6
    paired = ours[0].astype(float) - theirs[0]
    z = paired.mean() / (paired.std() / np.sqrt(500))
    found = paired_test(ours, theirs)
    assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert found["value"] == pytest.approx(paired.mean())
    assert found["low"] < found["value"] < found["high"]


def test_equal_heads_do_not_differ():
    right = np.random.default_rng(1).random((1, 50)) < 0.5
    assert paired_test(right, right) == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


@pytest.mark.parametrize("seeds", [1, 5])
def test_it_seldom_calls_chance_a_difference(seeds: int):
    rng = np.random.default_rng(2)
    difficulty = rng.random(400)
    called = sum(
        paired_test(rng.random((seeds, 400)) < difficulty, rng.random((seeds, 400)) < difficulty)["p"] < 0.05
        for _ in range(400)
    )
    assert called / 400 < 0.08


def test_holm_is_that_of_its_definition():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == {"a": pytest.approx(0.04), "c": pytest.approx(0.09), "b": pytest.approx(0.09), "d": 0.5}
    assert holm({}) == {}
