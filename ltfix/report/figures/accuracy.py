"""Accuracy of every class against its training samples, for each head."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.report.canvas import Axes, Panel, label
from ltfix.report.figures.trend import against_counts, trend
from ltfix.report.subject import Subject

TITLE = "Accuracy of each class against its training samples"
READ = (
    "A dot is a class and the line the mean of classes of alike count, dashed for the first head: "
    "a head that is fair to the tail has a level line."
)
OF = "per-class"


def data(subject: Subject) -> dict[str, Any]:
    """``counts``, ``shots`` of the classes; of each head its ``values`` (recall, or None) and ``trend``."""
    shots, heads = subject.shots, subject.heads(OF)
    found = [{"name": head["name"], "values": [c["recall"] for c in head["classes"]]} for head in heads]
    for head in found:
        head["trend"] = trend(shots.counts.tolist(), head["values"])
    return {"counts": shots.counts.tolist(), "shots": shots.of.tolist(), "heads": found}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head."""
    return [Panel(head["name"], partial(_draw, data, head)) for head in data["heads"]]


def _draw(data: dict[str, Any], head: dict[str, Any], axes: Axes) -> None:
    against_counts(axes, data, head, scale=100)
    axes.set_ylim(-4, 104)
    label(axes, "training samples", "accuracy, percent")
