from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from ltfix import cli
from ltfix.cli import console, tables
from ltfix.errors import InputError, UsageError
from ltfix.evaluation.table import Column, Table

RESULT = Table(
    (Column("name", "head"), Column("all", "All", "percent", "max"), Column("n", "n", "count")),
    [{"name": "ce", "all": 0.381, "n": 1}, {"name": "samn-freq", "all": 0.42, "n": None}],
    title="photos",
    notes=("two classes are empty",),
)


def test_a_piped_table_is_plain_and_whole():
    wide = "x" * 300
    lines = tables.draw(["name", "n"], [[wide, 1], ["b", None]], title="T").splitlines()
    assert lines[0] == "T"
    assert lines[3] == f"{wide}   1"
    assert lines[4].endswith("  –")
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 5


def test_a_terminal_keeps_its_width_and_folds(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    text = tables.draw(["name", "n"], [["y" * 100, 12345]])
    assert text.count("y") == 100
    assert "12345" in text
    assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in text.splitlines()) <= 40
    assert tables.draw(["name"], [["y" * 100]], plain=True).splitlines()[2] == "y" * 100


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 << 19, "1.5 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes_are_in_binary_units(n: int, shown: str):
    assert tables.size(n) == shown


def test_a_result_table_marks_the_best_and_says_what_the_mark_is():
    lines = tables.draw_result(RESULT).splitlines()
    assert lines[0] == "photos"
    assert lines[-2:] == ["two classes are empty", tables.BEST_NOTE]
    assert lines[3].split() == ["ce", "38.1", "1"]
    assert lines[4].split() == ["samn-freq", "42.0*", "–"]
    assert lines[3].index("38.1") == lines[4].index("42.0")


def test_write_survives_a_narrow_encoding(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.write("τ = 1")
    assert raw.getvalue().decode().splitlines() == ["? = 1"]


def test_deliver_to_stdout_or_a_file(tmp_path: Path, capsys):
    console.deliver("a\n", None)
    console.deliver("b", Path("-"))
    assert capsys.readouterr().out == "a\nb\n"
    path = tmp_path / "new" / "out.json"
    console.deliver("{}", path)
    assert path.read_text() == "{}\n"
    with pytest.raises(UsageError, match="overwrite=True replaces it"):
        console.deliver("[]", path)
    console.deliver("[]", path, overwrite=True)
    assert path.read_text() == "[]\n"


def test_deliver_into_a_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "f"))):
        console.deliver("x", tmp_path / "f" / "g")


def test_a_table_of_no_rows_shows_its_headings(capsys):
    console.table(["a", "b"], [])
    assert capsys.readouterr().out.split()[:2] == ["a", "b"]


def test_a_note_of_progress_is_one_line_that_no_terminal_obeys(probe, capsys):
    probe.act = lambda: console.progress().note("\x1b[2Jcat\nowl")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == "ltfix: \\u001b[2Jcat owl\n"
