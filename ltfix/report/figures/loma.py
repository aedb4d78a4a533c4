"""The logit margin (LoMa) from the head to the tail, as shares of the whole, in tens of classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ltfix.report.canvas import COLOURS, LINES, Axes, Panel, label, line
from ltfix.report.subject import Subject

TITLE = "Logit margin (LoMa) in tens of classes"
READ = (
    "A point is the mean margin of ten classes of alike training count, as a share of the head's margins: a "
    "level line treats all classes alike, and one that falls to the right leaves the tail behind."
)
OF = "logits"
TEN = 10


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each ``shares``, the means of L_k / Σ|L| in tens by falling count, or None."""
    order = (-subject.shots.counts).argsort(kind="stable")
    heads = [
        {"name": head["name"], "shares": in_tens(np.array(head["classes"]["loma"], np.float64)[order])}
        for head in subject.heads(OF)
    ]
    return {"heads": heads}


def in_tens(margins: np.ndarray) -> list[float | None]:
    """The mean of each ten margins over the sum of all absolute ones; NaN, an untested class, is left out."""
    total = float(np.nansum(np.abs(margins)))
    tens = [margins[start : start + TEN] for start in range(0, len(margins), TEN)]
    known = [ten[~np.isnan(ten)] for ten in tens]
    return [float(ten.mean() / total) if len(ten) and total else None for ten in known]


def panels(data: dict[str, Any]) -> list[Panel]:
    """One of all heads; none of a single ten, whose share is the same for all."""
    if len(data["heads"][0]["shares"]) < 2:
        return []
    return [Panel(TITLE, partial(_draw, data["heads"]), height=3.0)]


def _draw(heads: list[dict[str, Any]], axes: Axes) -> None:
    for number, head in enumerate(heads):
        shares = np.array(head["shares"], np.float64)
        middle = TEN * np.arange(len(shares)) + TEN / 2
        colour = COLOURS[LINES[number % len(LINES)]]
        style = ("-", "--")[number // len(LINES)]
        axes.plot(
            middle, 100 * shares, style, marker="o", ms=3, lw=1.2, color=colour, label=line(head["name"], 40)
        )
    axes.axhline(0, color=COLOURS["muted"], lw=0.8)
    axes.legend(loc="best")
    label(axes, "classes, by falling count", "share of the margins, percent")
