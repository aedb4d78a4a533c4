"""How far the true class's logits stand out (the margin, LoMa): the diagnostics of label over-smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.report import HEAD_COLUMNS, Report, nothing_further, shot_columns
from ltfix.evaluation.scores import LogitBlocks, known, summary
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_SMALLEST_MARGIN = 1e-12
_MEASURES = {
    "loma": "margin",
    "loma_row": "margin in its row",
    "regularised_std": "std / margin",
    "std": "std",
}
_COLUMNS = (
    *HEAD_COLUMNS,
    Column("measure", "Logits"),
    Column("all", "All", "number"),
    *shot_columns("number"),
)
about = nothing_further


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Class means of each statistic over all classes and by shot, and the statistics per class."""
    values = margins(test.blocks(head), test.labels, test.n_classes)
    means = {key: summary(values[key], test.shots.of) for key in _MEASURES}
    return {**means, "classes": {key: [known(v) for v in value] for key, value in values.items()}}


def table(report: Report) -> Table:
    """One row a head and statistic."""
    rows = [
        {"name": head["name"], "path": head["path"], "method": head["method"], "measure": label, **head[key]}
        for head in report.heads
        for key, label in _MEASURES.items()
    ]
    notes = (
        "margin: a class's logit on its own samples minus on all others (LoMa); in its row: minus the other",
        "logits of the same samples; std: over all samples. Means over classes.",
        f"{report.shots.rule()}.",
    )
    return Table(_COLUMNS, rows, notes=notes)


def margins(blocks: LogitBlocks, labels: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """Statistics of each class's logits z_ik, [K] each; NaN where a class has no sample. One pass.

    Sums run in float64 around the first block's means, so logits far from zero lose no digits.

    Args:
        blocks: the logits z [N, K] of all samples.
        labels: [N] true classes y.
        n_classes: K.

    Returns:
        ``loma``, the logit margin by its column: mean of z_ik over samples of class k minus its mean over all
        others (Sun et al., "Rethinking classifier re-training in long-tailed recognition", 2025, state it in
        prose; there is no published code). ``loma_row``, the other reading: over the samples of class k, the
        mean of z_ik minus the mean of the sample's other logits. ``std`` and ``std_pos``, the population
        standard deviation of z_ik over all samples and over those of class k; ``regularised_std`` and
        ``regularised_std_pos``, the same in units of ``loma`` (NaN where that is about zero). ``true`` and
        ``other``, the two means that ``loma`` is the difference of.
    """
    centre: np.ndarray | None = None
    total, square = np.zeros(n_classes), np.zeros(n_classes)
    own, own_square, row = np.zeros(n_classes), np.zeros(n_classes), np.zeros(n_classes)
    for where, logits in blocks:
        mine = labels[where]
        z = logits.astype(np.float64)
        rest = (z.sum(1) - z[np.arange(len(z)), mine]) / max(n_classes - 1, 1)
        row += np.bincount(mine, z[np.arange(len(z)), mine] - rest, minlength=n_classes)
        centre = z.mean(0) if centre is None else centre
        z -= centre
        true = z[np.arange(len(z)), mine]
        total += z.sum(0)
        square += np.einsum("ik,ik->k", z, z)
        own += np.bincount(mine, true, minlength=n_classes)
        own_square += np.bincount(mine, true * true, minlength=n_classes)
    n = len(labels)
    inside = np.bincount(labels, minlength=n_classes).astype(np.float64)
    inside[inside == 0] = np.nan
    outside = n - inside
    outside[outside == 0] = np.nan
    loma = own / inside - (total - own) / outside
    assert centre is not None  # a cache has at least one sample
    std, std_pos = _std(total / n, square / n), _std(own / inside, own_square / inside)
    return {
        "loma": loma,
        "loma_row": row / inside,
        "regularised_std": _ratio(std, loma),
        "std": std,
        "std_pos": std_pos,
        "regularised_std_pos": _ratio(std_pos, loma),
        "true": centre + own / inside,
        "other": centre + (total - own) / outside,
    }


def _ratio(std: np.ndarray, loma: np.ndarray) -> np.ndarray:
    safe = np.abs(loma) > _SMALLEST_MARGIN  # False for NaN
    ratio = np.full(len(loma), np.nan)
    np.divide(std, loma, out=ratio, where=safe)
    return ratio


def _std(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(mean_square - mean * mean, 0)))
