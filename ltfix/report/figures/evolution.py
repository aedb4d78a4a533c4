"""Norms of every class's weights, epoch by epoch: the lines of a trace."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ltfix.report.canvas import COLOURS, Axes, Panel, label, legend_above
from ltfix.report.subject import Subject

TITLE = "Norm of each class's weights, epoch by epoch"
READ = (
    "A line is the norms of the rows after an epoch, the commonest class at the left, lightest at the start "
    "(0): where it runs level, the method treats classes alike."
)
OF = ""
SHOWN = 4
"""So many epochs are drawn, the first and the last among them."""


def data(subject: Subject) -> dict[str, Any]:
    """``traces``: of each its name, ``epochs``, and ``norms`` [epoch][class] by falling count; first seed."""
    order = (-subject.shots.counts).argsort(kind="stable")
    found = []
    for trace in subject.findings.traces:
        lines = [e for e in trace.content if e["seed"] == trace.content[0]["seed"]]
        if all(len(e.get("class_norm", ())) == len(order) for e in lines):
            norms = [[e["class_norm"][k] for k in order] for e in lines]
            found.append({"name": trace.name, "epochs": [e["epoch"] for e in lines], "norms": norms})
    return {"traces": found} if found else {}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a trace."""
    return [Panel(trace["name"], partial(_draw, trace)) for trace in data["traces"]]


def _draw(trace: dict[str, Any], axes: Axes) -> None:
    chosen = np.unique(np.linspace(0, len(trace["epochs"]) - 1, SHOWN).astype(int))
    for at, strength in zip(chosen, np.linspace(0.3, 1, len(chosen)), strict=True):
        norms = trace["norms"][at]
        told = f"{trace['epochs'][at]:g}"
        axes.plot(
            range(1, len(norms) + 1), norms, lw=1.2, color=COLOURS["many"], alpha=float(strength), label=told
        )
    axes.set_ylim(bottom=0)
    legend_above(axes)
    label(axes, "classes, by falling count", "row norm")
