"""Logits of a class on its own samples and on all others, with normal fits and the margin between (LoMa)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head
from ltfix.report.canvas import COLOURS, Axes, Panel, label
from ltfix.report.subject import Subject

TITLE = "Logits of a class on its own samples and on all others, by shot"
READ = (
    "Upward, the logits of a shot's classes on their own test samples; downward, on all others; lines are "
    "normal distributions of the same mean and deviation. The numbers, the mean margins between the two "
    "(LoMa), should not shrink toward the tail."
)
OF = "logits"
BINS, WIDE = 60, 4.0  # bins, and how many deviations beside a mean they reach
MOST = 1 << 23
"""Of more logits an even share of the samples is taken."""


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each ``edges`` of the bins, and by shot ``true``, ``other`` and ``loma``, or None.

    The first two have ``density`` in each bin, and the ``mean`` and ``std`` of the normal distribution.
    """
    rows, test, found = subject.evaluation.rows, subject.evaluation.test, []
    for number, margins in zip(subject.shown(), subject.heads(OF), strict=True):
        head = {"name": rows[number].name, **densities(rows[number].head, test)}
        for shot, parts in head["shots"].items():
            parts["loma"] = margins["loma"][shot]
        found.append(head)
    return {"heads": found}


def densities(head: Head, test: TestSet) -> dict[str, Any]:
    """The densities of one head, all on the same bins."""
    logits, labels = _some(head, test)
    own = logits[np.arange(len(labels)), labels].copy()
    logits[np.arange(len(labels)), labels] = np.nan
    values = {}
    for index, shot in enumerate(SHOTS):
        others = logits[:, (test.shots.of == index) & (test.shots.counts > 0)]  # an absent class has no row
        values[shot] = {
            "true": own[test.shots.of[labels] == index],
            "other": others[~np.isnan(others)],
        }
    known = [v.astype(np.float64) for parts in values.values() for v in parts.values() if len(v)]
    low = max(min(v.mean() - WIDE * v.std() for v in known), min(v.min() for v in known))
    high = min(max(v.mean() + WIDE * v.std() for v in known), max(v.max() for v in known))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shots = {shot: {of: _density(v, edges) for of, v in parts.items()} for shot, parts in values.items()}
    return {"edges": edges.tolist(), "shots": shots}


def _some(head: Head, test: TestSet) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, K] and labels [n] of evenly spaced samples."""
    cache = test.cache
    n = min(cache.n, max(1, MOST // test.n_classes))
    index = np.linspace(0, cache.n - 1, n).astype(np.int64)
    views = 1 if test.tta == "first" else cache.tested_views
    return head.mean_logits(cache.rows(index)[:, :views]), test.labels[index]


def _density(values: np.ndarray, edges: np.ndarray) -> dict[str, Any] | None:
    if not len(values):
        return None
    wide = values.astype(np.float64)
    counted = np.histogram(wide, edges)[0] / (len(wide) * (edges[1] - edges[0]))
    return {"density": counted.tolist(), "mean": float(wide.mean()), "std": float(wide.std())}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head, each on its own scale."""
    return [Panel(head["name"], partial(_draw, head)) for head in data["heads"]]


def _draw(head: dict[str, Any], axes: Axes) -> None:
    edges = np.array(head["edges"])
    x = np.linspace(edges[0], edges[-1], 200)
    for shot in SHOTS:
        for of, sign in (("true", 1), ("other", -1)):
            found = head["shots"][shot][of]
            if found is None:
                continue
            colour = COLOURS[shot]
            heights = sign * np.array(found["density"])
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.25, lw=0)
            if found["std"] > 0:
                bell = np.exp(-(((x - found["mean"]) / found["std"]) ** 2) / 2)
                axes.plot(x, sign * bell / (found["std"] * np.sqrt(2 * np.pi)), color=colour, lw=1.2)
    for row, shot in enumerate(SHOTS):
        if (margin := head["shots"][shot]["loma"]) is not None:
            told, at = f"{shot.capitalize()} {margin:.2f}", (0.98, 0.97 - 0.1 * row)
            axes.text(*at, told, color=COLOURS[shot], transform=axes.transAxes, ha="right", va="top")
    axes.axhline(0, color=COLOURS["muted"], lw=0.8)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    label(axes, "logit", "others  |  own samples")
