"""Names of classes and files that a terminal or a spreadsheet would obey: shown, never obeyed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from caches import make_head, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from ltfix import files
from ltfix.cli import run
from ltfix.cli.printable import printable
from ltfix.evaluation.formats import encodable, to_csv
from ltfix.evaluation.table import Column, Table

NAMES = [
    "\x1b[2J\x1b]0;owned\x07cat",
    "\x9b31mdog",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\u202egnp.exe",
    "\udcff\ud800",
    "-2+3+cmd",
]
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    values: dict[str, Any] = {"n": 70, "n_classes": 7, "classes": NAMES}
    head = make_head(7, classes=tuple(NAMES), counts=[10] * 7)
    for split in ("train", "test"):
        write_cache(tmp_path / "features" / split, head, **values)
    manifest = tmp_path / "features" / "test" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["created_by"] = "\x1b[5mblink"
    files.write_json(manifest, told)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = [
    ["inspect", "features/test"],
    ["inspect", "features/test", "--all", "--order", "index"],
    ["inspect"],
    ["inspect", "features/test/head.safetensors"],
    ["evaluate", "--cache", "features/test"],
    *(
        ["evaluate", "--cache", "features/test", "--report", report, "--format", form]
        for report in ("per-class", "confusion")
        for form in ("table", "csv", "json", "markdown")
    ),
    *(
        ["predict", "features/test/head.safetensors", "--data", "features/test", "--format", form]
        for form in ("table", "csv", "json", "jsonl")
    ),
    ["inspect", "features/test", "--format", "json"],
    ["inspect", "\x1b[2Jnowhere"],
    ["evaluate", "--cache", "features/\x1b[2Jgone"],
    ["extract", "--data", "\x1b[2J", "--backbone", "cifar_resnet32"],
    ["\x1b[2J"],
    ["inspect", "--\x1b[2J"],
]


@pytest.mark.parametrize("argv", COMMANDS, ids=lambda argv: " ".join(argv).replace("\x1b", "ESC"))
def test_nothing_reaches_the_terminal_raw(project: Path, argv: list[str], capsys: pytest.CaptureFixture[str]):
    code = run(argv)
    out, err = capsys.readouterr()
    assert code == (2 if "\x1b" in "".join(argv) and code == 2 else 3 if "\x1b" in "".join(argv) else 0), err
    assert not OBEYED.search(out + err)
    if "json" in argv:
        assert json.loads(out)


@pytest.mark.parametrize("form", ["csv", "json", "markdown", "table"])
@pytest.mark.parametrize("output", [None, "out.txt"])
def test_names_survive_in_what_programs_read(
    project: Path, form: str, output: str | None, capsys: pytest.CaptureFixture[str]
):
    argv = ["evaluate", "--cache", "features/test", "--report", "per-class", "--format", form]
    assert run([*argv, *(["--output", output] if output else [])]) == 0
    raw = (project / output).read_bytes() if output else os.fsencode(capsys.readouterr().out)
    text = raw.decode("utf-8")
    if form == "json":
        assert [entry["class"] for entry in json.loads(text)["heads"][0]["classes"]] == NAMES
    if form == "csv":
        cells = [row["class"] for row in csv.DictReader(io.StringIO(text))]
        assert cells[2:4] == ["'=cmd|' /C calc'!A0", "'@SUM(1+1)*cmd"]
        assert cells[6] == "'-2+3+cmd"


def test_no_prediction_becomes_a_formula(project: Path):
    argv = ["predict", "features/test/head.safetensors", "--data", "features/test", "--output", "p.csv"]
    assert run(argv) == 0
    with (project / "p.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["label"] for row in csv.DictReader(file)}
    assert labels <= {"'" * (name[0] in "=@-") + encodable(name) for name in NAMES}
    assert any(label.startswith("'") for label in labels)


@given(st.text(min_size=1, max_size=8))
@settings(max_examples=300)
def test_no_name_becomes_a_formula_and_none_is_lost(name: str):
    table = Table((Column("name", "Name"), Column("n", "n", "count")), [{"name": name, "n": -1}])
    (row,) = list(csv.reader(io.StringIO(to_csv(table), newline="")))[1:]
    assert row[0].removeprefix("'") == name.removeprefix("'").replace("\r", " ")
    assert row[1] == "-1"
    if row[0].startswith(("=", "+", "-", "@", "\t", "\r")):
        float(row[0])


@given(st.text())
def test_what_is_printed_is_the_jsons_escape(text: str):
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert printable(shown) == shown
    plain = json.dumps(text, ensure_ascii=False)
    assert json.loads(printable(plain)) == text


@given(st.text(st.characters(categories=None), max_size=10))
def test_any_text_can_be_written(text: str):
    escaped = encodable(text)
    assert escaped.encode().decode() == escaped
