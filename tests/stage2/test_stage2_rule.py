"""The rule that takes one of the settings tried."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from ltfix.evaluation.likelihood import class_weights
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.candidates import Candidate
from ltfix.stage2.tuning.rule import BEST, GAIN, NO_GAIN, Trial, choose, lead


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array),
    seed=st.integers(0, 2**31),
)
def test_weighted_hits_are_the_mean_class_accuracy(labels: np.ndarray, seed: int):
    predicted = np.random.default_rng(seed).choice(labels, len(labels))
    weights = class_weights(labels)
    assert weights.sum() == pytest.approx(1)
    expected = recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0.0)
    assert weights @ (predicted == labels) == pytest.approx(expected)


def test_the_lead_and_its_error_come_from_the_samples_on_which_two_heads_differ():
    weights = class_weights(np.repeat([0, 1], [4, 1]))  # 1/8 each of four, 1/2 of the one
    ours, theirs = np.array([1, 1, 1, 0, 1], bool), np.array([1, 0, 1, 1, 0], bool)
    ahead, error = lead(ours, theirs, weights)
    assert ahead == pytest.approx(1 / 8 - 1 / 8 + 1 / 2)
    assert error == pytest.approx(np.sqrt(2 / 64 + 1 / 4))
    assert lead(ours, ours, weights) == (0, 0)


N = 400
LABELS = np.repeat(np.arange(2), N // 2)


def right(share: float) -> np.ndarray:
    """A head that is right on the first samples of every class."""
    return np.tile(np.arange(N // 2) < share * (N // 2), 2)


def trial(share: float | None, drift: float = 0.0) -> Trial:
    return Trial(Candidate(resolve(find_method("ce"), {})), None if share is None else right(share), drift)


def test_a_clear_winner_wins_however_far_from_the_start():
    assert choose([trial(0.6), trial(0.9, 9)], LABELS, right(0.5)) == (1, GAIN)


def test_of_those_about_as_good_as_the_best_the_nearest_to_the_start_is_taken():
    other = right(0.9)
    other[[0, 1, 2, 197, 198, 199]] ^= True  # three right samples fewer, three more
    trials = [trial(0.9, 0.5), Trial(trial(0.9).candidate, other, 0.3), trial(0.8, 0.1)]
    assert choose(trials, LABELS, right(0.5)) == (1, GAIN)
    other[197] = False  # one behind
    assert choose(trials, LABELS, right(0.5)) == (1, GAIN)
    other[[198, 199]] = False  # three behind, of three on which they differ
    assert choose(trials, LABELS, right(0.5)) == (0, GAIN)


def test_where_a_gain_is_seen_only_half_a_standard_error_is_given():
    trials = [trial(0.9, drift=0.5), trial(0.895, drift=0.1)]  # 2 samples ahead, of 2: 1.4 standard errors
    assert choose(trials, LABELS, right(0.5)) == (0, GAIN)


def test_who_does_as_well_as_the_start_may_be_taken():
    labels = np.repeat(np.arange(2), 256)  # shares of 512 are exact
    best = np.tile(np.arange(256) < 130, 2)
    start = np.tile(np.arange(256) < 126, 2)
    candidate = trial(0.5).candidate
    trials = [Trial(candidate, best, 0.5), Trial(candidate, ~best, 0.1)]
    assert choose(trials, labels, start) == (1, GAIN)
    below = np.where(np.arange(512) % 256 == 255, False, ~best)  # two fewer: still near the best one
    assert choose([*trials, Trial(candidate, below, 0.0)], labels, start) == (1, GAIN)


def test_at_equal_distance_the_better_is_taken_and_of_equals_the_first():
    best, other = trial(0.9, 0.3), right(0.9)
    other[[0, 1, 2, 197, 198]] ^= True  # three right samples fewer, two more
    near = Trial(best.candidate, other, 0.3 - 1e-9)  # no nearer to speak of
    assert choose([best, near], LABELS, right(0.5)) == (0, GAIN)
    assert choose([near, best], LABELS, right(0.5)) == (1, GAIN)
    assert choose([near, best, best], LABELS, right(0.5)) == (1, GAIN)


def test_nobody_is_taken_who_scores_below_the_start():
    trials = [trial(0.49, 0), trial(0.9, 5), trial(0.2, 1)]
    assert choose(trials, LABELS, right(0.5))[0] == 1


def test_a_setting_that_does_as_the_start_is_no_gain():
    assert choose([trial(0.5)], LABELS, right(0.5)) == (0, NO_GAIN)


def test_where_no_gain_is_to_be_seen_the_start_is_kept():
    near, far = trial(0.98, drift=0.01), trial(0.985, drift=0.5)
    assert choose([far, near], LABELS, right(0.98)) == (1, NO_GAIN)


def test_one_sample_is_no_evidence():
    labels = np.array([0, 0, 0, 1])
    start, better = np.array([1, 1, 1, 0], bool), np.ones(4, bool)
    values = resolve(find_method("ce"), {})
    trials = [Trial(Candidate(values), better, 0.3), Trial(Candidate(values), start, 0.1)]
    assert choose(trials, labels, start) == (1, NO_GAIN)


def test_what_diverged_is_never_taken():
    assert choose([trial(None), trial(0.4, 3)], LABELS, right(0.1))[0] == 1
    assert choose([trial(None), trial(None)], LABELS, right(0.1))[0] == 0


def test_a_methods_own_open_value_goes_by_the_best_score():
    trials = [trial(0.980, drift=0.0), trial(0.990, drift=0.9)]
    assert choose(trials, LABELS, right(0.98), tuned=False) == (1, BEST)
