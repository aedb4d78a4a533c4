"""Tables: a narrow terminal folds text and drops lesser columns, but cuts no number; pipes are spared."""

from __future__ import annotations

import io
import re
import sys

import pytest

from ltfix.cli import tables

COLUMNS = ["Method", "Seeds", "All", "Many", "Medium", "Few", "Worst class", "Fit s"]
ROWS = [["logit-adjusted-loss-tuned", "5", *["42.8 ± 0.1"] * 4, "3.0 ± 0.7", f"{i}.78"] for i in range(3)]
RIGHT = [False] + [True] * 7


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    def draw(width: int, columns=COLUMNS, rows=ROWS, right=RIGHT, **options) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdout", Terminal() if width else io.StringIO())
        text = tables.draw(columns, rows, right=right, best={(0, 2)}, **options)
        return re.sub(r"\x1b\[\d*m", "", text).splitlines()

    return draw


def test_a_narrow_terminal_keeps_the_essential_columns_whole(drawn):
    lines = drawn(80, essential=6)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == COLUMNS[:6]
    assert lines[-1] == "Left out for want of width: Worst class, Fit s."
    assert sum(line.count("42.8 ± 0.1") for line in lines) == 12
    folded = "".join(line.split("  ")[0].strip() for line in lines[2:-1])
    assert folded == "logit-adjusted-loss-tuned" * 3


def test_what_must_stay_overflows_rather_than_being_cut(drawn):
    lines = drawn(50)
    assert lines[0].split() == " ".join(COLUMNS).split()
    assert sum(line.count("42.8 ± 0.1") for line in lines) == 12
    assert [line.split()[-1] for line in lines if line.rstrip().endswith(".78")] == ["0.78", "1.78", "2.78"]


@pytest.mark.parametrize("width", [0, 160])
def test_with_room_every_row_is_one_line(drawn, width: int):
    lines = drawn(width, essential=6)
    assert len(lines) == 2 + len(ROWS)
    assert lines[0].split()[-1] == "s"


@pytest.mark.parametrize("width", range(40, 110, 3))
def test_text_columns_on_both_sides_cut_no_number(drawn, width: int):
    rows = [["a-class-of-a-long-name", "many", "88.1", "another-class-of-a-long-name", "259"]]
    lines = drawn(width, ["Class", "Shot", "Recall", "Predicted most", "n"], rows, right=[0, 0, 1, 0, 1])
    assert "88.1*" in lines[2]
    assert lines[2].endswith(" 259")


def test_every_column_of_a_table_stays_where_it_does_not_say_which(drawn):
    lines = drawn(40, ["Class"] * 9, [["12345678"] * 9], right=[True] * 9)
    assert lines[2].split() == ["12345678"] * 2 + ["12345678*"] + ["12345678"] * 6


def test_text_is_folded_between_words_where_that_is_enough(drawn):
    rows = [["head", "heads/logit-adjust.safetensors", "logit-adjust, 64 dimensions, 10 classes", "3.4 KiB"]]
    found = drawn(70, ("kind", "path", "holds", "size"), rows, [False] * 4)
    text = " ".join(" ".join(found).split())
    assert all(word in text for cell in rows[0] for word in cell.split())
    assert "3.4 KiB" in text
    assert len(found) > 3
    assert max(map(len, found)) <= 70


def test_blanks_behind_a_number_stay(drawn):
    lines = drawn(80, ["Method", "Difference"], [["a", "+1.0 †"], ["b", "−12.0  "]], [False, True])
    assert lines[2].index(".") == lines[3].index(".")
