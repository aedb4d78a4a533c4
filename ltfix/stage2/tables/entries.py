"""The rows that a table is asked for: methods by their names, or the points of a grid of one's values."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.evaluation.shots import SHOTS
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.registry import Method, find_method, methods
from ltfix.stage2.methods.values import LossLike, Values, resolve, with_loss
from ltfix.stage2.tables.ranges import MOST_POINTS, read_points
from ltfix.stage2.tuning.candidates import searches

SCORES = ("all", *SHOTS, "worst_class", "class_mean")
"""Of a comparison's rows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row of a comparison: a method with its values, and the name that its heads get."""

    name: str
    values: Values


def entries(asked: Sequence[Method | str] | None, shared: Mapping[str, Any], *, tune: bool) -> list[Entry]:
    """The rows of a comparison.

    Args:
        asked: ``NAME`` or ``NAME:KEY=VALUE:…`` each, so that a method may appear with several values, where
            NAME may be ``my.py:METHOD`` and ``loss=`` replaces its loss; or a ``Method``. None: every method
            of the table.
        shared: values for every method that takes them.

    Raises:
        UsageError: an unknown method or value, the same row twice, a shared value that no method takes.
    """
    found: dict[str, Entry] = {}
    unused = set(shared)
    for text in methods() if asked is None else asked:
        name, pairs = _split(text)
        if name == "auto":
            hint = "use `ltfix fit method=auto`"
            raise UsageError("auto is no row but a choice among them", where="methods", hint=hint)
        method, given = find_method(name, "methods"), {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"{pair!r} is no KEY=VALUE", where=str(text), hint="write NAME:KEY=VALUE")
            given[key.replace("-", "_")] = value
        loss = given.pop("loss", None)
        method = with_loss(method, loss)
        usable = {key: value for key, value in shared.items() if key in method.values(shared)}
        unused -= set(usable)
        values = resolve(method, {**usable, **given})
        entry = Entry(
            head_name(values, loss=loss and str(method.loss), tuned=tune and searches(method)), values
        )
        if entry.name in found:
            raise UsageError(f"{entry.name} is asked for twice", where="methods")
        found[entry.name] = entry
    if unused:
        known = {name for entry in found.values() for name in entry.values.values}
        hint = nearest(min(unused), known)
        raise UsageError(f"no method here takes {', '.join(sorted(unused))}", where="set", hint=hint)
    if not found:
        raise UsageError("no method is named", where="methods")
    return list(found.values())


def _split(text: Method | str) -> tuple[Method | str, list[str]]:
    """The method that a row names, and its ``KEY=VALUE`` pairs."""
    if isinstance(text, Method):
        return text, []
    name, *pairs = re.split(r"(?<!\.py):", text)  # my.py:NAME stays whole
    return name, pairs


def read_grid(
    method: Method, over: Mapping[str, Sequence[Any]], given: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """The points of every value that is swept, checked and in their own kind.

    Raises:
        UsageError: a value that the method does not have or that is given too, a point that it cannot have,
            or more points than anybody would wait for.
    """
    specs = method.values(given)
    for name in over:
        where = f"over={name}"
        if name in given:
            raise UsageError(f"{name} is swept and given", where=where, hint="leave one out")
        if name not in specs:
            hint = nearest(name, specs)
            raise UsageError(f"method {method.name} has no value {name!r}", where=where, hint=hint)
    grid = {name: read_points(name, points, specs[name]) for name, points in over.items()}
    size = math.prod(len(points) for points in grid.values())
    if size > MOST_POINTS:
        raise UsageError(f"a grid of {size} points", where="over", hint=f"at most {MOST_POINTS}")
    return grid


def grid_of(
    method: Method | str, loss: LossLike | None, over: Mapping[str, Sequence[Any]], given: Mapping[str, Any]
) -> tuple[Method, dict[str, list[Any]], list[Values]]:
    """The method with its loss, the grid that is swept, and the values at each of its points.

    Raises:
        UsageError: as :func:`read_grid` and :func:`grid_points`, or an unknown method or loss.
    """
    found = with_loss(find_method(method), loss)
    grid = read_grid(found, over, given)
    return found, grid, grid_points(found, grid, given)


def grid_points(method: Method, grid: Mapping[str, Sequence[Any]], given: Mapping[str, Any]) -> list[Values]:
    """The method at every point of a grid, ``given`` values the same at each.

    Raises:
        UsageError: a value is neither swept nor given and has no default.
    """
    found = [
        resolve(method, {**given, **dict(zip(grid, point, strict=True))})
        for point in itertools.product(*grid.values())
    ]
    for name in found[0].open:
        hint = f"sweep it, or give it with {name}=…"
        raise UsageError(f"{method.name} needs a value for {name}", where="over", hint=hint)
    return found
