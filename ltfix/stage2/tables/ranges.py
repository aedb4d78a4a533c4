"""What a sweep goes over: lists and logarithmic ranges of a value, and the grid that they span."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.errors import Unused, UsageError, nearest
from ltfix.stage2.methods.options import refuse_options
from ltfix.stage2.methods.parts import Value, points_of
from ltfix.stage2.methods.registry import Method, find_method
from ltfix.stage2.methods.values import LossLike, Values, resolve, with_loss

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
        hint = f"a list has commas, {name}=0.5,0.9, a range two dots, {name}=1e-3..1e-1"
        raise UsageError("a sweep needs two different points or more", where=where, hint=hint)
    return key, found


def _range(text: str, where: str) -> list[str]:
    ends, _, count = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    try:
        if high_text.startswith("."):  # 1e-5...1e-1 is no range to .1e-1
            raise ValueError
        low, high = float(low_text), float(high_text)
        number = int(count) if count else None
    except ValueError:
        hint = "LOW..HIGH or LOW..HIGH:N, as 1e-5..0.1:9: two dots, a digit behind them"
        raise UsageError(f"not a range: {text!r}", where=where, hint=hint) from None
    if not (0 < low < high < math.inf):
        hint = "a range is logarithmic: 0 < LOW < HIGH; for others write a list"
        raise UsageError(f"not a range: {text!r}", where=where, hint=hint)
    n = round(STEPS_A_DECADE * math.log10(high / low)) + 1 if number is None else number
    if not 2 <= n <= MOST_POINTS:
        raise UsageError(f"a range of {n} points", where=where, hint=f"2 to {MOST_POINTS}")
    return [f"{value:.6g}" for value in np.geomspace(low, high, n)]


def grid_of(
    method: Method | str, loss: LossLike | None, over: Mapping[str, Sequence[Any]], given: Mapping[str, Any]
) -> tuple[Method, dict[str, list[Any]], list[Values]]:
    """The method with its loss, the grid that is swept, and the values at each of its points.

    Raises:
        UsageError: an unknown method, loss or value; a value that is swept and given, or neither and has no
            default; a point that it cannot have, or more points than anybody would wait for.
    """
    found = with_loss(find_method(method), loss)
    specs = found.values(given)
    refuse_options(over, "over", "`ltfix report` draws both, kept as JSON")
    for name in over:
        where = f"over={name}"
        if name in given:
            raise Unused(f"{name} is swept and given", where="set", hint="leave one out", values=[name])
        if name not in specs:
            hint = nearest(name, specs)
            raise UsageError(f"method {found.name} has no value {name!r}", where=where, hint=hint)
    over = {
        n: parse_over(f"{n}={at}")[1] if isinstance(at, str) else points_of(n, at, "over")
        for n, at in over.items()
    }
    grid = {name: _read(name, points, specs[name]) for name, points in over.items()}
    size = math.prod(len(points) for points in grid.values())
    if size > MOST_POINTS:
        raise UsageError(f"a grid of {size} points", where="over", hint=f"at most {MOST_POINTS}")
    points = [dict(zip(grid, point, strict=True)) for point in itertools.product(*grid.values())]
    asked = [resolve(found, {**given, **point}) for point in points]
    for name in asked[0].open:
        hint = f"sweep it, or give it with {name}=…"
        raise UsageError(f"{found.name} needs a value for {name}", where="over", hint=hint)
    return found, grid, asked


def _read(name: str, points: Sequence[Any], spec: Value) -> list[Any]:
    """The points of one value, checked and in its own kind; whole-number values are rounded."""
    whole = isinstance(spec.default, int) and not spec.choices
    return list(dict.fromkeys(spec.read(name, _rounded(p) if whole else p, f"over={name}") for p in points))


def _rounded(point: Any) -> Any:
    """The nearest whole number; what is no number stays for others to refuse."""
    try:
        return round(float(point))
    except (TypeError, ValueError, OverflowError):
        return point
