"""Samplers: which samples an epoch visits, how often each class, and that seeds decide it alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltfix.stage2.loop.samplers import CONSECUTIVE, draw
from ltfix.stage2.methods.catalog import SAMPLERS

COUNTS = st.lists(st.integers(0, 30), min_size=2, max_size=8).filter(lambda n: sum(map(bool, n)) >= 2)
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def labels_of(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def frequencies(
    name: str, counts: list[int], epoch: int = 0, epochs: int = 2, times: int = 200
) -> np.ndarray:
    labels = labels_of(counts)
    drawn = [labels[draw(name, labels, seed, epoch, epochs)] for seed in range(times)]
    return np.bincount(np.concatenate(drawn), minlength=len(counts)) / (times * len(labels))


@every_sampler
@settings(deadline=None, max_examples=30)
@given(counts=COUNTS, seed=st.integers(0, 2**31), epoch=st.integers(0, 4))
def test_an_epoch_is_n_valid_draws_that_the_seed_decides(name: str, counts: list[int], seed: int, epoch: int):
    labels = labels_of(counts)
    index = draw(name, labels, seed, epoch, 5)
    assert len(index) == len(labels)
    assert 0 <= index.min() <= index.max() < len(labels)
    assert np.array_equal(index, draw(name, labels, seed, epoch, 5))


@every_sampler
def test_seeds_and_epochs_draw_apart(name: str):
    labels = labels_of([40, 20, 10])
    one = draw(name, labels, 0, 0, 5)
    assert not np.array_equal(one, draw(name, labels, 1, 0, 5))
    assert not np.array_equal(one, draw(name, labels, 0, 1, 5))


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**31))
def test_instance_visits_every_sample_once(counts: list[int], seed: int):
    labels = labels_of(counts)
    assert np.array_equal(np.sort(draw("instance", labels, seed, 0, 1)), np.arange(len(labels)))


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**31))
def test_class_aware_gives_four_of_a_class_and_cycles_through_all(counts: list[int], seed: int):
    labels = labels_of(counts)
    index = draw("class-aware", labels, seed, 0, 1)
    visits = np.split(labels[index], range(CONSECUTIVE, len(index), CONSECUTIVE))
    assert all(len(set(visit)) == 1 for visit in visits)
    order = np.array([visit[0] for visit in visits])
    present = np.flatnonzero(counts)
    for cycle in np.split(order, range(len(present), len(order), len(present))):
        assert len(set(cycle)) == len(cycle)  # no class twice before all had their turn
    for k in present:  # and no sample twice before its class is used up
        own = index[labels[index] == k]
        for cycle in np.split(own, range(counts[k], len(own), counts[k])):
            assert len(set(cycle)) == len(cycle)


def test_class_balanced_draws_classes_alike():
    assert frequencies("class-balanced", [60, 25, 0, 10, 5]) == pytest.approx(
        [0.25, 0.25, 0, 0.25, 0.25], abs=0.02
    )


def test_square_root_draws_by_the_root_of_the_count():
    expected = np.sqrt([64, 0, 16, 4]) / np.sqrt([64, 0, 16, 4]).sum()
    assert frequencies("square-root", [64, 0, 16, 4]) == pytest.approx(expected, abs=0.02)


def test_progressive_moves_from_instance_to_class_balanced():
    counts = [80, 0, 15, 5]
    assert frequencies("progressive", counts, 0, 11) == pytest.approx([0.8, 0, 0.15, 0.05], abs=0.02)
    assert frequencies("progressive", counts, 10, 11) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.02)
    middle = 0.5 * np.array([0.8, 0, 0.15, 0.05]) + 0.5 * np.array([1, 0, 1, 1]) / 3
    assert frequencies("progressive", counts, 5, 11) == pytest.approx(middle, abs=0.02)


def test_one_epoch_of_progressive_sampling_is_the_first():
    assert frequencies("progressive", [80, 15, 5], 0, 1) == pytest.approx([0.8, 0.15, 0.05], abs=0.02)
