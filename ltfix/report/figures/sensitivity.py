"""How a method's accuracy depends on its values: the points of a sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from ltfix.errors import UsageError
from ltfix.evaluation.metrics import TITLES
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import format_value
from ltfix.report.canvas import COLOURS, LINES, Axes, Panel, label, legend_above, line, log_scale
from ltfix.report.figures.heat import heat_map
from ltfix.report.subject import Subject

TITLE = "How the accuracy depends on the values"
READ = (
    "A level line says that the value hardly matters, a peak that it must be searched; bars are the "
    "deviation over seeds, and a gap is a fit that diverged."
)
OF = ""
MOST_LINES = 12


def data(subject: Subject) -> dict[str, Any]:
    """``sweeps``: those that were found and whose lines can be told apart, as :func:`sweep_data` has them."""
    found = [sweep_data(sweep.content) for sweep in subject.findings.sweeps]
    few = [sweep for sweep in found if _n_lines(sweep) <= MOST_LINES]
    return {"sweeps": few} if few else {}


def sweep_data(found: dict[str, Any], score: str | None = None) -> dict[str, Any]:
    """What is drawn of the JSON of a sweep.

    Args:
        score: "all", "many", "medium", "few" or "class_mean"; None: "all" on a test cache, else "class_mean".
    """
    key = score or ("all" if found["on_test"] else "class_mean")
    title = f"{found['method']} ({'test cache, for reports only' if found['on_test'] else 'validation'})"
    return {"title": title, "score": key, "over": dict(found["over"]), "points": list(found["points"])}


def _n_lines(sweep: dict[str, Any]) -> int:
    return math.prod(len(points) for points in list(sweep["over"].values())[1:])


def panels(data: dict[str, Any]) -> list[Panel]:
    """Lines of each sweep (UsageError: too many to tell apart), and a heat map of one over two values."""
    found = []
    for sweep in data["sweeps"]:
        if _n_lines(sweep) > MOST_LINES:
            hint = "sweep the value with most points first, and fewer of the others"
            raise UsageError(f"{_n_lines(sweep)} lines are too many to tell apart", where="plot", hint=hint)
        found.append(Panel(sweep["title"], partial(_draw_lines, sweep)))
        if len(sweep["over"]) == 2 and any(point[sweep["score"]] for point in sweep["points"]):
            found.append(Panel(sweep["title"], partial(_draw_heat, sweep)))
    return found


def _draw_lines(sweep: dict[str, Any], axes: Axes) -> None:
    first, *others = sweep["over"]
    x, points, score = sweep["over"][first], sweep["points"], sweep["score"]
    if others:
        settings = list(itertools.product(*(sweep["over"][name] for name in others)))
        for number, setting in enumerate(settings):
            named = zip(others, setting, strict=True)
            told = ", ".join(f"{_said(name)} {format_value(v, 'value')}" for name, v in named)
            style = {"color": COLOURS[LINES[number % len(LINES)]], "ls": ("-", "--")[number // len(LINES)]}
            _line(axes, x, points[number :: len(settings)], score, label=line(told), **style)
    else:
        for shot in SHOTS:
            _line(axes, x, points, shot, label=TITLES[shot], color=COLOURS[shot])
        _line(axes, x, points, score, label=TITLES[score], color=COLOURS["ink"])
    if _is_wide(x):
        log_scale(axes)
    if others:
        axes.legend(loc="best")
    else:
        legend_above(axes)
    label(axes, _said(first), f"{TITLES[score]}, percent" if others else "accuracy, percent")


def _line(axes: Axes, x: Sequence[Any], points: Sequence[dict[str, Any]], key: str, **how: Any) -> None:
    if not any(point[key] for point in points):  # a shot without classes; matplotlib 3.7 warns of it
        return
    spread = [point[key] or {"mean": math.nan, "std": None} for point in points]
    means, deviations = [100 * s["mean"] for s in spread], [100 * (s["std"] or 0.0) for s in spread]
    axes.errorbar(x, means, deviations, marker="o", ms=3.5, capsize=2, lw=1.3, **how)


def _draw_heat(sweep: dict[str, Any], axes: Axes) -> None:
    (first, rows), (second, columns) = sweep["over"].items()
    cells = [
        None if point[sweep["score"]] is None else point[sweep["score"]]["mean"] for point in sweep["points"]
    ]
    shares = [cells[i * len(columns) : (i + 1) * len(columns)] for i in range(len(rows))]
    told = [[format_value(value, "value") for value in values] for values in (rows, columns)]
    heat_map(axes, shares, told[0], told[1])
    label(axes, _said(second), _said(first))


def _said(name: str) -> str:
    return name.replace("_", "-")


def _is_wide(x: Sequence[Any]) -> bool:
    """Whether numbers lie so far apart that only their logarithms are told apart."""
    return all(isinstance(point, int | float) for point in x) and min(x) > 0 and max(x) / min(x) > 20
