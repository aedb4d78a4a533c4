"""ltfix.records: what a file may say, and the line that names file and key where it says something else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ltfix import files
from ltfix.errors import InputError
from ltfix.records import Count, Positive, read_record, record_of


@dataclasses.dataclass(frozen=True)
class Part:
    n: Count
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Whole:
    size: Positive
    parts: list[Part]
    rate: float | None = None
    free: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.parts) > self.size:
            raise ValueError("more parts than its size")


VALID: dict[str, Any] = {"size": 2, "parts": [{"n": 0}, {"n": 3, "name": "b"}], "later": 1}


def test_a_record_has_what_the_object_says():
    assert record_of(Whole, VALID, "x") == Whole(2, [Part(0), Part(3, "b")])
    assert record_of(Whole, {**VALID, "rate": 2}, "x").rate == 2.0
    free = {"deep": [{"a": None}], "large": 10**300}
    assert record_of(Whole, {**VALID, "free": free}, "x").free == free


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"size": 0}, "its size: expected a whole number >= 1"),
        ({"size": True}, "its size: expected a whole number, got true or false"),
        ({"size": 2.0}, "its size: expected a whole number, got a number"),
        ({"size": 10**400}, "its size: expected a whole number <= 9223372036854775807"),
        ({"size": 1}, "more parts than its size"),
        ({"parts": None}, "its parts: expected a list, got null"),
        ({"parts": [{"n": 1}, 3]}, "its parts[1]: expected an object, got a whole number"),
        ({"parts": [{}]}, "its parts[0] lacks n"),
        ({"parts": [{"n": -1}]}, "its parts[0].n: expected a whole number >= 0"),
        ({"parts": [{"n": 1, "name": ["\ud800"]}]}, "its parts[0].name: expected a text, got a list"),
        ({"rate": "fast"}, "its rate: expected a number or null, got a text"),
        ({"rate": 10**400}, "its rate: number out of range"),
        ({"free": []}, "its free: expected an object, got a list"),
    ],
)
def test_what_is_wrong_is_one_line(changes: dict[str, Any], line: str):
    with pytest.raises(InputError) as caught:
        record_of(Whole, {**VALID, **changes}, "here.json", hint="make it again")
    assert str(caught.value) == f"{line} (here.json): make it again"


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match=r"^it lacks size \(x\)$"):
        record_of(Whole, {"parts": []}, "x")


@pytest.mark.parametrize("value", [None, 3, "x", [], [VALID]])
def test_anything_but_an_object(value: object):
    with pytest.raises(InputError, match=r"it holds no JSON object \(x\)"):
        record_of(Whole, value, "x")


@pytest.mark.parametrize(
    ("found", "line"),
    [("whole/1", None), ("whole/2", None), ("whole/3", "newer"), ("part/1", "expected"), (None, "expected")],
)
def test_formats(found: object, line: str | None):
    value = {**VALID, "format": found}
    if line is None:
        assert record_of(Whole, value, "x", "whole/2").size == 2
        return
    with pytest.raises(InputError, match=line):
        record_of(Whole, value, "x", "whole/2")


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", '{"size": NaN}', '{"size": -Infinity}', '{"rate": 1e999}', "[" * 300 + "]" * 300,
     '{"size": ' + "9" * 5000 + "}", "\x00"],
)  # fmt: skip
def test_what_is_no_json_names_the_file(tmp_path: Path, text: str):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"not JSON.*x\.json"):
        read_record(Whole, path)


def test_what_is_written_is_read(tmp_path: Path):
    """Numbers that JSON has not are written as null, so that a file of ours is always one."""
    files.write_json(tmp_path / "x.json", {**VALID, "rate": float("inf"), "free": {"a": [float("nan"), 1.5]}})
    json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    found = read_record(Whole, tmp_path / "x.json")
    assert (found.rate, found.free) == (None, {"a": [None, 1.5]})
