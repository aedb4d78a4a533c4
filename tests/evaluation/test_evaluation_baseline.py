from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import cache_of, head_of

from ltfix.errors import InputError, UsageError
from ltfix.evaluation.baseline import pack_correct, read_baseline
from ltfix.evaluation.gate import missed, told
from ltfix.evaluation.measure import evaluate
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head

COUNTS = np.array([500, 50, 5])


@pytest.fixture
def test() -> FeatureCache:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 100)
    return cache_of(np.eye(3)[labels] + rng.normal(size=(300, 3)) * 0.7, labels)


def head(few: float = 1.0) -> Head:
    return head_of(np.diag([1.0, 1.0, few]), method="samn", counts=COUNTS)


def written(path: Path, test: FeatureCache, which: Head, **more) -> Path:
    path.write_text(evaluate(which, test, **more).render("json"), encoding="utf-8")
    return path


def test_a_fall_beyond_what_is_allowed_is_missed(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    found = evaluate(head(0.5), test, baseline=last, max_drop="few=1,all=50")
    few, overall = found.gates
    assert (few["passed"], overall["passed"]) == (False, True)
    assert few["value"] == found.heads[0]["few"] < few["bar"] == few["baseline"] - 0.01
    assert few["paired"]
    assert few["interval"]["low"] <= few["value"] - few["baseline"] <= few["interval"]["high"] < 0
    (line,) = missed(found.gates)
    assert line.startswith("samn: few fell by ")
    assert "points to" in line
    assert "more than 1 (95 % interval of the change -" in line
    assert "noise" not in line
    assert json.loads(found.render("json"))["gates"] == found.gates


def test_a_small_fall_is_missed_and_said_to_be_noise(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    (gate,) = evaluate(head(0.95), test, baseline=last, max_drop="few=0").gates
    assert not gate["passed"]
    assert told(gate).endswith(": inside the noise)")


def test_the_same_head_has_not_fallen(tmp_path: Path, test: FeatureCache):
    names = "few=0,all=0,class_mean=0,harmonic_mean=0,worst_class=0,ece=0"
    last = written(tmp_path / "last.json", test, head(), fail_under="ece=100")
    found = evaluate(head(), test, baseline=last, max_drop=names).gates
    assert missed(found) == []
    assert told(found[0]).startswith(
        f"samn: few stayed at {100 * found[0]['value']:.1f}, may fall by 0 (95 %"
    )
    assert told(found[-1]).endswith(", may rise by 0")


def test_ece_falls_behind_by_rising(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head(), report="calibration")
    sharp = dataclasses.replace(head(), weight=head().weight * 30)
    (gate,) = evaluate(sharp, test, baseline=last, max_drop="ece=2").gates
    assert not gate["passed"]
    assert "ece rose by" in told(gate)


def test_other_samples_are_compared_without_pairs(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    fewer = cache_of(test.features[10:], test.labels[10:])
    found = evaluate(head(0.5), fewer, baseline=last, max_drop="few=1")
    (gate,) = found.gates
    assert gate["interval"] is None
    assert told(gate).endswith("(not paired: the baseline is of other samples)")
    assert found.notes[-1] == (
        "Held to a baseline without pairs of samples: few, since the baseline is of other samples."
    )
    for form in ("json", "github", "junit"):
        assert "the baseline is of other samples" in found.render(form)


def test_a_class_that_crossed_a_shot_leaves_what_is_of_all_classes_paired(tmp_path: Path, test: FeatureCache):
    names = "all=100,few=100,class_mean=100,worst_class=100,top5=100,many=100"
    last = written(tmp_path / "last.json", test, head())
    same = {one["name"]: one for one in evaluate(head(0.5), test, baseline=last, max_drop=names).gates}
    grown = dataclasses.replace(head(0.5), counts=np.array([500, 15, 5]))  # from Medium to Few
    found = evaluate(grown, test, baseline=last, max_drop=names)
    gates = {one["name"]: one for one in found.gates}
    for name, one in gates.items():
        of_a_shot = name == "few"  # Many is of the same classes
        why = "the baseline has other classes in the shots" if of_a_shot else None
        assert (one["paired"], one["unpaired"]) == (not of_a_shot, why)
        assert one["interval"] == (None if of_a_shot else same[name]["interval"])
    assert gates["all"]["interval"]["low"] < gates["all"]["interval"]["high"]
    assert gates["class_mean"]["interval"]
    line = "Held to a baseline without pairs of samples: few, since the baseline has other classes in"
    assert [note for note in found.notes if "pairs" in note] == [f"{line} the shots."]


def test_a_new_class_without_test_samples_leaves_its_shot_paired(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    rows = np.vstack([head().weight, np.zeros(3)]), np.append(head().bias, -99.0)
    grown = dataclasses.replace(head(), weight=rows[0], bias=rows[1], counts=np.array([500, 50, 5, 3]))
    (gate,) = evaluate(grown, test, baseline=last, max_drop="few=1").gates
    assert (gate["paired"], gate["value"]) == (True, gate["baseline"])


def test_classes_that_changed_places_leave_their_shots_without_pairs(tmp_path: Path):
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 50)
    samples = cache_of(np.eye(4)[labels] + [0.2, 0.5, 0.9, 1.3] * rng.normal(size=(200, 4)), labels)
    mine = head_of(np.eye(4), method="samn", counts=np.array([500, 50, 10, 60]))
    last = written(tmp_path / "last.json", samples, mine)
    other = dataclasses.replace(mine, counts=np.array([500, 10, 50, 60]))
    gates = evaluate(other, samples, baseline=last, max_drop="few=100,medium=100,many=100,all=100").gates
    paired = {gate["name"]: gate["paired"] for gate in gates}
    assert paired == {"few": False, "medium": False, "many": True, "all": True}


def test_a_score_over_other_classes_than_the_baseline_s_is_refused(tmp_path: Path):
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(5), 20)
    whole = cache_of(np.eye(5)[labels] + rng.normal(size=(100, 5)), labels)
    part = cache_of(whole.features[:80], whole.labels[:80])  # the last class of Few is not in it
    mine = head_of(np.eye(5), method="samn", counts=np.array([500, 50, 5, 4, 3]))
    last, less = written(tmp_path / "last.json", whole, mine), written(tmp_path / "less.json", part, mine)
    for name, was, now in (("few", 3, 2), ("all", 5, 4), ("ece", 5, 4)):
        with pytest.raises(
            InputError, match=f"{name} of the baseline is of {was} tested classes, here of {now}"
        ):
            evaluate(mine, part, baseline=last, max_drop=f"{name}=100")
    with pytest.raises(InputError, match="few of the baseline is of 2 tested classes, here of 3"):
        evaluate(mine, whole, baseline=less, max_drop="few=100")
    assert not missed(evaluate(mine, part, baseline=last, max_drop="many=100").gates)
    grown = dataclasses.replace(
        mine, counts=np.array([500, 50, 5, 4, 30])
    )  # of the same samples, that is said
    (gate,) = evaluate(grown, whole, baseline=last, max_drop="few=100").gates
    assert gate["unpaired"] == "the baseline has other classes in the shots"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a report of ltfix evaluate"),
        ("", r"not a report of ltfix evaluate .*`ltfix\.evaluate\(\.\.\.\)\.render\(\"json\"\)` writes one"),
        ("\0", "not a report of ltfix evaluate"),
        ('{"format": "ltfix-report/9"}', "of a version that this ltfix cannot read: ltfix-report/9"),
        ('{"format": "ltfix-report/1"}', "without heads or cache"),
        ('{"format": "ltfix-report/1", "cache": {}, "heads": []}', "the baseline has no head samn"),
        (
            '{"format": "ltfix-report/1", "cache": {}, "heads": [{"name": "samn", "few": "x"}]}',
            r"has no few of samn .*fail_under=\"few=0\"\)\.render\(\"json\"\)` writes one with it",
        ),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, test: FeatureCache, text: str, message: str):
    last = tmp_path / "last.json"
    last.write_text(text)
    with pytest.raises(InputError, match=message):
        evaluate(head(), test, baseline=last, max_drop="few=1")


def test_a_first_build_is_told_that_it_has_none(tmp_path: Path):
    with pytest.raises(InputError, match=r"no such file or folder .*: a first build has no baseline"):
        read_baseline(tmp_path / "last.json")


def test_torn_pairs_are_refused(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    content = json.loads(last.read_text())
    content["heads"][0]["correct"] = "AAAA"
    last.write_text(json.dumps(content))
    with pytest.raises(InputError, match="`correct` of samn is torn"):
        evaluate(head(), test, baseline=last, max_drop="few=1")


def test_a_baseline_and_what_may_be_lost_go_together(tmp_path: Path, test: FeatureCache):
    with pytest.raises(UsageError, match=r"it needs max_drop=… beside it \(baseline\)"):
        evaluate(head(), test, baseline=tmp_path / "last.json")
    with pytest.raises(UsageError, match=r"it needs a baseline beside it \(max_drop\)"):
        evaluate(head(), test, max_drop="few=1")


def test_pairs_survive_the_way_through_text(tmp_path: Path, test: FeatureCache):
    right = np.random.default_rng(0).random(300) < 0.5
    last = written(tmp_path / "last.json", test, head())
    found, tested = read_baseline(last), json.loads(last.read_text())["tested"]
    row = {"name": "samn", "correct": pack_correct(right)}
    assert np.array_equal(found.correct(row, 300), right)
    assert found.why_unpaired(row, "few", test.labels, tested) == ""
    assert "other samples" in found.why_unpaired(row, "all", test.labels[1:], tested)
    assert "no `correct`" in found.why_unpaired({"name": "samn"}, "few", test.labels, tested)
    others = {**tested, "few": 2}
    assert "other classes" in found.why_unpaired(row, "few", test.labels, others)
    assert found.why_unpaired(row, "all", test.labels, others) == ""


def test_other_bounds_of_the_shots_are_refused(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head(), few=50)
    with pytest.raises(InputError, match="the baseline is of few = 50, not 20"):
        evaluate(head(), test, baseline=last, max_drop="few=1")
    assert missed(evaluate(head(), test, baseline=last, max_drop="few=1", few=50).gates) == []


def test_a_score_that_nobody_can_have_here_is_refused(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head())
    document = json.loads(last.read_text())
    document["tested"] = {"few": "1"}  # by an older ltfix, or another hand
    last.write_text(json.dumps(document))
    without = cache_of(test.features[:200], test.labels[:200])
    with pytest.raises(InputError, match="no tested class is few, so few cannot be held") as err:
        evaluate(head(), without, baseline=last, max_drop="few=1")
    assert err.value.where == "max_drop"


def test_files_of_one_name_are_held_each_to_its_own(tmp_path: Path, test: FeatureCache):
    good, bad, third = (tmp_path / folder / "ci.safetensors" for folder in ("heads", "other", "third"))
    for path in (good, bad, third):
        path.parent.mkdir()
    head().save(good)
    head(0.5).save(bad)
    last = written(tmp_path / "two.json", test, [good, bad])
    content = json.loads(last.read_text())
    assert [row["name"] for row in content["heads"]] == ["heads/ci", "other/ci"]
    for row in content["heads"]:
        row["name"] = "ci"  # as older ones wrote it
    last.write_text(json.dumps(content))
    gates = evaluate([good, bad], test, baseline=last, max_drop="few=0").gates
    assert [(gate["head"], gate["baseline_head"], gate["passed"]) for gate in gates] == [
        ("heads/ci", "heads/ci", True),
        ("other/ci", "other/ci", True),
    ]
    head(0.5).save(good)
    found = evaluate([good, bad], test, baseline=last, max_drop="few=1")
    assert [gate["passed"] for gate in found.gates] == [False, True]
    assert {'classname="ltfix.heads/ci"', 'classname="ltfix.other/ci"'} <= set(found.render("junit").split())
    (alone,) = evaluate(good, test, baseline=last, max_drop="few=1").gates
    assert (alone["head"], alone["baseline_head"], alone["passed"]) == ("ci", "heads/ci", False)
    head().save(third)
    for given in (third, [good, third]):
        with pytest.raises(InputError, match=r"the baseline has no head (third/)?ci"):
            evaluate(given, test, baseline=last, max_drop="few=1")
    one = written(tmp_path / "one.json", test, good)
    assert evaluate(third, test, baseline=one, max_drop="few=0").gates[0]["baseline_head"] == "ci"
    with pytest.raises(InputError, match="the baseline has no head third/ci"):
        evaluate([good, third], test, baseline=one, max_drop="few=0")


def test_a_gate_that_cannot_be_missed_is_told(tmp_path: Path, test: FeatureCache):
    last = written(tmp_path / "last.json", test, head(), fail_under="ece=100")
    held = {"baseline": last, "max_drop": "few=100,many=1,ece=100", "fail_under": "top5=3,all=0"}
    found = evaluate(head(), test, **held)
    why = {gate["name"]: gate["idle"] for gate in found.gates}
    was = json.loads(last.read_text())["heads"][0]
    assert why == {
        "top5": "of 3 classes each is among the first five",
        "all": None,  # a bar of nothing was asked for
        "few": f"from {100 * was['few']:.1f} it cannot fall by more than 100",
        "many": None,
        "ece": f"from {100 * was['ece']:.1f} it cannot rise by more than 100",
    }
    assert f"Cannot be missed: samn: few, since {why['few']}." in found.notes
    without = cache_of(test.features[:200], test.labels[:200])
    last = written(tmp_path / "last.json", without, head())
    with pytest.raises(InputError, match="no tested class is few, so few cannot be held"):
        evaluate(head(), without, baseline=last, max_drop="few=1")  # nor does the baseline have it
