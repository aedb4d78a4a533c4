"""A sweep as a picture, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import importlib.util
import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix import files
from ltfix.errors import EnvironmentFault, UsageError
from ltfix.evaluation.scores import TITLES
from ltfix.evaluation.table import format_value
from ltfix.stage2.tables.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".pdf", ".svg")
MOST_LINES = 12


def demand_plotting(path: Path) -> None:
    """Refuse before anything is fitted what could not be drawn after it.

    Raises:
        EnvironmentFault: matplotlib is not installed. UsageError: a file of another kind.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"no picture is called {path.name}", where="plot", hint=f"use {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        hint = "pip install 'ltfix[plot]', or draw the csv elsewhere"
        raise EnvironmentFault("matplotlib is not installed", where="plot", hint=hint)


def plot(found: Sweep, path: Path, score: str | None = None, *, overwrite: bool = True) -> None:
    """Draw a score over the first value swept, one line for every setting of the others.

    Bars are the deviation over seeds; points that diverged leave gaps.

    Args:
        score: "all", "many", "medium", "few" or "class_mean"; None: "all" on a test cache, else "class_mean".
        overwrite: False refuses to replace a file.

    Raises:
        EnvironmentFault, UsageError: as :func:`demand_plotting`; too many lines to tell apart.
    """
    demand_plotting(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    key = score or ("all" if found.on_test else "class_mean")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    _draw(axes, found, key)
    where = "test cache, for reports only" if found.on_test else "validation"
    axes.set_title(f"{found.method} ({where})")
    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "ltfix"}):
        figure.savefig(drawn, format=path.suffix.lower()[1:], metadata=_undated(path))
    files.write_bytes(path, drawn.getvalue(), overwrite=overwrite)


def _undated(path: Path) -> dict[str, Any]:
    """Equal sweeps give equal bytes."""
    return {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower(), {})


def _draw(axes: Axes, found: Sweep, key: str) -> None:
    first, *others = found.over
    lines = list(itertools.product(*(found.over[name] for name in others)))
    if len(lines) > MOST_LINES:
        hint = "sweep the value with most points first, and fewer of the others"
        raise UsageError(f"{len(lines)} lines are too many to tell apart", where="plot", hint=hint)
    x = found.over[first]
    for number, line in enumerate(lines):
        spread = [p[key] or {"mean": math.nan, "std": None} for p in found.points[number :: len(lines)]]
        means, deviations = [100 * s["mean"] for s in spread], [100 * (s["std"] or 0.0) for s in spread]
        named = zip(others, line, strict=True)
        label = ", ".join(f"{name.replace('_', '-')} {format_value(v, 'value')}" for name, v in named)
        axes.errorbar(x, means, deviations, marker="o", markersize=4, capsize=2, label=label or None)
    if _is_wide(x):
        axes.set_xscale("log")
    axes.set_xlabel(first.replace("_", "-"))
    axes.set_ylabel(f"{TITLES[key]}, percent")
    axes.grid(alpha=0.3)
    if others:
        axes.legend(fontsize="small")


def _is_wide(x: Sequence[Any]) -> bool:
    """Whether numbers lie so far apart that only their logarithms are told apart."""
    return all(isinstance(point, int | float) for point in x) and min(x) > 0 and max(x) / min(x) > 20
