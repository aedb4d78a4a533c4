from __future__ import annotations

import pytest

from ltfix.errors import GateMissed, InputError, UsageError
from ltfix.evaluation.gate import demand, missed, outcomes, parse_gates, told


def row(name: str, method: str = "samn", **scores: float | None) -> dict:
    return {"name": name, "method": method, "all": 0.4, "many": 0.6, "medium": 0.4, "few": 0.2, **scores}


def test_bars_are_read_in_percent():
    assert parse_gates("few=20, all = 45.5") == {"few": 20.0, "all": 45.5}
    assert parse_gates("all=100,few=1.5,ece=0.5") == {"all": 100.0, "few": 1.5, "ece": 0.5}
    assert parse_gates("few=1,all=0", "max_drop") == {"few": 1.0, "all": 0.0}
    assert parse_gates("few=20%,all=0.5 %,many=0,worst_class=1") == {
        "few": 20.0,
        "all": 0.5,
        "many": 0.0,
        "worst_class": 1.0,
    }
    assert parse_gates("few=0.05%,all=0.5,ece=0.01", "max_drop") == {"few": 0.05, "all": 0.5, "ece": 0.01}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("few=0.2", r"few=0\.2 is 0\.2 percent: was 20 meant\? .*write few=20, or few=0\.2%"),
        ("few=101", "no percentage"),
        ("few=-3", "no percentage"),
        ("few=many", "no percentage"),
        ("few=nan", "no percentage"),
        ("ece=101", "no percentage"),
        ("few", "not a gate: 'few'"),
        ("few=20,", "not a gate: ''"),
        ("fewer=20", r"no score 'fewer' .*did you mean few"),
        ("few=20,few=30", "few is given twice"),
    ],
)
def test_a_wrong_bar_is_a_usage_error(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_gates(text)


def test_points_that_are_a_fraction_are_asked_about():
    with pytest.raises(UsageError, match=r"was 1 meant\? \(max_drop\): write few=1, or few=0.01%"):
        parse_gates("few=0.01", "max_drop")


def test_a_reached_bar_passes_despite_rounding():
    assert missed(outcomes({"few": 29.0}, [row("a", few=sum([0.1, 0.2, 0.57]) / 3)])) == []
    assert missed(outcomes({"few": 10.0}, [row("a", few=1 - 0.9)])) == []  # 0.09999999999999998


def test_a_missed_bar_names_head_and_figures():
    found = outcomes({"few": 20, "all": 45}, [row("a", all=0.5), row("b", few=0.19994)])
    assert missed(found) == ["b: few 19.99 < 20", "b: all 40.0 < 45"]
    assert found[0] == {"head": "a", "name": "few", "bar": 0.2, "value": 0.2, "passed": True, "seen": None}
    with pytest.raises(GateMissed, match=r"b: few 19\.99 < 20; b: all 40\.0 < 45") as caught:
        demand(found)
    assert caught.value.exit_code == 1


def test_of_ece_the_bar_is_the_most_that_is_allowed():
    low, high = outcomes({"ece": 5.0}, [row("a", ece=0.049), row("b", ece=0.0501)])
    assert (low["passed"], high["passed"]) == (True, False)
    assert told(low) == "a: ece 4.9 ≤ 5"
    assert told(high) == "b: ece 5.01 > 5"


def test_stage_1_is_gated_only_alone():
    stage1 = row("stage-1", "stage-1", few=0.01)
    assert missed(outcomes({"few": 20}, [stage1, row("a")])) == []
    assert missed(outcomes({"few": 20}, [stage1])) == ["stage-1: few 1.0 < 20"]


def test_a_shot_without_a_class_cannot_be_gated():
    with pytest.raises(InputError, match="no tested class is few"):
        outcomes({"few": 20}, [row("a"), row("b", few=None)])
    assert missed(outcomes({"all": 20}, [row("a", few=None)])) == []
