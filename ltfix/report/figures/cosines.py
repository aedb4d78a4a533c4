"""How alike the classes' mean features are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ltfix.evaluation.reports.features import class_means, cosine_map
from ltfix.report.canvas import MAP, Axes, Panel, label, line
from ltfix.report.subject import Subject

TITLE = "Cosine between the classes' mean features"
READ = (
    "Rows from the top and columns from the left are the classes by falling training count: bright off the "
    "diagonal are classes that the backbone hardly tells apart, which no last layer can mend."
)
OF = "features"
BINS = 300
NAMED = 30
"""Of more classes the names are not drawn."""


def data(subject: Subject) -> dict[str, Any]:
    """``cosine``: [m][m], classes (or groups of neighbours) by falling count.

    ``classes``: how many; ``names``: theirs in that order, unless they are grouped.
    """
    test = subject.evaluation.test
    means = class_means(test.cache, test.n_classes, test.tta)
    order = (-test.shots.counts).argsort(kind="stable")
    order = order[means.counts[order] > 0]
    names = [test.class_name(k) or str(k) for k in order.tolist()] if len(order) <= BINS else []
    found = cosine_map(means, order, BINS).round(3).tolist()
    return {"cosine": found, "classes": len(order), "names": names}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One panel."""
    return [Panel(TITLE, partial(_draw, data), height=3.0)]


def _draw(data: dict[str, Any], axes: Axes) -> None:
    cosine, k = np.array(data["cosine"], np.float64), data["classes"]
    others = cosine[~np.eye(len(cosine), dtype=bool)]
    low, high = np.nanpercentile(others, [1, 99]) if len(others) else (0, 1)
    image = axes.imshow(
        cosine, cmap=MAP, vmin=low, vmax=high, extent=(0.5, k + 0.5, k + 0.5, 0.5), interpolation="none"
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02).outline.set_visible(False)
    axes.grid(visible=False)
    groups = f" (means of {k / len(cosine):.1f} neighbours)" if len(cosine) < k else ""
    if k <= NAMED:
        names = [line(name, 16) for name in data["names"]]
        size = min(8.0, 140 / k)  # points: neighbours do not touch
        axes.set_xticks(range(1, k + 1), names, rotation=90, fontsize=size)
        axes.set_yticks(range(1, k + 1), names, fontsize=size)
    label(axes, f"classes, by falling count{groups}", "")
