"""Every class by itself: training and test samples, recall, precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.report import Report
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.tested import Case
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


def measure(head: Head, case: Case) -> dict[str, Any]:
    """``classes``: one mapping a class.

    ``recall`` is the class's accuracy (None without a test sample); ``precision`` the share of samples
    predicted as the class that are of it (None where nothing is predicted so).
    """
    pred, recall = case.predictions(head), case.recall(head)
    predicted = np.bincount(pred, minlength=case.n_classes)
    hit = np.bincount(pred[pred == case.labels], minlength=case.n_classes)
    tested = case.tested
    return {
        "classes": [
            {
                "index": k,
                "class": case.class_name(k),
                "shot": case.shot_name(k),
                "train": int(case.shots.counts[k]),
                "test": int(tested[k]),
                "predicted": int(predicted[k]),
                "recall": float(recall[k]) if tested[k] else None,
                "precision": float(hit[k] / predicted[k]) if predicted[k] else None,
            }
            for k in range(case.n_classes)
        ]
    }


def about(case: Case) -> dict[str, Any]:
    """Nothing further."""
    return {}


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
