"""``ltfix demo`` in a fresh process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltfix import cli

Run = Callable[..., CompletedProcess[str]]


def test_the_table_shows_the_tail_repaired_and_what_to_do_next(ltfix: Run, tmp_path: Path) -> None:
    done = ltfix("demo", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [line.replace("*", "").split() for line in done.stdout.splitlines()]
    rows = {words[0]: words[1:] for words in lines if words}
    few = {name: float(words[3]) for name, words in rows.items() if name in ("stage-1", "samn-freq")}
    assert few["samn-freq"] > few["stage-1"] + 20
    assert "Many n > 30" in done.stdout and "CC BY 4.0" in done.stdout
    for command in ("train-backbone", "extract", "fit", "evaluate"):
        assert f"\n  ltfix {command} " in done.stdout.split("your own images")[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ltfix-demo"]
    project = tmp_path / "ltfix-demo"
    assert (project / "report.html").stat().st_size > 100_000
    said = [line.split() for line in done.stdout.splitlines() if ".png: " in line]
    assert len(said) == 4
    assert all(words[1].rstrip(",").isdigit() and words[-1] == "%" for words in said)
    again = ltfix("evaluate", "--many", 30, "--few", 10, cwd=project)
    assert again.returncode == 0, again.stderr
    assert f"{few['samn-freq']}" in again.stdout


def test_a_foreign_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    assert cli.run(["demo", "--out", str(tmp_path)]) == 2
    assert "the folder is not the demo's" in capsys.readouterr().err
