"""The points of a value that is swept: lists and logarithmic ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ltfix.errors import UsageError
from ltfix.stage2.methods.parts import Value

STEPS_A_DECADE = 2
MOST_POINTS = 10_000


def parse_over(text: str) -> tuple[str, list[str]]:
    """``NAME=A,B,C`` or ``NAME=LOW..HIGH[:N]`` as a name and its points, still text.

    A range is logarithmic, ends included: N points, else two a decade (``1e-5..1e-1`` is nine).

    Raises:
        UsageError: neither; an end that is no positive number; fewer than two points.
    """
    name, equals, points = text.partition("=")
    where = f"over={text}"
    if not equals or not name.strip() or not points.strip():
        hint = "lr=1e-5..1e-1, delta=0.5,0.9"
        raise UsageError("this is no NAME=LIST or NAME=LOW..HIGH", where=where, hint=hint)
    key = name.strip().replace("-", "_")
    found = _range(points, where) if ".." in points else [point.strip() for point in points.split(",")]
    if "" in found or len(found) < 2 or len(set(found)) < len(found):
        raise UsageError("a sweep needs two different points or more", where=where)
    return key, found


def _range(text: str, where: str) -> list[str]:
    ends, _, count = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    try:
        low, high = float(low_text), float(high_text)
        number = int(count) if count else None
    except ValueError:
        hint = "LOW..HIGH or LOW..HIGH:N, as in 1e-5..1e-1:9"
        raise UsageError(f"not a range: {text!r}", where=where, hint=hint) from None
    if not (0 < low < high < math.inf):
        hint = "a range is logarithmic: 0 < LOW < HIGH; for others write a list"
        raise UsageError(f"not a range: {text!r}", where=where, hint=hint)
    n = round(STEPS_A_DECADE * math.log10(high / low)) + 1 if number is None else number
    if not 2 <= n <= MOST_POINTS:
        raise UsageError(f"a range of {n} points", where=where, hint=f"2 to {MOST_POINTS}")
    return [f"{value:.6g}" for value in np.geomspace(low, high, n)]


def read_points(name: str, points: Sequence[Any], spec: Value) -> list[Any]:
    """The points of one value, checked and in its own kind; whole-number values are rounded.

    Raises:
        UsageError: a point is none that the value may have.
    """
    whole = isinstance(spec.default, int) and not spec.choices
    found = []
    for point in points:
        value = spec.read(name, _rounded(point) if whole else point)
        if value not in found:
            found.append(value)
    return found


def _rounded(point: Any) -> Any:
    """The nearest whole number; what is no number stays for others to refuse."""
    try:
        return round(float(point))
    except (TypeError, ValueError, OverflowError):
        return point
