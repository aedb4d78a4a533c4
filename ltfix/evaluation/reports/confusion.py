"""Which classes are taken for which, between the head and the tail of the distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.report import Report, nothing_further
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

TOP = 10
_DIRECTIONS = {"tail_to_head": "tail → head", "head_to_tail": "head → tail"}
_COLUMNS = (
    Column("head", "Head"),
    Column("path", "", csv_only=True),
    Column("direction", "Error"),
    Column("true", "True class"),
    Column("true_train", "n", "count"),
    Column("predicted", "Taken for"),
    Column("predicted_train", "n", "count"),
    Column("samples", "Samples", "count"),
    Column("share", "Share", "percent"),
)
about = nothing_further


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """The shot-by-shot matrix, the whole one, and the most frequent confusions of each direction.

    ``matrix`` has a triple (true class, predicted class, samples) for each cell that is not empty.
    ``shots[a][b]`` is the share of shot a's samples that are predicted as a class of shot b.
    ``tail_to_head`` lists pairs whose true class is of a rarer shot than the predicted one (of a smaller
    training count where all classes share one shot), ``head_to_tail`` the reverse: at most 10 each, by
    samples, ties by class index. ``share`` is of the true class's samples.
    """
    pred = test.predictions(head)
    true, taken, samples = _confused(pred, test.labels, test.n_classes)
    rank = -test.shots.of if len(np.unique(test.shots.of)) > 1 else test.shots.counts
    step = np.sign(rank[taken] - rank[true])
    found: dict[str, Any] = {"shots": _shot_matrix(pred, test), "matrix": _matrix(pred, test)}
    for direction, sign in zip(_DIRECTIONS, (1, -1), strict=True):
        mine = np.flatnonzero(step == sign)
        mine = mine[np.argsort(-samples[mine], kind="stable")[:TOP]]
        found[direction] = [_pair(test, int(true[i]), int(taken[i]), int(samples[i])) for i in mine]
    return found


def _confused(pred: np.ndarray, labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, ...]:
    """Each pair (true, predicted) of different classes that occurs, and how often; by index."""
    wrong = pred != labels
    pairs, samples = np.unique(labels[wrong] * n_classes + pred[wrong], return_counts=True)
    return pairs // n_classes, pairs % n_classes, samples


def _matrix(pred: np.ndarray, test: TestSet) -> list[list[int]]:
    """Every cell that is not empty, right answers too: true class, predicted class, samples; by index."""
    cells, samples = np.unique(test.labels * test.n_classes + pred, return_counts=True)
    found: list[list[int]] = np.stack([*np.divmod(cells, test.n_classes), samples], 1).tolist()
    return found


def _shot_matrix(pred: np.ndarray, test: TestSet) -> dict[str, dict[str, float] | None]:
    size = len(SHOTS)
    code = test.shots.of[test.labels] * size + test.shots.of[pred]
    counted = np.bincount(code, minlength=size * size).reshape(size, size)
    return {
        shot: {to: float(n / row.sum()) for to, n in zip(SHOTS, row, strict=True)} if row.sum() else None
        for shot, row in zip(SHOTS, counted, strict=True)
    }


def _pair(test: TestSet, true: int, taken: int, samples: int) -> dict[str, Any]:
    return {
        "true": true,
        "true_class": test.class_name(true),
        "true_train": int(test.shots.counts[true]),
        "predicted": taken,
        "predicted_class": test.class_name(taken),
        "predicted_train": int(test.shots.counts[taken]),
        "samples": samples,
        "share": float(samples / test.tested[true]),
    }


def table(report: Report) -> Table:
    """One row a head, direction and pair."""
    rows = [
        {
            **pair,
            "head": head["name"],
            "path": head["path"],
            "direction": label,
            "true": pair["true"] if pair["true_class"] is None else pair["true_class"],
            "predicted": pair["predicted"] if pair["predicted_class"] is None else pair["predicted_class"],
        }
        for head in report.heads
        for direction, label in _DIRECTIONS.items()
        for pair in head[direction]
    ]
    lines = [f"{head['name']}: {_matrix_line(head['shots'])}." for head in report.heads]
    notes = ("n: training samples; share: of the true class's test samples, in percent.", *lines)
    return Table(_COLUMNS, rows, notes=(*notes, f"{report.shots.rule()}."))


def _matrix_line(shots: dict[str, dict[str, float] | None]) -> str:
    few, many = shots["few"], shots["many"]
    told = "{:.1f} % of {}'s samples go to {}, {:.1f} % to Medium"
    parts = [] if few is None else [told.format(100 * few["many"], "Few", "Many", 100 * few["medium"])]
    parts += [] if many is None else [told.format(100 * many["few"], "Many", "Few", 100 * many["medium"])]
    return "; ".join(parts) or "neither Many nor Few has a sample"
