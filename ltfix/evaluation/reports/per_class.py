"""Every class by itself: training and test samples, recall, precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.report import Report, nothing_further
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_COLUMNS = (
    Column("head", "Head"),
    Column("path", "", csv_only=True),
    Column("index", "", "count", csv_only=True),
    Column("class", "Class"),
    Column("shot", "Shot"),
    Column("train", "Train", "count"),
    Column("test", "Test", "count"),
    Column("predicted", "Predicted", "count"),
    Column("recall", "Recall", "percent"),
    Column("precision", "Precision", "percent"),
)
about = nothing_further


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """``classes``: one mapping a class.

    ``recall`` is the class's accuracy (None without a test sample); ``precision`` the share of samples
    predicted as the class that are of it (None where nothing is predicted so).
    """
    pred, recall = test.predictions(head), test.recall(head)
    predicted = np.bincount(pred, minlength=test.n_classes)
    hit = np.bincount(pred[pred == test.labels], minlength=test.n_classes)
    tested = test.tested
    return {
        "classes": [
            {
                "index": k,
                "class": test.class_name(k),
                "shot": SHOTS[test.shots.of[k]],
                "train": int(test.shots.counts[k]),
                "test": int(tested[k]),
                "predicted": int(predicted[k]),
                "recall": float(recall[k]) if tested[k] else None,
                "precision": float(hit[k] / predicted[k]) if predicted[k] else None,
            }
            for k in range(test.n_classes)
        ]
    }


def table(report: Report) -> Table:
    """One row a head and class, classes in index order."""
    rows = [
        {
            **entry,
            "head": head["name"],
            "path": head["path"],
            "class": entry["index"] if entry["class"] is None else entry["class"],
        }
        for head in report.heads
        for entry in head["classes"]
    ]
    return Table(_COLUMNS, rows, notes=(f"{report.shots.rule()}.",))
