"""Intervals and tests against scipy, a definition and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ltfix.evaluation.significance import _student, holm, paired_test, sample_interval


@pytest.mark.parametrize(("right", "n"), [(130, 200), (5, 5), (0, 40)])
def test_the_interval_of_one_run_is_wilsons(right: int, n: int):
    found = sample_interval(np.arange(n)[None] < right)
    low, high = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert found == {"low": pytest.approx(low, abs=1e-12), "high": pytest.approx(high)}


def test_the_mean_of_seeds_that_differ_is_surer_than_one_of_them():
    correct = np.random.default_rng(0).random((5, 300)) < 0.7
    several, one = sample_interval(correct), sample_interval(correct[:1])
    assert several["high"] - several["low"] < 0.6 * (one["high"] - one["low"])


@pytest.mark.parametrize(("won", "lost", "n"), [(60, 40, 500), (5, 0, 1000), (3, 0, 3), (30, 31, 80)])
def test_of_single_runs_it_is_mcnemars_test(won: int, lost: int, n: int):
    ours, theirs = np.arange(n)[None] < won, np.arange(n)[None] >= n - lost
    found = paired_test(ours, theirs)
    assert found["value"] == pytest.approx((won - lost) / n)
    corrected = max(0, abs(won - lost) - 1) / np.sqrt(won + lost)
    assert found["p"] == pytest.approx(2 * stats.t.sf(corrected, n), abs=1e-6)
    assert found["p"] > 0.8 * min(1, stats.binomtest(won, won + lost).pvalue)  # the exact one
    assert (found["low"] > 0) == (found["p"] < 0.05)


def test_over_seeds_it_is_what_the_documentation_says():
    rng = np.random.default_rng(4)
    ours, theirs = rng.random((5, 400)) < 0.72, rng.random((3, 400)) < 0.7
    found = paired_test(ours, theirs)
    d, n, between = ours.mean(0) - theirs.mean(0), 400, [ours.mean(1), theirs.mean(1)]
    parts = [(d**2).sum() / n**2, *(each.var(ddof=1) / len(each) for each in between)]
    error, freedom = sum(parts) ** 0.5, sum(parts) ** 2 / (np.square(parts) / [n, 4, 2]).sum()
    t, limit = (abs(d.mean()) - 1 / n) / error, stats.t.isf(0.025, freedom)
    assert t > 0
    assert found["p"] == pytest.approx(2 * stats.t.sf(t, freedom), rel=2e-3)
    half = limit * error + 1 / n
    assert [found["low"], found["high"]] == pytest.approx([d.mean() - half, d.mean() + half], rel=1e-3)


def test_equal_heads_do_not_differ():
    right = np.random.default_rng(1).random((1, 50)) < 0.5
    assert paired_test(right, right) == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


@pytest.mark.parametrize("freedom", [1, 2.5, 8, 300, 1e9])
def test_students_law_is_scipys(freedom: float):
    for t in (0.0, 0.7, 2.0, 5.0):
        p, limit = _student(t, freedom)
        assert p == pytest.approx(2 * stats.t.sf(t, freedom), rel=2e-3, abs=1e-6)
        assert limit == pytest.approx(stats.t.isf(0.025, freedom), rel=1e-3)


@pytest.mark.parametrize(("seeds", "between"), [(1, 0), (5, 0), (2, 0.03), (5, 0.03)])
def test_it_seldom_calls_chance_a_difference(seeds: int, between: float):
    """``between``: by how much heads of different seeds differ."""
    rng = np.random.default_rng(2)
    difficulty = rng.random(1000)

    def heads() -> np.ndarray:
        return rng.random((seeds, 1000)) < difficulty + rng.normal(0, between, (seeds, 1))

    called = sum(paired_test(heads(), heads())["p"] < 0.05 for _ in range(400))
    assert called / 400 < 0.06


def test_holm_is_that_of_its_definition():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == {"a": pytest.approx(0.04), "c": pytest.approx(0.09), "b": pytest.approx(0.09), "d": 0.5}
    assert holm({}) == {}
