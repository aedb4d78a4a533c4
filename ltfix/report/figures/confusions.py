"""Which shot's samples go to which shot."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import Axes, Panel, label
from ltfix.report.figures.heat import heat_map
from ltfix.report.subject import Subject

TITLE = "Where the samples of each shot go"
READ = (
    "A row says how a shot's test samples are spread over the shots, in percent: the first cell of Few is "
    "what the common classes take from the rare ones."
)
OF = "confusion"


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each ``shares``, [true shot][predicted shot] as fractions, or None."""
    found = []
    for head in subject.heads(OF):
        rows = [head["shots"][shot] or dict.fromkeys(SHOTS) for shot in SHOTS]
        found.append({"name": head["name"], "shares": [[row[to] for to in SHOTS] for row in rows]})
    return {"heads": found}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head."""
    return [Panel(head["name"], partial(_draw, head["shares"])) for head in data["heads"]]


def _draw(shares: list[list[float | None]], axes: Axes) -> None:
    names = [shot.capitalize() for shot in SHOTS]
    heat_map(axes, shares, names, names, limits=(0, 1))
    label(axes, "predicted as", "true")
