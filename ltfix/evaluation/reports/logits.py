"""How far the true class's logits stand out (the margin, LoMa): the diagnostics of label over-smoothing."""

from __future__ import annotations

import dataclasses
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
    found = margins(test.blocks(head), test.labels, test.n_classes)
    values = {key: getattr(found, key) for key in (*_MEASURES, "std_pos", "regularised_std_pos")}
    means = {key: summary(values[key], test.shots.of) for key in _MEASURES}
    per_class = {key: [known(v) for v in value] for key, value in values.items()}
    return {**means, "classes": per_class}


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


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """Per-class statistics of logits z [N, K] with labels y [N]; NaN where a class has no sample.

    Attributes:
        loma: [K] column reading of the logit margin: mean of z_ik over samples of class k minus its mean
            over all others (Sun et al., "Rethinking classifier re-training in long-tailed recognition",
            2025, state it in prose; there is no published code).
        loma_row: [K] the other reading: over the samples of class k, the mean of z_ik minus the mean of
            the sample's other logits.
        std: [K] population standard deviation of z_ik over all samples.
        std_pos: [K] the same over the samples of class k.
    """

    loma: np.ndarray
    loma_row: np.ndarray
    std: np.ndarray
    std_pos: np.ndarray

    @property
    def regularised_std(self) -> np.ndarray:
        """[K] ``std / loma``: the spread in units of the margin; NaN where the margin is about zero."""
        return _ratio(self.std, self.loma)

    @property
    def regularised_std_pos(self) -> np.ndarray:
        """[K] ``std_pos / loma``."""
        return _ratio(self.std_pos, self.loma)


def _ratio(std: np.ndarray, loma: np.ndarray) -> np.ndarray:
    safe = np.abs(loma) > _SMALLEST_MARGIN  # False for NaN
    ratio = np.full(len(loma), np.nan)
    np.divide(std, loma, out=ratio, where=safe)
    return ratio


def margins(blocks: LogitBlocks, labels: np.ndarray, n_classes: int) -> Margins:
    """Margins and spreads of logits against ``labels`` [N], in one pass over the blocks.

    Sums run in float64 around the first block's means, so logits far from zero lose no digits.
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
    return Margins(
        loma=own / inside - (total - own) / outside,
        loma_row=row / inside,
        std=_std(total / n, square / n),
        std_pos=_std(own / inside, own_square / inside),
    )


def _std(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(mean_square - mean * mean, 0)))
