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
    def draw(width: int, **options) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdout", Terminal() if width else io.StringIO())
        text = tables.draw(COLUMNS, ROWS, right=RIGHT, best={(0, 2)}, **options)
        return re.sub(r"\x1b\[\d*m", "", text).splitlines()

    return draw


def test_a_narrow_terminal_keeps_the_essential_columns_whole(drawn):
    lines = drawn(80, essential=tables.ESSENTIAL)
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
    lines = drawn(width, essential=tables.ESSENTIAL)
    assert len(lines) == 2 + len(ROWS)
    assert lines[0].split()[-1] == "s"
