"""How many training samples each class has, from the head to the tail."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Axes, Panel, label, log_scale
from ltfix.report.subject import Subject

TITLE = "Training samples of each class"
READ = "Each step is one class, the commonest at the left: the steeper the curve, the longer the tail."
OF = ""


def data(subject: Subject) -> dict[str, Any]:
    """``counts`` and ``shots``, by falling count."""
    shots = subject.shots
    order = (-shots.counts).argsort(kind="stable")
    return {"counts": shots.counts[order].tolist(), "shots": shots.of[order].tolist()}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One panel."""
    return [Panel(TITLE, partial(_draw, data))]


def _draw(data: dict[str, Any], axes: Axes) -> None:
    counts, shots, start = data["counts"], data["shots"], 0
    for index, shot in enumerate(SHOTS):
        size = shots.count(index)
        if size:
            edges = [start + i + 0.5 for i in range(size + 1)]
            axes.stairs(
                counts[start : start + size], edges, fill=True, color=COLOURS[shot], label=shot.capitalize()
            )
        start += size
    if counts[0] > 20 * max(counts[-1], 1):
        axes.set_ylim(0.8, 1.3 * counts[0])
        log_scale(axes, "y")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right")
    label(axes, "classes, by falling count", "training samples")
