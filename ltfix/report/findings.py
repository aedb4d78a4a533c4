"""Results that were kept in files: sweeps and comparisons as JSON, traces of fits as JSON lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import InputError
from ltfix.evaluation.shots import SHOTS
from ltfix.report.subject import Finding, Findings

PLACES = ("*.json", "heads/*.jsonl")
"""Where a project folder has them."""


def find(folder: Path) -> Findings:
    """The results of a project folder; other files are passed over.

    Raises:
        InputError: a file that says it is such a result, and is not.
    """
    paths = [path for place in PLACES for path in sorted(folder.glob(place)) if path.is_file()]
    return read(path for path in paths if _is_ours(path))


def read(paths: Iterable[Path]) -> Findings:
    """The results in files.

    Raises:
        InputError: a file that is missing, or none of these.
    """
    found: dict[str, list[Finding]] = {kind: [] for kind, _ in _KINDS.values()}
    for path in paths:
        content = _content(path)
        said = _format(content)
        if said not in _KINDS:
            hint = "give what sweep or compare wrote with format=json, or a trace of fit"
            raise InputError("no sweep, comparison or trace", where=path, hint=hint)
        kind, check = _KINDS[said]
        if not check(content):
            raise InputError(f"torn, or not of the format {said}", where=path)
        found[kind].append(Finding(path.stem, content))
    return Findings(**found)


def _content(path: Path) -> Any:
    if path.suffix != ".jsonl":
        return files.read_json(path)
    files.demand_regular(path)
    with files.os_errors(path):
        lines = path.read_bytes().splitlines()
    return [files.parse_json(line, path) for line in lines if line.strip()]


def _format(content: Any) -> Any:
    """What it says that it is; of a trace its first line does."""
    first = content[0] if isinstance(content, list) and content else content
    said = first.get("format") if isinstance(first, dict) else None
    return said if isinstance(said, str) else None


def _is_ours(path: Path) -> bool:
    try:
        return _format(_content(path)) in _KINDS
    except InputError:
        return False


def _is_sweep(found: Any) -> bool:
    over, points = found.get("over"), found.get("points")
    if not isinstance(over, dict) or not over or not all(isinstance(v, list) and v for v in over.values()):
        return False
    scores = ("all", *SHOTS, "class_mean")
    return (
        isinstance(found.get("method"), str)
        and isinstance(found.get("on_test"), bool)
        and _are(points, lambda point: all(_is_spread(point.get(score)) for score in scores))
        and len(points) == math.prod(map(len, over.values()))
        and all(isinstance(v, str | int | float) for values in over.values() for v in values)
    )


def _is_comparison(found: Any) -> bool:
    def is_row(row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("name"), str) and all(_is_spread(row.get(key)) for key in ("all", *SHOTS))

    return _are(found.get("rows"), is_row) and bool(found["rows"])


def _is_trace(found: Any) -> bool:
    def is_epoch(line: Mapping[str, Any]) -> bool:
        shots = [line.get(part) or {} for part in ("val", "row_norm")]
        numbers = [line.get("epoch"), line.get("seed"), line.get("loss")]
        return all(map(_is_number, numbers)) and all(
            isinstance(part, dict) and all(v is None or _is_number(v) for v in part.values())
            for part in shots
        )

    return _are(found, is_epoch)


def _are(items: Any, fits: Callable[[Mapping[str, Any]], bool]) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and fits(item) for item in items)


def _is_spread(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and _is_number(value.get("mean")) and value.get("std", 0) is not False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    "ltfix-sweep/1": ("sweeps", _is_sweep),
    "ltfix-compare/1": ("comparisons", _is_comparison),
    "ltfix-trace/1": ("traces", _is_trace),
}
