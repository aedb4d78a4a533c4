"""Records in a notebook: tables of HTML in which every text is escaped."""

from __future__ import annotations

import dataclasses
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import ltfix
from ltfix.cli import tables

HOSTILE = "<script>alert(1)</script>&\x1b[2J"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(record: object) -> Tags:
    tags = Tags()
    tags.feed(record._repr_html_())  # type: ignore[attr-defined]
    assert "script" not in tags.seen
    assert "\x1b" not in tags.text
    return tags


@pytest.fixture
def head() -> ltfix.Head:
    return ltfix.Head(np.eye(3), np.zeros(3), HOSTILE, counts=np.array([500, 50, 5]))


def test_a_head_a_cache_and_a_report(head: ltfix.Head):
    assert "<script>alert(1)</script>&?[2J" in shown(head).text
    cache = ltfix.open_cache((np.eye(3), [0, 1, 2]))
    assert "1 × 3 float32" in shown(cache).text
    report = shown(ltfix.evaluate(head, cache))
    assert "Many n > 100" in report.text
    assert "<script>alert(1)</script>&?[2J" in report.text
    assert report.seen.count("tr") == 2


def test_the_best_of_a_column_is_bold(head: ltfix.Head):
    worse = ltfix.Head(-np.eye(3), np.zeros(3), "worse", counts=head.counts)
    html = ltfix.evaluate([head, worse], (np.eye(3), [0, 1, 2]))._repr_html_()
    assert "<b>100.0</b>" in html
    assert "<b>0.0</b>" not in html


def test_a_shell_and_print_show_what_the_command_line_prints(head: ltfix.Head):
    head = dataclasses.replace(head, classes=("cat", "owl", "猫"))
    test = np.eye(3), ["cat", "owl", "猫"]
    worse = ltfix.Head(-np.eye(3), np.zeros(3), "worse", head.classes, head.counts)
    found = ltfix.evaluate([head, worse], test), ltfix.evaluate([worse], test, "per-class")
    compared = ltfix.compare(test, test, ["ncm"], seeds=1)
    for result in (*found, compared, ltfix.sweep(test, "ce", {"lr": [0.1]}, test=test)):
        drawn = "\n\n".join(tables.draw_result(table, plain=True) for table in result.tables())
        assert str(result) == repr(result) == drawn.replace("\\u001b", "?")
    assert "猫      " in str(found[1])


def test_results_as_data_frames(head: ltfix.Head):
    frame = ltfix.evaluate(head, (np.eye(3), [0, 1, 2])).to_pandas()
    assert frame[["all", "few", "worst_class"]].to_numpy().tolist() == [[1.0, 1.0, 1.0]]
    assert frame["method"].tolist() == [HOSTILE]
    labels = np.repeat([0, 1, 2], [40, 12, 4])
    found = ltfix.sweep((np.eye(3, 8)[labels], labels), "los", {"delta": [0.5, 0.9]}, epochs=1).to_pandas()
    assert found["delta"].tolist() == [0.5, 0.9]
    assert found["all_mean"].dtype == float


def test_pandas_may_be_absent(head: ltfix.Head, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ltfix.EnvironmentFault, match=r'pip install "ltfix\[pandas\]"'):
        ltfix.evaluate(head, (np.eye(3), [0, 1, 2])).to_pandas()
