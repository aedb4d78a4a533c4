"""Settings fitted and scored on validation samples, and which of them do alike with every seed."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import ltfix
from ltfix.evaluation.likelihood import class_weights
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.runs import Fitter
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning import search, steadiness
from ltfix.stage2.tuning.candidates import RATES, Candidate, candidates
from ltfix.stage2.tuning.rule import BEST, GAIN, NO_GAIN, UNSTEADY, Trial, choose

N = 400
LABELS = np.repeat(np.arange(2), N // 2)


def right(share: float) -> np.ndarray:
    """A head that is right on the first samples of every class."""
    return np.tile(np.arange(N // 2) < share * (N // 2), 2)


def trial(share: float | None, drift: float = 0.0) -> Trial:
    return Trial(Candidate(resolve(find_method("ce"), {})), None if share is None else right(share), drift)


def at(lr: float, share: float, drift: float) -> Trial:
    return Trial(Candidate(resolve(find_method("ce"), {"lr": lr})), right(share), drift)


def test_a_rate_that_fails_with_some_seed_is_dropped_and_so_are_higher_ones(monkeypatch):
    trials = [at(0.01, 0.7, 1), at(0.1, 0.9, 2), at(1.0, 0.8, 3)]
    slow = [trial.candidate for trial in trials if trial.candidate.values["lr"] < 0.1]
    monkeypatch.setattr(steadiness, "_is_steady", lambda _, found, seed: (found.candidate in slow, slow))
    marked, taken, rule, fitted = steadiness.settle(None, trials, LABELS, right(0.5), 0)
    assert (taken, rule, fitted) == (0, GAIN, [trials[0].candidate])
    assert [t.steady for t in marked] == [True, False, False]
    record = search.describe(marked, taken, rule, labels=LABELS, start=right(0.5), on="")
    assert [entry.get("steady", True) for entry in record["tried"]] == [True, False, False]


@pytest.mark.parametrize("diverged", [[], [trial(None)]], ids=["alone", "beside one that diverged"])
@pytest.mark.parametrize("first", [False, True])
def test_where_no_rate_is_steady_the_first_choice_stays(monkeypatch, diverged, first: bool):
    trials = [at(0.01, 0.7, 1), at(0.1, 0.9, 2)]
    trials = diverged + trials if first else trials + diverged
    monkeypatch.setattr(steadiness, "_is_steady", lambda *_: (False, []))
    marked, taken, rule, fitted = steadiness.settle(None, trials, LABELS, right(0.5), 0)
    assert (taken, rule, fitted) == (choose(trials, LABELS, right(0.5))[0], UNSTEADY, [])
    assert [t.steady for t in marked] == [t.correct is None for t in trials]


def test_what_was_not_finished_is_searched_where_nothing_was_steady(monkeypatch):
    rates, rounds = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0], []
    tried = [Candidate(resolve(find_method("ce"), {"lr": rate})) for rate in rates]

    def searched(material, some, seed):
        rounds.append([c.values["lr"] for c in some])
        found = [Trial(c, right(0.7), c.values["lr"]) for c in some]
        last = len(some) - 1  # alone is run to its end, the others are not
        return [
            dataclasses.replace(t, correct=None, early=True) if i < last else t for i, t in enumerate(found)
        ]

    monkeypatch.setattr(steadiness, "search", searched)
    steady = {0.3: True}
    monkeypatch.setattr(
        steadiness, "_is_steady", lambda _, t, __: (steady.get(t.candidate.values["lr"], False), [])
    )
    trials, taken, rule, _ = steadiness.find_steady(None, tried, LABELS, right(0.5), 0)
    assert (rounds, rates[taken], rule) == ([rates, rates[:5], rates[:4]], 1.0, UNSTEADY)
    steady[1.0] = True
    rounds.clear()
    trials, taken, rule, _ = steadiness.find_steady(None, tried, LABELS, right(0.5), 0)
    assert (rounds, rates[taken], rule) == ([rates, rates[:5], rates[:4]], 1.0, GAIN)
    assert [t.steady for t in trials] == [True] * 4 + [False] * 2


def test_where_all_diverged_nothing_is_checked(monkeypatch):
    monkeypatch.delattr(steadiness, "_is_steady")
    assert steadiness.settle(None, [trial(None), trial(None)], LABELS, right(0.1), 0)[1:] == (0, BEST, [])


@pytest.mark.parametrize("own_samples", [False, True], ids=["a cut", "a validation cache"])
@pytest.mark.parametrize(("spoilt", "diverged"), [(None, False), (2, False), (0, False), (None, True)])
def test_one_seed_that_does_worse_than_the_others_is_noticed(
    draw_cache, monkeypatch, spoilt: int | None, diverged: bool, own_samples: bool
):
    cache = draw_cache([40, 30, 20])
    material = Material.of(cache, draw_cache([9, 9, 9]) if own_samples else None, Options(tune=True), 0)
    fit, seen = Fitter.fit, list[tuple[bool, int]]()

    def spoil(fitter: Fitter, settings, seeds, **how):
        on_all, rows = fitter.data is material.data, fit(fitter, settings, seeds, **how)
        seen.extend((on_all, seed) for seed in seeds)
        signs = [-1 if seed == spoilt else np.nan if diverged and on_all else 1 for seed in seeds]
        return [
            [dataclasses.replace(x, weight=sign * x.weight) for x in row]
            for sign, row in zip(signs, rows, strict=True)
        ]

    monkeypatch.setattr(Fitter, "fit", spoil)
    tried = search.search(material, [Candidate(resolve(find_method("ce"), {}))], 0)
    seen.clear()
    steady, fitted = steadiness._is_steady(material, tried[0], 0)
    assert steady == (spoilt is None and not diverged)
    assert len(fitted) == (steadiness.SEEDS if own_samples else steadiness.ON_ALL) or not steady
    on_a_cut = [(False, 1), (False, 2), (False, 3), (False, 4)]
    whole = [(True, seed) for seed in range(steadiness.SEEDS if own_samples else steadiness.ON_ALL)]
    whole = whole if own_samples else on_a_cut + whole
    assert seen == (on_a_cut if spoilt is not None and not own_samples else whole)


@pytest.mark.parametrize(
    ("size", "behind", "steady"),
    [
        (4000, 20, True),  # half a point, though 4.5 standard errors
        (400, 8, True),  # 2.8 standard errors, though two points
        (400, 16, False),  # 4 standard errors, and four points
        (400, None, False),  # diverged
    ],
)
def test_a_seed_may_fall_behind_by_a_point_or_by_noise(size: int, behind: int | None, steady: bool):
    best = np.ones(size, bool)
    seeds = [best, best, None if behind is None else np.arange(size) >= behind, best]
    assert steadiness._are_alike(seeds, np.zeros(size, int)) == steady


def test_only_the_same_setting_at_no_lower_rate_is_as_fast():
    def los(lr: float, delta: float = 0.9, scale: float = 1.0) -> Candidate:
        return Candidate(resolve(find_method("los"), {"lr": lr, "delta": delta}), scale)

    assert search.as_fast(los(0.1), los(0.1))
    assert search.as_fast(los(1.0), los(0.1))
    for other in (los(0.01), los(1.0, delta=0.5), los(1.0, scale=2.0)):
        assert not search.as_fast(other, los(0.1))


def test_the_search_outlives_candidates_that_diverge(draw_cache):
    material = Material.of(draw_cache([40, 12, 4]), None, Options(tune=True), 0)
    settings = [
        Candidate(resolve(find_method("ce"), {"lr": lr, "momentum": 0.99, "weight_decay": 1e4, "epochs": 3}))
        for lr in (1e-6, 1e30, 1e-7)
    ]
    found = search.search(material, settings, 0)
    assert [t.correct is None for t in found] == [False, True, False]
    assert len(found[0].correct) == len(material.held_labels())


def test_what_diverged_in_one_fold_has_no_score():
    assert search.joined([np.ones(2, bool), np.zeros(1, bool)]).tolist() == [True, True, False]
    assert search.joined([np.ones(2, bool), None]) is None


def test_a_slow_rate_drifts_less_than_a_fast_one(draw_cache):
    material = Material.of(draw_cache([40, 12, 4], spread=2.0), None, Options(tune=True), 0)
    settings = [Candidate(resolve(find_method("los"), {"lr": lr, "delta": 0.9})) for lr in (1e-6, 1e-2)]
    slow, fast = search.search(material, settings, 0)
    assert 0 <= slow.drift < 1e-3 < fast.drift <= 2


def test_a_small_set_is_cut_several_times_into_other_samples(draw_cache):
    material = Material.of(draw_cache([40, 10, 5]), None, Options(), 0)
    folds = material.folds()
    assert len(folds) == 5
    assert "5 class-wise cuts" in folds[0].where
    assert sorted(np.concatenate([fold.held.rows for fold in folds]).tolist()) == list(range(55))
    val = Material.of(draw_cache([40, 10, 5]), draw_cache([5, 5, 5], seed=1), Options(), 0)
    assert len(val.folds()) == 1


def test_a_tuned_head_says_what_was_tried_and_by_what_rule(draw_cache):
    head = ltfix.fit(draw_cache([60, 20, 6], spread=2.0), "los", tune=True, epochs=2)
    record = head.meta["selection"]
    assert set(record["chosen"]) == {"delta", "lr", "feature_scale", "normalize"}
    assert record["rule"] in (GAIN, NO_GAIN)
    published = resolve(find_method("los"), {"epochs": 2}).choose("default", delta=0.98)
    whole = candidates(published, tune=True, scaled=True, normalized=True)
    assert sum(not c.later for c in whole) <= len(record["tried"]) <= len(whole)
    assert {"delta", "lr", "feature_scale", "normalize", "score"} <= set(record["tried"][0])
    shifted = ltfix.fit(draw_cache([60, 20, 6]), "los", tune=True, epochs=2, normalize="standardize")
    assert "normalize" not in shifted.meta["selection"]["chosen"]
    assert shifted.meta["coordinates"]["normalize"] == "standardize"
    assert record["start_score"] <= 1


def _began(material, tried: list[Candidate]) -> tuple[list[int], list[int]]:
    rung = search._worth_finishing(material, tried, 0)
    return list(rung.begun), list(rung.going)


def ce_at(rates: list[float]) -> list[Candidate]:
    return [Candidate(resolve(find_method("ce"), {"lr": lr, "epochs": 8})) for lr in rates]


def test_settings_that_are_clearly_behind_do_not_run_to_their_end(draw_cache):
    start = ltfix.Head(np.zeros((3, 8), np.float32), np.zeros(3, np.float32), "stage-1")
    cache = draw_cache([200, 200, 200], spread=2.0)
    cache.head = start
    material = Material.of(cache, None, Options(tune=True), 0)
    rates = [1e-12, 1e-11, 1e-10, 1e-2, 3e-2, 1e-1]
    found = search.search(material, ce_at(rates), 0)
    assert [t.early for t in found][:4] == [True, True, True, False]
    assert [t.correct is None for t in found] == [t.early for t in found]
    labels, on = material.held_labels(), material.folds()[0].where
    record = search.describe(found, 3, BEST, labels=labels, start=material.reference(), on=on)
    assert [entry.get("early", False) for entry in record["tried"]] == [t.early for t in found]
    ended = [(entry["cuts"], entry["score"], entry["early_score"]) for entry in record["tried"][:3]]
    assert all(cuts == 0 and whole is None and 0 < part < record["score"] for cuts, whole, part in ended)
    few = search.search(material, ce_at(rates[:5]), 0)
    assert not any(t.early for t in few)


def otherwise(lost: int, gained: int) -> np.ndarray:
    """As right(0.8), but for so many samples of one class that it loses and of the other that it gains."""
    found = right(0.8)
    found[:lost] = False
    found[-gained:] = True
    return found


@pytest.mark.parametrize(
    ("behind", "drift", "left"),
    [
        ((0, 0, 0), [0.1, 0.3, 0.5], [0, 1, 2]),  # as good as the best: all, whatever the drift
        ((6, 0, 6), [0.1, 0.2, 0.3], [0, 1]),  # within noise of the best, and led from nearer by
        ((3, 0, 3), [0.1, 0.2, 0.3], [0, 1, 2]),  # by less than a point
    ],
)
def test_what_another_one_leads_from_nearer_by_goes_no_further(behind, drift, left):
    known = {number: otherwise(30 + fewer, 30) for number, fewer in enumerate(behind)}
    known[1] = right(0.8)
    assert search._foremost(known, drift, class_weights(LABELS)) == left


def test_of_those_that_are_right_on_the_same_samples_three_go_on():
    known = {number: right(0.8) for number in range(7)} | {7: otherwise(30, 30)}
    drift = [0.4, 0.1, 0.7, 0.2, 0.5, 0.3, 0.6, 0.0]
    assert search._foremost(known, drift, class_weights(LABELS)) == [0, 1, 2, 7]


@pytest.mark.parametrize("seeds", [1, 7])
def test_the_fits_that_were_found_steady_are_the_ones_written(draw_cache, monkeypatch, seeds: int):
    cache, n = draw_cache([40, 30, 20]), []
    fit = Fitter.fit

    def counted(fitter: Fitter, settings, seeds, **how):
        n.extend(seeds if len(fitter.data) == 90 else ())
        return fit(fitter, settings, seeds, **how)

    monkeypatch.setattr(Fitter, "fit", counted)
    plan = plan_fit("ce", {"epochs": 2}, options=Options(tune=True))
    found = plan.train(cache, range(seeds))
    assert n == list(range(max(seeds, steadiness.ON_ALL)))
    monkeypatch.setattr(steadiness, "_is_steady", lambda *_: (True, []))
    for one, other in zip(found, plan.train(cache, range(seeds)), strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        assert one.meta == other.meta


def test_a_higher_rate_speaks_for_the_one_below_it(draw_cache, monkeypatch):
    rates = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0]
    shares = dict(zip(rates, [0.5, 0.5, 0.5, 0.9, 0.9, 0.5], strict=True))
    fold = SimpleNamespace(train=None, held=SimpleNamespace(labels=LABELS), correct=right)
    material = SimpleNamespace(folds=lambda: [fold], start_directions=lambda: [None])
    monkeypatch.setattr(search, "_drift", lambda *_: 0.0)

    def fitted(material, data, tried, seeds):
        assert [c.values["epochs"] for c in tried] == [2] * 6
        yield from enumerate(shares[c.values["lr"]] for c in tried)

    monkeypatch.setattr(search, "side_by_side", fitted)
    assert _began(material, ce_at(rates)) == (list(range(6)), [2, 3, 4])


@pytest.mark.parametrize(("before", "finished"), [(0.6, 6), (0.4, 2)])
def test_where_what_led_ends_behind_the_start_the_others_are_finished(monkeypatch, before, finished: int):
    rates = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0]
    ended = dict(zip(rates, [0.7, 0.7, 0.7, 0.7, 0.5, 0.5], strict=True))
    tried = ce_at(rates)
    rate_of = {c.values["lr"]: rate for c, rate in zip(tried, rates, strict=True)}

    def fitted(material, data, some, seeds):
        for place, one in enumerate(some):
            rate, part = rate_of[one.values["lr"]], one.values["epochs"] == 2
            found = right(0.8 if part else ended[rate])
            found = otherwise(36, 30) if part and rate < 10.0 else found
            yield place, SimpleNamespace(right=found, rate=rate, is_finite=True)

    fold = SimpleNamespace(train=None, held=SimpleNamespace(labels=LABELS), correct=lambda head: head.right)
    material = SimpleNamespace(
        folds=lambda: [fold], start_directions=lambda: [None], reference=lambda: right(before)
    )
    monkeypatch.setattr(search, "_drift", lambda fold, head, start: 1 / head.rate)
    monkeypatch.setattr(search, "side_by_side", fitted)
    found = search.search(material, tried, 0)
    assert [t.correct is not None for t in found] == [rate >= 3.0 or finished == 6 for rate in rates]


@pytest.mark.parametrize(("lost", "finished"), [(36, [2, 3, 4]), (33, [2, 3, 4, 5])])
def test_what_another_leads_that_stays_nearer_to_the_start_is_not_finished(
    monkeypatch, lost: int, finished: list[int]
):
    rates = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0]
    seen = dict(zip(rates, map(right, [0.5, 0.5, 0.6, 0.8, 0.8]), strict=False))
    seen[10.0] = otherwise(lost, 30)  # six samples behind are a point and a half, three less than one
    fold = SimpleNamespace(train=None, held=SimpleNamespace(labels=LABELS), correct=seen.__getitem__)
    material = SimpleNamespace(folds=lambda: [fold], start_directions=lambda: [None])
    monkeypatch.setattr(search, "_drift", lambda fold, rate, start: rate)
    tried = ce_at(rates)
    rate_of = {c.values["lr"]: rate for c, rate in zip(tried, rates, strict=True)}
    monkeypatch.setattr(
        search, "side_by_side", lambda _, data, some, seeds: enumerate(rate_of[c.values["lr"]] for c in some)
    )
    assert _began(material, tried) == (list(range(6)), finished)  # 0.3: 1.0 speaks for it


@pytest.mark.parametrize(
    ("shares", "rounds", "finished"),
    [
        ({30.0: 0.7, 100.0: 0.9}, [[0.1, 1.0, 10.0, 100.0], [30.0]], [100.0, 30.0]),
        (dict.fromkeys(RATES[1:]), [[0.1, 1.0, 10.0, 100.0], [0.01, 0.3, 3.0, 30.0]], [0.01]),
    ],
)
def test_a_rate_is_begun_beside_what_does_well_and_below_what_diverged(monkeypatch, shares, rounds, finished):
    known, seen = dict.fromkeys(RATES, 0.5) | shares, []

    def correct(share: float | None):
        return None if share is None else right(share)

    fold = SimpleNamespace(train=None, held=SimpleNamespace(labels=LABELS), correct=correct)
    tried = candidates(resolve(find_method("ce"), {"epochs": 8}), tune=True)

    def fitted(material, data, some, seeds):
        seen.append([round(c.values["lr"] / tried[3].values["lr"], 6) for c in some])
        yield from enumerate(known[rate] for rate in seen[-1])

    monkeypatch.setattr(search, "side_by_side", fitted)
    monkeypatch.setattr(search, "_drift", lambda *_: 0.0)
    material = SimpleNamespace(folds=lambda: [fold], start_directions=lambda: [None])
    begun, left = _began(material, tried)
    assert seen == rounds
    assert [RATES[n] for n in begun] == [rate for some in rounds for rate in some]
    assert [RATES[n] for n in left] == finished
