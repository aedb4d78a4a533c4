"""ltfix.images.longtail: the published profile and the published draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_images_split import make_split

from ltfix.errors import UsageError
from ltfix.images.longtail import cut_long_tail, exponential_counts, step_counts


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
    kept, left = cut_long_tail(make_split(labels.tolist(), 10), 50, seed=3)
    assert len(left) == 0
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


def test_two_steps_as_ldam_drw():
    """Half of the classes keep all, the others n_max / IF, truncated."""
    assert step_counts(np.full(10, 5000), 100).tolist() == [5000] * 5 + [50] * 5
    assert step_counts(np.full(5, 500), 30).tolist() == [500, 500, 16, 16, 16]
    assert step_counts(np.array([3, 90, 80, 2]), 10).tolist() == [3, 90, 80, 2]
    kept, _ = cut_long_tail(make_split([0, 1, 2] * 20, 3), 4, kind="step")
    assert kept.counts.tolist() == [20, 5, 5]


def test_the_first_of_each_class():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(4), 30))
    kept, _ = cut_long_tail(make_split(labels.tolist(), 4), 10, order="first")
    expected = [np.flatnonzero(labels == k)[: int(30 * 0.1 ** (k / 3))] for k in range(4)]
    assert [int(s.removesuffix(".png")) for s in kept.samples] == sorted(np.concatenate(expected).tolist())


@pytest.mark.parametrize("order", ["shuffle", "first"])
@pytest.mark.parametrize("factor", [None, 10.0])
def test_a_balanced_validation_split_of_the_rest(order: str, factor: float | None):
    split = make_split([0, 1, 2] * 50, 3)
    kept, left = cut_long_tail(split, factor, 1, order=order, rest=8)
    assert left.counts.tolist() == [8, 8, 8]
    assert kept.counts.tolist() == ([42] * 3 if factor is None else [42, 13, 4])
    assert not set(kept.samples) & set(left.samples)
    if order == "first":
        assert left.samples[0] == ("126.png" if factor is None else "14.png")


def test_a_class_that_is_too_small_for_it_is_named():
    with pytest.raises(UsageError, match=r"class '1' has 3 samples \(val_from_rest=3\)"):
        cut_long_tail(make_split([0] * 9 + [1] * 3, 2), 2, rest=3)
