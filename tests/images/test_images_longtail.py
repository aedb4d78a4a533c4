"""ltfix.images.longtail: the published profile and the published draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_images_split import make_split

from ltfix.errors import UsageError
from ltfix.images.longtail import cut_long_tail, exponential_counts


@pytest.mark.parametrize(
    ("n", "k", "factor", "total"),
    [
        (500, 100, 100, 10847),
        (500, 100, 50, 12608),
        (500, 100, 10, 19573),
        (5000, 10, 100, 12406),
        (5000, 10, 50, 13996),
        (5000, 10, 10, 20431),
    ],
)
def test_the_totals_of_cifar_lt(n: int, k: int, factor: float, total: int):
    counts = exponential_counts(np.full(k, n), factor)
    assert counts.sum() == total
    assert (counts[0], counts[-1]) == (n, n // factor)
    assert (np.diff(counts) <= 0).all()


def test_the_draw_of_ldam_drw():
    """One global seed, a shuffle and a slice per class, as its dataset class does it."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 50))
    np.random.seed(3)
    expected = []
    for k in range(10):
        index = np.where(labels == k)[0]
        np.random.shuffle(index)
        expected.append(index[: int(50 * 0.02 ** (k / 9.0))])
    kept = cut_long_tail(make_split(labels.tolist(), 10), 50, seed=3)
    assert [int(s.removesuffix(".png")) for s in kept.samples] == sorted(np.concatenate(expected).tolist())


@given(
    st.lists(st.integers(0, 300), min_size=2, max_size=30).filter(max),
    st.floats(1, 1000),
)
def test_a_class_keeps_what_it_has_and_ranks_keep_their_order(counts: list[int], factor: float):
    before = np.array(counts)
    after = exponential_counts(before, factor)
    assert (after <= before).all()
    assert after.max() == before.max()
    order = np.argsort(-before, kind="stable")
    assert (np.diff(after[order]) <= 0).all()


def test_a_factor_below_one_or_without_bound_is_refused():
    for factor in (0.5, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="imbalance_factor"):
            exponential_counts(np.array([5, 5]), factor)


def test_a_seed_that_the_generator_does_not_take_is_refused():
    for seed in (-1, 1 << 32):
        with pytest.raises(UsageError, match="imbalance seed"):
            cut_long_tail(make_split([0, 0, 1, 1], 2), 2.0, seed)
