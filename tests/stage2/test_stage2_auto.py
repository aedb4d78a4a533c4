"""Method ``auto``: what it tries, what it takes, and why."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.progress import SILENT
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.tuning import auto
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.verdict import CHANGES, UNCHANGED, Contender, decide


class Said(type(SILENT)):  # type: ignore[misc]
    """What is said while something runs."""

    def __init__(self) -> None:
        self.notes: list[str] = []

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


def test_a_clear_winner_is_taken_whatever_it_changes_and_others_say():
    field = [contender(UNCHANGED, 0, 0.5), contender("la", 1, 0.6), contender("ce", 2, 0.9, odd=40)]
    taken, table, why = decide(field, LABELS)
    assert taken.name == "ce"
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
    assert "ce, which has the highest mean class accuracy" in why


def test_of_those_that_the_best_does_not_clearly_lead_the_one_nearest_to_all_is_taken():
    field = [
        contender(UNCHANGED, 0, 0.5),
        contender("cosine", 3, 0.9, odd=4),
        contender("la", 1, 0.88, shift=5, odd=2),
        contender("tau", 1, 0.89, shift=5, odd=1),
        contender("ce", 2, 0.89, shift=4, odd=3),
    ]
    taken, _, why = decide(field, LABELS)
    assert taken.name == "tau"
    assert why.startswith(f"{taken.name}: cosine scores")
    assert "cosine scores highest (90.0), but does not lead 3 others by 1.64 standard errors" in why
    assert "tau (1.0 ±" in why
    assert "agrees most with them all" in why


def test_one_that_is_clearly_behind_is_not_taken_whoever_agrees():
    field = [
        contender(UNCHANGED, 0, 0.5),
        contender("cosine", 3, 0.9, odd=3),
        contender("la", 1, 0.86),
    ]
    taken, table, _ = decide(field, LABELS)
    assert table[1]["behind"] == pytest.approx(2.83 * table[1]["error"], rel=0.01)
    assert taken.name == "cosine"
    near = [*field[:2], contender("la", 1, 0.89)]
    assert decide(near, LABELS)[0].name == "la"


def test_what_fits_and_chooses_nothing_is_taken_unless_there_is_evidence_against_it():
    field = [
        contender(UNCHANGED, 0, 0.5),
        contender("cosine", 3, 0.9),
        dataclasses.replace(contender("ncm", 3, 0.89, odd=30), plain=True),
    ]
    taken, _, why = decide(field, LABELS)
    assert taken.name == "ncm"
    assert why.startswith("ncm, which fits and chooses nothing: cosine scores highest (90.0)")
    field[2] = dataclasses.replace(
        contender("ncm", 3, 0.86, odd=30), plain=True
    )  # 2.8 standard errors behind
    assert decide(field, LABELS)[0].name == "cosine"


def test_it_is_taken_before_a_probe_but_not_before_a_classifier_that_came_with_the_features():
    ncm = dataclasses.replace(contender("ncm", 3, 0.89, odd=30), plain=True)
    probe, best = contender(UNCHANGED, 0, 0.885), contender("cosine", 3, 0.9)
    assert decide([probe, best, ncm], LABELS)[0].name == "ncm"
    assert decide([dataclasses.replace(probe, plain=True), best, ncm], LABELS)[0].name == UNCHANGED
    above = contender(UNCHANGED, 0, 0.895)
    assert decide([above, best, ncm], LABELS)[0].name == UNCHANGED


def test_of_equal_scores_the_least_change_is_the_highest_and_agreement_decides():
    field = [contender(UNCHANGED, 0, 0.5), contender("ce", 2, 0.9), contender("la", 1, 0.9, odd=1)]
    taken, table, _ = decide(field, LABELS)
    assert [row["method"] for row in table] == ["la", "ce", UNCHANGED]
    assert taken.name == "ce"


def test_without_a_gain_to_be_seen_the_start_stays():
    field = [contender(UNCHANGED, 0, 0.97, odd=9), contender("ce", 2, 0.98)]
    taken, _, why = decide(field, LABELS)
    assert taken.name == UNCHANGED
    assert why.startswith("the start, unchanged: ce scores highest (98.0), but leads it by only 1.0 ± 0.7")


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
    voted = max(set(near) - {UNCHANGED}, key=lambda name: (rows[name]["agreement"], rows[name]["score"]))
    above = rows["ncm"]["score"] >= rows[UNCHANGED]["score"]
    assert head.method == ("ncm" if above and rows["ncm"]["behind"] <= 2 * rows["ncm"]["error"] else voted)
    for name in ("ce", "ncm", head.method):
        own = ltfix.fit(cache, name, val=val, tune=True)
        score = ltfix.evaluate([cache, own], val).heads[1]["all"]
        assert rows[name]["score"] == pytest.approx(score, abs=1e-6)
    assert np.array_equal(head.weight, own.weight)


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
        same = ltfix.fit(cache, head.method, seed=1, tune=True)
        assert np.array_equal(head.weight, same.weight)


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


def test_seeds_share_one_choice(draw_cache, few_methods):
    heads = plan_fit("auto").train(draw_cache([200, 60, 20, 6], spread=2.5), [0, 1])
    assert len({head.method for head in heads}) == 1
    assert heads[0].meta["selection"] == heads[1].meta["selection"]
    assert [head.meta["seed"] for head in heads] == [0, 1]


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
    (tmp_path / "lws-s0.safetensors").unlink()
    again = ltfix.fit(cache, "auto", methods=names, folder=tmp_path)
    assert tuned[3:] == ["lws"]
    assert first.pack("a") == again.pack("a") == ltfix.fit(cache, "auto", methods=names).pack("a")
    ltfix.fit(cache, "auto", methods=names, folder=tmp_path, views_used="first")
    assert len(tuned) == 4 + 3 + 3


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
    assert all(np.array_equal(head.weight, same.weight) for head, same in zip(heads, own, strict=True))


def test_it_says_first_how_much_there_is_to_do(draw_cache):
    said = Said()
    plan_fit("auto", methods=["ncm", "ce"]).train(draw_cache([60, 20, 6]), [0], progress=said)
    assert re.match(r"2 methods to tune: about [\d,]+ passes over 86 samples, \d+ s", said.notes[0])


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
    with pytest.raises(InputError, match="none can be held out"):
        ltfix.fit(draw_cache([1, 1]), "auto")


def test_classes_of_one_sample_each_have_a_validation_cache(draw_cache, few_methods):
    cache, val = draw_cache([1, 1, 1], spread=2.0), draw_cache([8] * 3, spread=2.0, seed=5)
    assert ltfix.fit(cache, "auto", val=val).is_finite
