"""What happened while heads were fitted: the lines of a trace."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Axes, Panel, label, legend_above
from ltfix.report.subject import Subject

TITLE = "While it was fitted"
READ = (
    "Over the epochs: a loss that still falls at the right end wants more of them, and one that rises a "
    "lower rate."
)
OF = ""
PARTS = {"loss": "loss", "val": "accuracy on validation, percent", "row_norm": "mean row norm"}


def data(subject: Subject) -> dict[str, Any]:
    """``traces``: of each its name, and by part the ``lines``, each a list of (epoch, value) by name."""
    found = [{"name": t.name, "parts": _parts(t.content)} for t in subject.findings.traces]
    return {"traces": found} if found else {}


def _parts(epochs: list[dict[str, Any]]) -> dict[str, dict[str, list[list[float]]]]:
    """Of the first seed."""
    mine = [e for e in epochs if e["seed"] == epochs[0]["seed"]]
    parts: dict[str, dict[str, list[list[float]]]] = {
        "loss": {"loss": [[e["epoch"], e["loss"]] for e in mine]}
    }
    for part, scale in (("val", 100), ("row_norm", 1)):
        known = {
            shot: [
                [e["epoch"], scale * e[part][shot]] for e in mine if (e.get(part) or {}).get(shot) is not None
            ]
            for shot in SHOTS
        }
        parts[part] = {shot: line for shot, line in known.items() if line}
    return {part: lines for part, lines in parts.items() if lines}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a trace and part."""
    return [
        Panel(
            f"{trace['name']}: {PARTS[part].split(',')[0]}",
            partial(_draw, part, lines),
        )
        for trace in data["traces"]
        for part, lines in trace["parts"].items()
    ]


def _draw(part: str, lines: dict[str, list[list[float]]], axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, line in lines.items():
        x, y = zip(*line, strict=True)
        colour = COLOURS.get(name, COLOURS["ink"])
        axes.plot(x, y, "o-", ms=2.5, lw=1.3, color=colour, label=name.capitalize())
    if len(lines) > 1:
        legend_above(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label(axes, "epoch", PARTS[part])
