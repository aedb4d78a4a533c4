from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltfix.errors import UsageError
from ltfix.evaluation.shots import group


def test_boundaries_belong_to_medium():
    assert group(np.array([101, 100, 20, 19, 0])).of.tolist() == [0, 1, 1, 2, 2]


def test_boundaries_may_meet_but_not_overlap():
    assert group(np.array([10, 11]), many=10, few=11).of.tolist() == [2, 0]
    assert group(np.array([0, 10]), many=10, few=0).of.tolist() == [1, 1]
    for many, few in ((10, 12), (10, -1)):
        with pytest.raises(UsageError, match=f"many = {many} and few = {few} overlap"):
            group(np.array([10]), many, few)


def test_the_rule_of_the_samn_code_is_few_21():
    assert group(np.array([21, 20]), few=21).of.tolist() == [1, 2]


def test_published_group_sizes_of_cifar100_lt():
    for factor, expected in ((100, [35, 35, 30]), (50, [41, 41, 18]), (10, [69, 31, 0])):
        counts = np.array([int(500 * factor ** (-k / 99)) for k in range(100)])
        assert list(group(counts).n_classes.values()) == expected


@given(st.lists(st.integers(0, 500), min_size=1), st.integers(0, 300), st.integers(0, 300))
def test_every_class_has_one_shot_in_count_order(counts: list[int], many: int, few: int):
    if few > many + 1:
        with pytest.raises(UsageError, match="overlap"):
            group(np.array(counts), many, few)
        return
    shots = group(np.array(counts), many, few)
    assert sum(shots.n_classes.values()) == len(counts)
    ordered = shots.of[np.argsort(counts, kind="stable")]
    assert (np.diff(ordered) <= 0).all()


def test_the_rule_is_said_with_its_numbers():
    assert group(np.array([5, 50, 500]), 99, 10).rule() == (
        "Many n > 99: 1 classes, Medium 10 ≤ n ≤ 99: 1, Few n < 10: 1"
    )


def test_the_rule_says_how_many_classes_have_no_sample():
    assert group(np.array([0, 200, 50, 0, 3])).rule().endswith("Few n < 20: 3 (2 without a training sample)")
    assert group(np.array([200, 3])).rule().endswith("Few n < 20: 1")
