"""Norms of the weight's rows against the training samples, before and after."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.report.canvas import Axes, Panel, label
from ltfix.report.figures.trend import against_counts, trend
from ltfix.report.subject import Subject

TITLE = "Norm of each class's weights against its training samples"
READ = (
    "A dot is a class's row of the classifier in units of the head's mean norm: a line that rises to the "
    "right says that common classes are favoured by length alone; dashed, the first head, before stage 2."
)
OF = "features"


def data(subject: Subject) -> dict[str, Any]:
    """``counts``, ``shots`` of the classes; of each head its ``values`` (norm / mean norm) and ``trend``."""
    shots, found = subject.shots, []
    for head in subject.heads(OF):
        mean = head["weight_norm"]["all"] or 1.0
        values = [norm / mean for norm in head["classes"]["weight_norm"]]
        found.append({"name": head["name"], "values": values, "trend": trend(shots.counts.tolist(), values)})
    return {"counts": shots.counts.tolist(), "shots": shots.of.tolist(), "heads": found}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head, all on one scale."""
    top = 1.06 * max(value for head in data["heads"] for value in head["values"])
    return [Panel(head["name"], partial(_draw, data, head, top)) for head in data["heads"]]


def _draw(data: dict[str, Any], head: dict[str, Any], top: float, axes: Axes) -> None:
    against_counts(axes, data, head)
    axes.set_ylim(0, top)
    label(axes, "training samples", "row norm / mean norm")
