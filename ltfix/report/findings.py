"""Results that were kept in files: sweeps and comparisons as JSON, traces of fits as JSON lines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ltfix import files
from ltfix.errors import InputError, LtfixError
from ltfix.records import record_of
from ltfix.report.subject import Finding, Findings

PLACES = ("*.json", "heads/*.jsonl")
"""Where a project folder has them."""
_SOME = msgspec.Meta(min_length=1)


@dataclasses.dataclass(frozen=True, slots=True)
class _Spread:
    mean: float
    std: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _ShotScores:
    all: _Spread | None
    many: _Spread | None
    medium: _Spread | None
    few: _Spread | None


@dataclasses.dataclass(frozen=True, slots=True)
class _SweepPoint(_ShotScores):
    class_mean: _Spread | None


@dataclasses.dataclass(frozen=True, slots=True)
class _ComparedRow(_ShotScores):
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Sweep:
    method: str
    on_test: bool
    over: Annotated[dict[str, Annotated[list[str | int | float], _SOME]], _SOME]
    points: list[_SweepPoint]

    def __post_init__(self) -> None:
        if len(self.points) != math.prod(map(len, self.over.values())):
            raise ValueError("it has not a point for each setting")


@dataclasses.dataclass(frozen=True, slots=True)
class _Comparison:
    rows: Annotated[list[_ComparedRow], _SOME]


@dataclasses.dataclass(frozen=True, slots=True)
class _TraceLine:
    epoch: float
    seed: int
    loss: float
    val: dict[str, float | None] | None = None
    row_norm: dict[str, float | None] | None = None
    class_norm: list[float] | None = None


TRACE = "ltfix-trace/1"
_KINDS: dict[Any, tuple[str, type[Any]]] = {
    "ltfix-sweep/1": ("sweeps", _Sweep),
    "ltfix-compare/1": ("comparisons", _Comparison),
    TRACE: ("traces", _TraceLine),
}


def find(folder: Path) -> Findings:
    """The results of a project folder; other files are passed over, damaged ones refused (InputError)."""
    paths = [path for place in PLACES for path in sorted(folder.glob(place)) if path.is_file()]
    return read(path for path in paths if _is_ours(path))


def read(paths: Iterable[Path]) -> Findings:
    """The results in files (InputError: a file that is missing, or none of these)."""
    found: dict[str, list[Finding]] = {kind: [] for kind, _ in _KINDS.values()}
    for path in paths:
        content, said = _read(path)
        if said not in _KINDS:
            hint = "give what sweep or compare wrote with format=json, or a trace of fit"
            raise InputError("no sweep, comparison or trace", where=path, hint=hint)
        kind, record = _KINDS[said]
        for value in content if said == TRACE else [content]:
            record_of(record, value, path, said)
        found[kind].append(Finding(path.stem, content))
    return Findings(**found)


def _read(path: Path) -> tuple[Any, str | None]:
    """What a file holds, and what it says that it is; of a trace, which is a list, its first line does."""
    if path.suffix != ".jsonl":
        content = files.read_json(path)
        said = content.get("format") if isinstance(content, dict) else None
        return content, said if isinstance(said, str) and said != TRACE else None
    files.demand_regular(path)
    with files.os_errors(path):
        lines = [files.parse_json(line, path) for line in path.read_bytes().splitlines() if line.strip()]
    traced = bool(lines) and isinstance(lines[0], dict) and lines[0].get("format") == TRACE
    return lines, TRACE if traced else None


def _is_ours(path: Path) -> bool:
    try:
        return _read(path)[1] in _KINDS
    except LtfixError:
        return False
