"""What --tune tries, and the rule that takes one of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score

import ltfix
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.runs import Fitter
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning import search as tune
from ltfix.stage2.tuning.search import Candidate, Trial, candidates, choose, class_weights, lead

TRAINED = [m for m in ltfix.methods() if m.loss is not None]


def tried(name: str, **given) -> list[Candidate]:
    values = resolve(find_method(name), given)
    if "delta" in values and values["delta"] is None:
        values = values.choose("default", delta=0.98)
    return candidates(values, tune=True, scaled=True, normalized=True)


@pytest.mark.parametrize("method", TRAINED, ids=lambda m: m.name)
def test_the_published_setting_is_among_the_candidates(method):
    found = tried(method.name)
    published = {name: 0.98 if name == "delta" else v.default for name, v in method.values().items()}
    alike = [c for c in found if c.values.values == published and c.ground == (method.init, 1.0, "none")]
    assert len(alike) == 1
    assert len({(tuple(c.values.values.items()), c.ground) for c in found}) == len(found) <= 54


def test_rates_go_with_every_value_and_scales_with_the_published_ones():
    found = tried("los")
    assert {c.values["lr"] for c in found if c.values["delta"] == 0.5} == {5e-4 * r for r in tune.RATES}
    assert {c.scale for c in found if c.values["delta"] == 0.98} == set(tune.SCALES)
    assert {c.scale for c in found if c.values["delta"] != 0.98} == {1.0}
    assert {c.scale for c in tried("cosine")} == {1.0}
    assert {c.normalize for c in found if c.values["delta"] == 0.98} == {"none", "standardize"}
    assert {c.normalize for c in found if c.values["delta"] != 0.98} == {"none"}
    assert {c.values["max_margin"] for c in tried("ldam") if c.normalize == "standardize"} == {0.3, 0.5}


def test_post_hoc_steps_that_depend_on_the_origin_try_another():
    for name in ("tau-norm", "mult-la"):
        assert {c.normalize for c in tried(name)} == {"none", "standardize"}
    assert {c.normalize for c in tried("logit-adjust")} == {"none"}
    assert {c.values["bias"] for c in tried("tau-norm")} == {"drop", "keep"}
    for found in (tried("etf"), tried("causal"), tried("cosine", cosine="capsule")):
        assert {c.normalize for c in found} == {"none"}


def test_a_fresh_head_is_also_tried_from_stage_1():
    assert {c.init for c in tried("crt")} == {"random", "stage1"}
    found = candidates(resolve(find_method("crt"), {}), tune=True, init="random", scaled=True)
    assert {c.init for c in found} == {"random"}


def test_what_was_given_is_not_searched():
    assert {c.values["delta"] for c in tried("los", delta=0.7)} == {0.7}
    assert {c.values["lr"] for c in tried("los", lr=0.1)} == {0.1}
    assert len(candidates(resolve(find_method("ncm"), {}), tune=True)) == 1
    taus = candidates(resolve(find_method("tau-norm"), {}), tune=False)
    assert [c.values["tau"] for c in taus] == [round(0.1 * i, 1) for i in range(21)]


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
    assert choose([trial(0.6), trial(0.9, 9)], LABELS, right(0.5)) == (1, tune.GAIN)


def test_of_those_about_as_good_as_the_best_the_nearest_to_the_start_is_taken():
    other = right(0.9)
    other[[0, 1, 2, 197, 198, 199]] ^= True  # three right samples fewer, three more
    trials = [trial(0.9, 0.5), Trial(trial(0.9).candidate, other, 0.3), trial(0.8, 0.1)]
    assert choose(trials, LABELS, right(0.5)) == (1, tune.GAIN)
    other[197] = False  # one behind
    assert choose(trials, LABELS, right(0.5)) == (1, tune.GAIN)
    other[[198, 199]] = False  # three behind, of three on which they differ
    assert choose(trials, LABELS, right(0.5)) == (0, tune.GAIN)


def test_nobody_is_taken_who_scores_below_the_start():
    trials = [trial(0.49, 0), trial(0.9, 5), trial(0.2, 1)]
    assert choose(trials, LABELS, right(0.5))[0] == 1


def test_where_no_gain_is_to_be_seen_the_start_is_kept():
    near, far = trial(0.98, drift=0.01), trial(0.985, drift=0.5)
    assert choose([far, near], LABELS, right(0.98)) == (1, tune.NO_GAIN)


def test_one_sample_is_no_evidence():
    labels = np.array([0, 0, 0, 1])
    start, better = np.array([1, 1, 1, 0], bool), np.ones(4, bool)
    values = resolve(find_method("ce"), {})
    trials = [Trial(Candidate(values), better, 0.3), Trial(Candidate(values), start, 0.1)]
    assert choose(trials, labels, start) == (1, tune.NO_GAIN)


def test_what_diverged_is_never_taken():
    assert choose([trial(None), trial(0.4, 3)], LABELS, right(0.1))[0] == 1
    assert choose([trial(None), trial(None)], LABELS, right(0.1))[0] == 0


def test_a_methods_own_open_value_goes_by_the_best_score():
    trials = [trial(0.980, drift=0.0), trial(0.990, drift=0.9)]
    assert choose(trials, LABELS, right(0.98), tuned=False) == (1, tune.BEST)


def at(lr: float, share: float, drift: float) -> Trial:
    return Trial(Candidate(resolve(find_method("ce"), {"lr": lr})), right(share), drift)


def test_a_rate_that_fails_with_some_seed_is_dropped_and_so_are_higher_ones(monkeypatch):
    trials = [at(0.01, 0.7, 1), at(0.1, 0.9, 2), at(1.0, 0.8, 3)]
    monkeypatch.setattr(tune, "_is_steady", lambda material, t, *_: t.candidate.values["lr"] < 0.1)
    marked, taken, rule = tune.settle(None, trials, LABELS, right(0.5), 0)
    assert (taken, rule) == (0, tune.GAIN)
    assert [t.steady for t in marked] == [True, False, False]
    record = tune.describe(marked, taken, rule, labels=LABELS, start=right(0.5), on="")
    assert [entry.get("steady", True) for entry in record["tried"]] == [True, False, False]


@pytest.mark.parametrize("diverged", [[], [trial(None)]], ids=["alone", "beside one that diverged"])
@pytest.mark.parametrize("first", [False, True])
def test_where_no_rate_is_steady_the_first_choice_stays(monkeypatch, diverged, first: bool):
    trials = [at(0.01, 0.7, 1), at(0.1, 0.9, 2)]
    trials = diverged + trials if first else trials + diverged
    monkeypatch.setattr(tune, "_is_steady", lambda *_: False)
    marked, taken, rule = tune.settle(None, trials, LABELS, right(0.5), 0)
    assert (taken, rule) == (choose(trials, LABELS, right(0.5))[0], tune.UNSTEADY)
    assert [t.steady for t in marked] == [t.correct is None for t in trials]


def test_where_all_diverged_nothing_is_checked(monkeypatch):
    monkeypatch.delattr(tune, "_is_steady")
    assert tune.settle(None, [trial(None), trial(None)], LABELS, right(0.1), 0)[1:] == (0, tune.BEST)


@pytest.mark.parametrize("spoilt", [None, 2])
def test_one_seed_that_does_worse_than_the_others_is_noticed(draw_cache, monkeypatch, spoilt: int | None):
    material = Material(draw_cache([40, 30, 20]), None, Options(tune=True), 0)
    labels = material.held_labels()
    fit = Fitter.fit

    def spoil(fitter: Fitter, settings, seeds):
        rows = fit(fitter, settings, seeds)
        return [
            [dataclasses.replace(x, weight=-x.weight) for x in row] if seed == spoilt else row
            for seed, row in zip(seeds, rows, strict=True)
        ]

    monkeypatch.setattr(Fitter, "fit", spoil)
    chosen = Trial(Candidate(resolve(find_method("ce"), {})), np.ones(len(labels), bool))
    assert tune._is_steady(material, chosen, labels, 0) == (spoilt is None)


def test_the_search_outlives_candidates_that_diverge(draw_cache):
    material = Material(draw_cache([40, 12, 4]), None, Options(tune=True), 0)
    settings = [
        Candidate(resolve(find_method("ce"), {"lr": lr, "momentum": 0.99, "weight_decay": 1e4, "epochs": 3}))
        for lr in (1e-4, 1e30, 1e-5)
    ]
    found = tune.search(material, settings, 0)
    assert [t.correct is None for t in found] == [False, True, False]
    assert len(found[0].correct) == len(material.held_labels())


def test_a_slow_rate_drifts_less_than_a_fast_one(draw_cache):
    material = Material(draw_cache([40, 12, 4], spread=2.0), None, Options(tune=True), 0)
    settings = [Candidate(resolve(find_method("los"), {"lr": lr, "delta": 0.9})) for lr in (1e-6, 1e-2)]
    slow, fast = tune.search(material, settings, 0)
    assert 0 <= slow.drift < 1e-3 < fast.drift <= 2


def test_a_small_set_is_cut_several_times_into_other_samples(draw_cache):
    material = Material(draw_cache([40, 10, 5]), None, Options(), 0)
    folds = material.folds()
    assert len(folds) == 5
    assert "5 class-wise cuts" in folds[0].where
    assert sorted(np.concatenate([fold.held.rows for fold in folds]).tolist()) == list(range(55))
    val = Material(draw_cache([40, 10, 5]), draw_cache([5, 5, 5], seed=1), Options(), 0)
    assert len(val.folds()) == 1


def test_a_tuned_head_says_what_was_tried_and_by_what_rule(draw_cache):
    head = ltfix.fit(draw_cache([60, 20, 6], spread=2.0), "los", tune=True, epochs=2)
    record = head.meta["selection"]
    assert set(record["chosen"]) == {"delta", "lr", "feature_scale", "normalize"}
    assert record["rule"] in (tune.GAIN, tune.NO_GAIN)
    assert len(record["tried"]) == len(tried("los"))
    assert {"delta", "lr", "scale", "normalize", "score"} == set(record["tried"][0])
    shifted = ltfix.fit(draw_cache([60, 20, 6]), "los", tune=True, epochs=2, normalize="standardize")
    assert "normalize" not in shifted.meta["selection"]["chosen"]
    assert shifted.meta["coordinates"]["normalize"] == "standardize"
    assert record["start_score"] <= 1
