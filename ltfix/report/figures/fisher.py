"""Fisher's ratio of the features, and behind random layers."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.report.canvas import COLOURS, Axes, Panel, label, legend_above
from ltfix.report.subject import Subject

TITLE = "Fisher's ratio behind random layers"
READ = (
    "How well the classes are apart for what their own spread is, before and behind layers of random weights "
    "and ReLU: one that rises at first is told of features that were trained with weight decay."
)
OF = "features"
LINES = {"fdr": "about the samples' mean", "fdr_class_mean": "about the classes'"}


def data(subject: Subject) -> dict[str, Any]:
    """``layers`` and at each ``fdr`` and ``fdr_class_mean``; empty where no layers were asked for."""
    if not subject.evaluation.test.random_layers:
        return {}
    found = subject.report(OF).about["features"]
    steps = [{"layers": 0, **found}, *found["random_layers"]]
    return {key: [step[key] for step in steps] for key in ("layers", *LINES)}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One panel."""
    return [Panel(TITLE, partial(_draw, data))]


def _draw(data: dict[str, Any], axes: Axes) -> None:
    for key, colour in zip(LINES, ("many", "few"), strict=True):
        axes.plot(data["layers"], data[key], "o-", ms=4, lw=1.3, color=COLOURS[colour], label=LINES[key])
    axes.set_xticks(data["layers"])
    legend_above(axes)
    label(axes, "random layers", "Fisher's ratio")
