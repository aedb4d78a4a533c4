"""Methods side by side: the rows of `compare`."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.evaluation.metrics import TITLES
from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Axes, Panel, label, legend_above, line
from ltfix.report.subject import Subject

TITLE = "Methods compared"
READ = (
    "A row is a method, best at the top: the closer its marks for Many and Few, the fairer it is; "
    "lines are the deviation over seeds."
)
OF = ""
MARKS = {"many": "o", "medium": "o", "few": "o", "all": "D"}


def data(subject: Subject) -> dict[str, Any]:
    """``comparisons``: of each its name and rows, as :func:`comparison_data` has them."""
    found = [comparison_data(c.name, c.content) for c in subject.findings.comparisons]
    return {"comparisons": found} if found else {}


def comparison_data(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of the JSON of a comparison: its rows with ``mean`` and ``std`` of every score."""
    rows = [{key: row[key] for key in ("name", "all", *SHOTS)} for row in found["rows"]]
    return {"name": name, "rows": rows}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a comparison."""
    return [
        Panel(c["name"], partial(_draw, c["rows"]), height=0.9 + 0.17 * len(c["rows"]))
        for c in data["comparisons"]
    ]


def _draw(rows: list[dict[str, Any]], axes: Axes) -> None:
    for shot in (*SHOTS, "all"):
        known = [(y, row[shot]) for y, row in enumerate(rows) if row[shot] is not None]
        x, deviation = [100 * s["mean"] for _, s in known], [100 * (s["std"] or 0) for _, s in known]
        axes.errorbar(
            x,
            [y for y, _ in known],
            xerr=deviation,
            fmt=MARKS[shot],
            ms=4,
            color=COLOURS[shot],
            label=TITLES[shot],
        )
    axes.set_yticks(range(len(rows)), [line(row["name"], 20) for row in rows])
    axes.invert_yaxis()
    legend_above(axes)
    label(axes, "accuracy, percent", "")
