from __future__ import annotations

import pytest

from ltfix.errors import GateMissed, UsageError
from ltfix.evaluation.gate import check_gates, parse_gates, refuse_empty


def row(name: str, method: str = "samn", **scores: float | None) -> dict:
    return {"name": name, "method": method, "all": 0.4, "many": 0.6, "medium": 0.4, "few": 0.2, **scores}


def test_bars_are_read_in_percent():
    assert parse_gates("few=20, all = 45.5") == {"few": 20.0, "all": 45.5}
    assert parse_gates("all=100,few=1.5") == {"all": 100.0, "few": 1.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("few=0.2", r"few=0\.2 is 0\.2 percent: was 20 percent meant\?"),
        ("few=1", r"was 100 percent meant\?"),
        ("few=0", r"was 0 percent meant\?"),
        ("few=101", "no percentage"),
        ("few=-3", "no percentage"),
        ("few=many", "no percentage"),
        ("few=nan", "no percentage"),
        ("few", "not a gate: 'few'"),
        ("few=20,", "not a gate: ''"),
        ("fewer=20", r"no shot 'fewer' .*did you mean few"),
        ("few=20,few=30", "few is given twice"),
    ],
)
def test_a_wrong_bar_is_a_usage_error(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_gates(text)


def test_a_reached_bar_passes_despite_rounding():
    check_gates({"few": 29.0}, [row("a", few=sum([0.1, 0.2, 0.57]) / 3)])
    check_gates({"few": 10.0}, [row("a", few=1 - 0.9)])  # 0.09999999999999998


def test_a_missed_bar_names_head_and_figures():
    with pytest.raises(GateMissed, match=r"b: few 19\.99 < 20; b: all 40\.0 < 45") as caught:
        check_gates({"few": 20, "all": 45}, [row("a", all=0.5), row("b", few=0.19994)])
    assert caught.value.exit_code == 1


def test_stage_1_is_gated_only_alone():
    stage1 = row("stage-1", "stage-1", few=0.01)
    check_gates({"few": 20}, [stage1, row("a")])
    with pytest.raises(GateMissed, match=r"stage-1: few 1\.0 < 20"):
        check_gates({"few": 20}, [stage1])


def test_a_shot_without_a_class_cannot_be_gated():
    for refuse in (refuse_empty, check_gates):
        with pytest.raises(UsageError, match="no tested class is few"):
            refuse({"few": 20}, [row("a"), row("b", few=None)])
        refuse({"all": 20}, [row("a", few=None)])
