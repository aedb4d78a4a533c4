"""Every class by itself: training and test samples, recall, precision."""

from __future__ import annotations

import dataclasses
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
    verdicts = test.verdicts(head)
    pred, recall = verdicts.predicted, verdicts.recall
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
    """Heads side by side, one row a class; the csv has one a head and class."""
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
    notes = (f"{report.shots.rule()}.",)
    tidy = Table(_COLUMNS, rows, notes=notes)
    return (
        tidy if len(report.heads) == 1 else dataclasses.replace(_side_by_side(report), notes=notes, tidy=tidy)
    )


def _side_by_side(report: Report) -> Table:
    """One row a class, a column of recall for each head."""
    rows: list[dict[str, Any]] = [dict(entry) for entry in report.heads[0]["classes"]]
    for number, head in enumerate(report.heads):
        for row, entry in zip(rows, head["classes"], strict=True):
            row["class"] = entry["index"] if entry["class"] is None else entry["class"]
            row[f"recall_{number}"] = entry["recall"]
    recalls = [Column(f"recall_{n}", head["name"], "percent") for n, head in enumerate(report.heads)]
    return Table((*_COLUMNS[3:7], *recalls), rows, title=f"Recall by class, {report.title}")


def ordered(report: Report, by: str) -> Report:
    """The report with its classes in another order, the same for all heads.

    Args:
        by: "gain": by what the last head has above the first, largest first; "recall": of the last head,
            least first; "count": training samples, most first. Classes without a test sample come last.
    """

    def rank(k: int) -> tuple[bool, float]:
        first, last = (report.heads[end]["classes"][k] for end in (0, -1))
        if last["recall"] is None:
            return True, 0.0
        found = {"gain": first["recall"] - last["recall"], "recall": last["recall"], "count": -last["train"]}
        return False, found[by]

    if by == "index":
        return report
    order = sorted(range(len(report.shots.counts)), key=rank)
    heads = [{**head, "classes": [head["classes"][k] for k in order]} for head in report.heads]
    return dataclasses.replace(report, heads=heads)
