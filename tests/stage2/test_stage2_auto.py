"""Method ``auto``: what it tries, what it takes, and why."""

from __future__ import annotations

import dataclasses
import re

import caches
import numpy as np
import pytest
from caches import make_features, make_head, write_cache

import ltfix
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.features.layout import CachePlan
from ltfix.progress import SILENT
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting import context
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.tuning import auto, budget, means
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.verdict import CHANGES, UNCHANGED, Contender, Verdict, decide


class Said(type(SILENT)):  # type: ignore[misc]
    """What is said while something runs."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: list[str] = []

    def start(self, what: str, total: int, unit: str) -> None:
        self.started.append(what)

    def note(self, text: str) -> None:
        self.notes.append(text)


LABELS = np.repeat(np.arange(2), 100)


def right(share: float, shift: int = 0) -> np.ndarray:
    """Right on so many samples of each class; ``shift`` moves which."""
    return np.tile(np.roll(np.arange(100) < 100 * share, shift), 2)


def contender(name: str, change: int, share: float, shift: int = 0, odd: int = 0) -> Contender:
    """As right as ``right`` says; of 50 samples it says of ``odd`` what nobody else says of them."""
    sure = np.tile([1.0, 0.0, -1.0], (50, 1))
    first = 10 * (sum(map(ord, name)) % 4)
    sure[first : first + odd] = [-1.0, 0.0, 1.0]
    return Contender(name, change, right(share, shift), sure)


def judged(
    field: list[Contender],
    means: np.ndarray | None = None,
    both: np.ndarray | None = None,
    fresh: bool = False,
    average: bool = True,
) -> Verdict:
    """The verdict: class means that are nowhere right unless some are given, with which it does alike."""
    means = np.zeros(200, bool) if means is None else means
    mean = (lambda taken: taken.correct if both is None else both) if average else None
    return decide(field, means, LABELS, fresh=fresh, mean=mean)


def test_a_clear_winner_is_taken_whatever_it_changes_and_others_say():
    field = [contender(UNCHANGED, 0, 0.5), contender("la", 1, 0.6), contender("ce", 2, 0.9, odd=40)]
    verdict = judged(field)
    table = verdict.table
    assert verdict.taken.name == "ce"
    assert [row["method"] for row in table] == ["ce", "la", UNCHANGED]
    assert table[1] == {
        "method": "la",
        "score": 0.6,
        "behind": 0.3,
        "error": pytest.approx(np.sqrt(60) / 200, abs=1e-6),
        "agreement": 0.2,
        "changes": CHANGES[1],
    }
    assert table[0]["agreement"] == 1.0
    assert "ce, which has the highest mean class accuracy" in verdict.why


def test_of_those_that_the_best_does_not_clearly_lead_the_one_nearest_to_all_is_taken():
    field = [
        contender(UNCHANGED, 0, 0.5),
        contender("cosine", 3, 0.9, odd=4),
        contender("la", 1, 0.88, shift=5, odd=2),
        contender("tau", 1, 0.89, shift=5, odd=1),
        contender("ce", 2, 0.89, shift=4, odd=3),
    ]
    verdict = judged(field)
    why = verdict.why
    assert verdict.taken.name == "tau"
    assert why.startswith("tau: cosine scores")
    assert "cosine scores highest (90.0), but does not lead 3 others by 1.64 standard errors" in why
    assert "tau, 1.0 (standard error" in why
    assert "agrees most with them all" in why


def test_one_that_is_clearly_behind_is_not_taken_whoever_agrees():
    field = [
        contender(UNCHANGED, 0, 0.5),
        contender("cosine", 3, 0.9, odd=3),
        contender("la", 1, 0.86),
    ]
    verdict = judged(field)
    assert verdict.table[1]["behind"] == pytest.approx(2.83 * verdict.table[1]["error"], rel=0.01)
    assert verdict.taken.name == "cosine"
    near = [*field[:2], contender("la", 1, 0.89)]
    assert judged(near).taken.name == "la"


def test_a_linear_head_goes_before_one_that_cannot_be_averaged():
    curved = ltfix.Head(np.eye(3, 4), np.zeros(3), "cosine", transform={"kind": "l2", "groups": 1})
    cosine = dataclasses.replace(contender("cosine", 3, 0.9), head=curved)
    start = contender(UNCHANGED, 0, 0.5)
    verdict = judged([start, cosine, contender("ce", 2, 0.89, odd=30)], right(0.9))
    assert (verdict.taken.name, verdict.averaged) == ("ce", True)
    alone = judged([start, cosine, contender("ce", 2, 0.8)], right(0.9))
    assert (alone.taken.name, alone.averaged) == ("cosine", False)
    assert "average" not in alone.why


def test_what_is_taken_is_averaged_with_class_means_that_the_start_does_not_clearly_lead():
    field = [contender(UNCHANGED, 0, 0.8), contender("ce", 2, 0.9)]
    alone = "(alone these score 79.0 by their directions; ncm goes by distances)"
    found = judged(field, right(0.79), right(0.5))  # 1.4 standard errors
    assert found.averaged
    assert np.array_equal(found.correct, right(0.5))
    assert found.why.endswith(f"; averaged with the class means, with which it scores 50.0 {alone}")
    assert not judged(field, right(0.79), average=False).averaged
    left = judged(field, right(0.77))  # 2.4
    assert not left.averaged
    assert np.array_equal(left.correct, right(0.9))
    assert (
        "; not averaged with the class means, which the start clearly leads (alone these score 77.0"
        in left.why
    )


def test_on_fresh_samples_the_average_must_do_no_worse():
    field = [contender(UNCHANGED, 0, 0.8), contender("ce", 2, 0.9)]
    worse = judged(field, right(0.85), right(0.89), fresh=True)
    assert not worse.averaged
    assert np.array_equal(worse.correct, right(0.9))
    assert "; not averaged with the class means, with which it scores 89.0 (alone" in worse.why
    assert judged(field, right(0.5), right(0.9), fresh=True).averaged


def test_rounding_does_not_decide_between_equal_scores():
    labels, half = np.repeat([0, 1, 2], [2, 5, 7]), np.zeros(14, bool)
    for shift in range(14):
        half[:] = False
        half[[0, 2, 7]] = True
        other = np.concatenate(
            [np.roll(half[:2], shift), np.roll(half[2:7], shift), np.roll(half[7:], shift)]
        )
        start = dataclasses.replace(contender(UNCHANGED, 0, 0.5), correct=half.copy())
        assert decide([start], half, labels, fresh=True, mean=lambda _, other=other: other).averaged


def test_a_probe_that_stays_is_averaged_and_a_classifier_that_came_is_left_alone():
    field = [contender(UNCHANGED, 0, 0.89), contender("ce", 2, 0.9)]
    verdict = judged(field, right(0.9))
    assert (verdict.taken.name, verdict.averaged) == (UNCHANGED, True)
    came = judged([dataclasses.replace(field[0], came=True), field[1]], right(0.9))
    assert (came.taken.name, came.averaged) == (UNCHANGED, False)


@pytest.mark.parametrize("counts", [[60, 20, 6, 1], [60, 0, 20, 6, 0, 0]])
def test_the_average_is_of_both_heads_logits_at_one_spread(draw_cache, counts: list[int]):
    """By numpy from the formula, on float64 copies of the features; classes without samples play no part."""
    cache = draw_cache(counts, spread=2.5, stage1=False)
    head = ltfix.fit(cache, "ce", views_used="first")
    material = Material.of(cache, None, Options(views_used="first"), 0)
    got = means.averaged(head, material, material.data)
    there = np.flatnonzero(cache.counts)
    x, labels = cache.features[:, 0].astype(np.float64), cache.labels
    centers = np.stack([x[labels == k].mean(0) for k in there])
    center = centers.mean(0)
    rows = (centers - center) / np.linalg.norm(centers - center, axis=1, keepdims=True)
    z, m = (x @ head.weight.T.astype(np.float64) + head.bias)[:, there], (x - center) @ rows.T
    spreads = [np.sqrt(np.square(a - a.mean(1, keepdims=True)).mean()) for a in (z, m)]
    expected = (z + m * spreads[0] / spreads[1]) / 2
    assert np.allclose(got.logits(x.astype(np.float32))[:, there], expected, atol=1e-4)
    assert got.method == "ce"


def test_a_class_without_samples_is_never_predicted_after_it_either(draw_cache):
    cache = draw_cache([60, 20, 0, 6], spread=2.5, stage1=False)
    head = ltfix.fit(cache, "ce")
    material = Material.of(cache, None, Options(), 0)
    got = means.averaged(head, material, material.data)
    assert 2 not in got.predict(
        np.random.default_rng(0).normal(size=(2000, cache.dim)).astype(np.float32) * 9
    )


def test_of_equal_scores_the_least_change_is_the_highest_and_agreement_decides():
    field = [contender(UNCHANGED, 0, 0.5), contender("ce", 2, 0.9), contender("la", 1, 0.9, odd=1)]
    verdict = judged(field)
    assert [row["method"] for row in verdict.table] == ["la", "ce", UNCHANGED]
    assert verdict.taken.name == "ce"


def test_without_a_gain_to_be_seen_the_start_stays():
    field = [contender(UNCHANGED, 0, 0.97, odd=9), contender("ce", 2, 0.98)]
    verdict = judged(field)
    assert verdict.taken.name == UNCHANGED
    assert verdict.why.startswith(
        "the start, unchanged: ce scores highest (98.0), but leads it by only 1.0 (standard error 0.7)"
    )


def test_on_the_whole_table_every_method_is_tuned_or_left_out_and_the_rule_decides(draw_cache):
    cache, val = draw_cache([40, 12, 5], dim=6, spread=2.5), draw_cache([8] * 3, dim=6, spread=2.5, seed=5)
    head = ltfix.fit(cache, "auto", val=val)
    record = head.meta["selection"]["auto"]
    rows = {row["method"]: row for row in record["tried"]}
    assert set(record["left_out"]) == {"etf"}
    assert "simplex" in record["left_out"]["etf"]
    assert set(rows) == {UNCHANGED, *(m.name for m in ltfix.methods())} - {"etf"}
    scores = [row["score"] for row in record["tried"]]
    assert scores == sorted(scores, reverse=True)
    changes = {name: CHANGES.index(row["changes"]) for name, row in rows.items()}
    assert [changes[name] for name in (UNCHANGED, "tau-norm", "ce", "ncm", "causal")] == [0, 1, 2, 3, 3]
    near = [name for name, row in rows.items() if row["behind"] <= 1.64 * row["error"]]
    assert rows[UNCHANGED]["behind"] > 1.64 * rows[UNCHANGED]["error"]
    own = {name: ltfix.fit(cache, name, val=val, tune=True) for name in ("ce", "ncm", *near)}
    linear = [name for name in near if own[name].transform is None]
    voted = max(linear, key=lambda name: (rows[name]["agreement"], rows[name]["score"]))
    assert head.method == voted
    for name, fitted in own.items():
        score = ltfix.evaluate([cache, fitted], val).heads[1]["all"]
        assert rows[name]["score"] == pytest.approx(score, abs=1e-6)
    material = Material.of(cache, val, Options(), 0)
    mean = means.averaged(own[voted], material, material.data)
    assert np.array_equal(head.weight, (mean if record["averaged"] else own[voted]).weight)
    score = ltfix.evaluate([cache, head], val).heads[1]["class_mean"]  # of the head as it is
    assert head.meta["selection"]["score"] == pytest.approx(score, abs=1e-6)
    assert record["alone"] == rows[voted]["score"]


@pytest.fixture
def few_methods(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names = ["ce", "logit-adjust", "balanced-softmax", "ncm", "etf"]
    methods = [m for m in ltfix.methods() if m.name in names]
    monkeypatch.setattr(auto, "methods", lambda: methods)
    return names


def test_the_head_is_the_tuned_methods_own_and_records_the_rest(draw_cache, few_methods):
    cache = draw_cache([200, 60, 20, 6], spread=2.5)
    head = ltfix.fit(cache, "auto", seed=1)
    record = head.meta["selection"]["auto"]
    assert {row["method"] for row in record["tried"]} == {*few_methods, UNCHANGED} - {"etf"}
    assert "simplex" in record["left_out"]["etf"]
    assert "class-wise cuts" in record["on"]
    assert head.meta["seed"] == 1
    if head.method != UNCHANGED:
        same, material = (
            ltfix.fit(cache, head.method, seed=1, tune=True),
            Material.of(cache, None, Options(), 1),
        )
        mean = means.averaged(same, material, material.data)
        assert np.array_equal(head.weight, (mean if record["averaged"] else same).weight)


def test_an_untouched_start_is_a_head_too(draw_cache, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(auto, "methods", list)
    cache = draw_cache([60, 20, 6])
    head = ltfix.fit(cache, "auto")
    assert head.method == UNCHANGED
    assert np.array_equal(head.weight, cache.head.weight)
    head.save(tmp_path / "auto.safetensors")
    assert ltfix.load_head(tmp_path / "auto.safetensors").meta["init"] == {"from": "stage1"}
    cache.head = dataclasses.replace(cache.head, transform={"kind": "l2", "groups": 1})
    assert ltfix.fit(cache, "auto").transform == {"kind": "l2", "groups": 1}
    assert [h.meta["seed"] for h in plan_fit("auto").train(cache, [3, 5])] == [3, 5]
    probe = ltfix.fit(draw_cache([60, 20, 6], stage1=False), "auto")
    assert probe.meta["init"] == {"from": "probe"}
    assert probe.method == ("auto" if probe.meta["selection"]["auto"]["averaged"] else UNCHANGED)


def test_seeds_share_one_choice(draw_cache, few_methods):
    heads = plan_fit("auto").train(draw_cache([200, 60, 20, 6], spread=2.5), [0, 1])
    assert len({head.method for head in heads}) == 1
    assert heads[0].meta["selection"] == heads[1].meta["selection"]
    assert [head.meta["seed"] for head in heads] == [0, 1]


def test_the_score_is_of_the_average_that_is_written_on_the_same_cuts(draw_cache, monkeypatch):
    cache, said = draw_cache([200, 60, 20, 6], spread=2.5, stage1=False), Said()
    monkeypatch.setattr(auto, "methods", list)
    selection = plan_fit("auto").train(cache, [0], progress=said)[0].meta["selection"]
    material = Material.of(cache, None, Options(), 0)
    folds, labels = material.folds(), material.held_labels()
    heads = [means.averaged(material.start(fold.train), material, fold.train) for fold in folds]
    right = np.concatenate([fold.correct(head) for fold, head in zip(folds, heads, strict=True)])
    score = np.mean([right[labels == k].mean() for k in range(4)])
    assert selection["auto"]["averaged"]
    assert selection["score"] == pytest.approx(score, abs=1e-6)
    assert selection["auto"]["alone"] == selection["start_score"] == selection["auto"]["tried"][0]["score"]
    assert f"on the validation samples {100 * score:.1f}, of the start" in said.notes[-1]


def test_an_average_that_has_less_there_is_told_with_its_reason(draw_cache, monkeypatch):
    worse = lambda head, material, data: dataclasses.replace(head, weight=0 * head.weight, bias=0 * head.bias)  # noqa: E731
    monkeypatch.setattr(auto, "averaged", worse)
    monkeypatch.setattr(auto, "methods", list)
    head = ltfix.fit(draw_cache([200, 60, 20, 6], spread=2.5, stage1=False), "auto")
    selection = head.meta["selection"]
    less = 100 * (selection["auto"]["alone"] - selection["score"])
    why = selection["auto"]["why"]
    assert "averaged with the class means, with which it scores 25.0 (alone these score" in why
    assert f"; the average has {less:.1f} less than unchanged alone and is taken all the same: samples" in why


def test_of_features_whose_backbone_has_not_seen_them_it_is_not_taken(tmp_path, monkeypatch):
    """As `extract` makes them: a named backbone, without a classifier of these classes."""
    worse = lambda head, material, data: dataclasses.replace(head, weight=0 * head.weight, bias=0 * head.bias)  # noqa: E731
    monkeypatch.setattr(auto, "averaged", worse)
    monkeypatch.setattr(auto, "methods", list)

    def clouds(plan: CachePlan) -> np.ndarray:
        return np.eye(3, 4)[plan.labels][:, None] + make_features(plan)

    monkeypatch.setattr(caches, "make_features", clouds)
    selection = ltfix.fit(write_cache(tmp_path / "train", n=120), "auto").meta["selection"]
    assert not selection["auto"]["averaged"]
    assert selection["score"] == selection["auto"]["alone"] == selection["start_score"]
    seen = write_cache(tmp_path / "seen", head=make_head(), n=120)
    assert ltfix.fit(seen, "auto", init="probe").meta["selection"]["auto"]["averaged"]


def test_of_a_method_it_is_that_of_the_fits_that_were_scored(draw_cache, monkeypatch):
    monkeypatch.setattr(auto, "averaged", lambda head, material, data: head)
    cache = draw_cache([200, 60, 20, 6], spread=2.5)
    cache.head = dataclasses.replace(cache.head, weight=np.zeros_like(cache.head.weight))
    head = ltfix.fit(cache, "auto", methods=["ce"])
    selection = head.meta["selection"]
    assert head.method == "ce"
    assert selection["auto"]["averaged"]
    assert selection["score"] == pytest.approx(selection["auto"]["alone"], abs=0.005)
    assert selection["auto"]["alone"] == selection["auto"]["tried"][0]["score"] > selection["start_score"]


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the methods that are tuned, as they are."""
    found: list[str] = []
    choose = MethodFit.choose

    def counted(fit: MethodFit, **options: bool) -> Choice:
        found.append(fit.values.method.name)
        return choose(fit, **options)

    monkeypatch.setattr(MethodFit, "choose", counted)
    return found


def test_what_was_tuned_is_kept_and_taken_from_there(draw_cache, tmp_path, tuned):
    cache, names = draw_cache([200, 60, 20, 6], spread=2.5), ["ncm", "tau-norm", "lws"]
    first = ltfix.fit(cache, "auto", methods=names, folder=tmp_path)
    assert sorted(tuned) == sorted(names)
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {f"{name}-s0" for name in names}
    said = Said()
    plan_fit("auto", methods=names).train(cache, [0], folder=tmp_path, progress=said)
    assert "3 tuned methods are taken" in " ".join(said.notes)
    assert set(said.started) == {"fit"}  # of the average, on each cut
    (tmp_path / "lws-s0.safetensors").unlink()
    again = ltfix.fit(cache, "auto", methods=names, folder=tmp_path)
    assert tuned[3:] == ["lws"]
    assert first.pack("a") == again.pack("a") == ltfix.fit(cache, "auto", methods=names).pack("a")
    plain = ltfix.fit(cache, "auto", methods=names, folder=tmp_path, average=False)
    assert len(tuned) == 4 + 3  # none more than without a folder
    assert plain.meta["selection"]["auto"]["average"] is False
    other = {"methods": names, "folder": tmp_path, "views_used": "first"}
    with pytest.raises(UsageError, match="finished heads with views_used=random are there"):
        ltfix.fit(cache, "auto", **other)
    plan_fit("auto", methods=names, options=Options(views_used="first")).train(
        cache, [0], folder=tmp_path, overwrite=True
    )
    assert len(tuned) == 4 + 3 + 3


def test_a_folder_that_cannot_be_written_is_no_fault_of_a_method(draw_cache, tmp_path):
    (tmp_path / "tau-norm-s0.safetensors").mkdir()
    plan = plan_fit("auto", methods=["ncm", "tau-norm"])
    with pytest.raises(EnvironmentFault, match=r"is a directory.*tau-norm-s0"):
        plan.train(draw_cache([60, 20, 6]), [0], folder=tmp_path, overwrite=True)


def test_an_interrupted_time_budget_goes_on_with_the_passes_that_it_began_with(
    draw_cache, tmp_path, monkeypatch
):
    def run(pace: float) -> tuple[ltfix.Head, list[str]]:
        monkeypatch.setattr(budget, "_seconds_a_pass", lambda _: pace)
        plan = plan_fit("auto", methods=["ce", "cb"], options=Options(budget="50s"))
        said = Said()
        return plan.train(cache, [0], folder=tmp_path, progress=said)[0], said.notes

    cache = draw_cache([60, 20, 6], spread=2.0)
    first, notes = run(0.1)
    again, told = run(50.0)  # the machine is busy now
    assert again.pack("a") == first.pack("a")
    assert not any("begun" in text for text in notes)
    assert any("passes of the begun run in" in text for text in told)
    assert any(text.startswith("2 tuned methods are taken from") for text in told)


def test_what_is_kept_of_other_features_is_refused_before_anything_is_solved(
    draw_cache, tmp_path, monkeypatch
):
    counts, names = [60, 20, 6], ["ncm", "ce"]
    ltfix.fit(draw_cache(counts), "auto", methods=["ncm"], folder=tmp_path)
    other = draw_cache(counts, seed=1, stage1=False)
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="heads of other features are there"):
        patch.setattr(context, "find_probe", None)
        ltfix.fit(other, "auto", methods=names, folder=tmp_path)
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="heads of other features are there"):
        patch.setattr(context, "find_probe", None)
        ltfix.compare(other, draw_cache([5] * 3, seed=2, stage1=False), names, folder=tmp_path)


def test_what_was_kept_lists_its_values_in_the_methods_order(draw_cache, tmp_path):
    cache = draw_cache([60, 20, 6], spread=2.5)
    fresh, kept = (ltfix.fit(cache, "auto", methods=["samn"], folder=tmp_path) for _ in range(2))
    assert list(fresh.meta["values"]) == list(kept.meta["values"])
    assert len(fresh.meta["values"]) != 1


def test_an_untouched_head_that_was_given_names_its_file(draw_cache, monkeypatch, tmp_path):
    monkeypatch.setattr(auto, "methods", list)
    cache = draw_cache([60, 20, 6])
    sha256 = cache.head.save(tmp_path / "mine.safetensors")
    head = ltfix.fit(cache, "auto", init=tmp_path / "mine.safetensors")
    assert head.meta["init"] == {"from": "head", "file": "mine.safetensors", "sha256": sha256}
    assert ltfix.fit(cache, "auto", init=cache.head.named("slow")).name == UNCHANGED


def test_the_one_taken_is_not_fitted_twice(draw_cache, monkeypatch: pytest.MonkeyPatch):
    fitted: list[tuple[str, list[int]]] = []
    train = MethodFit.train

    def counted(fit: MethodFit, choice: Choice, seeds: list[int], *args: object, **named: object) -> object:
        fitted.append((fit.values.method.name, seeds[len(named.get("done", [])) :]))
        return train(fit, choice, seeds, *args, **named)

    monkeypatch.setattr(MethodFit, "train", counted)
    cache = draw_cache([200, 60, 20, 6], spread=2.5, stage1=False)
    cache.head = ltfix.Head(np.zeros((4, 8), np.float32), np.zeros(4, np.float32), "stage-1")
    heads = plan_fit("auto", methods=["ce"]).train(cache, [0, 1])
    assert fitted == [("ce", [0]), ("ce", [1])]
    own = plan_fit("ce", {"tune": True}).train(cache, [0, 1])
    if heads[0].meta["selection"]["auto"]["averaged"]:
        material = Material.of(cache, None, Options(), 0)
        own = [means.averaged(head, material, material.data) for head in own]
    assert all(np.array_equal(head.weight, same.weight) for head, same in zip(heads, own, strict=True))


@pytest.mark.parametrize("budget", [None, "9h", "9999999p"])
def test_it_says_first_how_much_there_is_to_do(draw_cache, budget: str | None):
    said = Said()
    plan = plan_fit("auto", methods=["ncm", "ce"], options=Options(budget=budget))
    plan.train(draw_cache([60, 20, 6]), [0], progress=said)
    assert re.match(r"2 methods to tune: about [\d,]+ passes over 86 samples, \d+ s", said.notes[0])


def test_it_says_nothing_of_what_is_kept(draw_cache, tmp_path):
    said, plan, cache = Said(), plan_fit("auto", methods=["ncm", "ce"]), draw_cache([60, 20, 6])
    plan.train(cache, [0], folder=tmp_path)
    plan.train(cache, [0], folder=tmp_path, progress=said)
    assert said.notes[0].startswith("2 tuned methods are taken from")
    assert not any("to tune" in note for note in said.notes)


def test_on_a_validation_cache_nothing_is_cut(draw_cache, few_methods):
    cache, val = draw_cache([200, 60, 20, 6], spread=2.5), draw_cache([30] * 4, spread=2.5, seed=5)
    record = ltfix.fit(cache, "auto", val=val).meta["selection"]["auto"]
    assert "validation cache" in record["on"]


def test_what_is_refused(draw_cache):
    with pytest.raises(UsageError, match="auto chooses lr itself"):
        ltfix.fit(draw_cache([9, 4]), "auto", lr=0.1)
    with pytest.raises(UsageError, match="auto chooses loss itself"):
        ltfix.fit(draw_cache([9, 4]), "auto", loss="los")
    with pytest.raises(UsageError, match="what method auto chooses among"):
        ltfix.fit(draw_cache([9, 4]), "ce", methods=["ncm"])
    with pytest.raises(UsageError, match="unknown method 'ncn'"):
        ltfix.fit(draw_cache([9, 4]), "auto", methods=["ncn"])
    ncm = find_method("ncm")
    assert plan_fit("auto", methods=["ncm", ncm]) == plan_fit("auto", methods=["ncm"])
    with pytest.raises(UsageError, match="ncm is asked for twice, for two methods"):
        plan_fit("auto", methods=[ncm, dataclasses.replace(ncm, summary="other")])
    with pytest.raises(InputError, match="none can be held out"):
        ltfix.fit(draw_cache([1, 1]), "auto")


def test_classes_of_one_sample_each_have_a_validation_cache(draw_cache, few_methods):
    cache, val = draw_cache([1, 1, 1], spread=2.0), draw_cache([8] * 3, spread=2.0, seed=5)
    assert ltfix.fit(cache, "auto", val=val).is_finite
