"""Whether a head is right as often as it is sure."""

from __future__ import annotations

from functools import partial
from typing import Any

from ltfix.evaluation.reports.calibration import calibrate, expected_calibration_error, reliability
from ltfix.report.canvas import COLOURS, Axes, Panel, label
from ltfix.report.subject import Subject

TITLE = "Reliability of the probabilities"
READ = (
    "Of samples for which the head's probability is about what the bottom says, so many are right: on the "
    "diagonal it can be taken at its word, below it is too sure. Larger dots are more samples."
)
OF = "calibration"


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each its ``ece``, and ``bins`` with their samples, mean confidence and accuracy."""
    test, rows, found = subject.evaluation.test, subject.evaluation.rows, []
    for row in (rows[i] for i in subject.shown()):
        sure = calibrate(test.blocks(row.head), test.labels)
        ece = expected_calibration_error(sure.confidence, sure.correct)
        found.append({"name": row.name, "ece": ece, "bins": reliability(sure)})
    return {"heads": found}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head."""
    return [Panel(head["name"], partial(_draw, head)) for head in data["heads"]]


def _draw(head: dict[str, Any], axes: Axes) -> None:
    bins = head["bins"]
    total = sum(b["samples"] for b in bins)
    x, y = ([100 * b[key] for b in bins] for key in ("confidence", "accuracy"))
    axes.plot([0, 100], [0, 100], "--", lw=1, color=COLOURS["muted"])
    axes.vlines(x, x, y, color=COLOURS["few"], lw=1, alpha=0.6)
    axes.plot(x, y, color=COLOURS["many"], lw=1.2)
    for b, px, py in zip(bins, x, y, strict=True):
        axes.plot(
            px, py, "o", ms=2.5 + 11 * (b["samples"] / total) ** 0.5, mew=0, color=COLOURS["many"], alpha=0.85
        )
    axes.annotate(f"ECE {100 * head['ece']:.1f}", (0.04, 0.94), xycoords="axes fraction", va="top")
    axes.set_xlim(0, 103)
    axes.set_ylim(0, 103)
    label(axes, "mean probability, percent", "accuracy, percent")
