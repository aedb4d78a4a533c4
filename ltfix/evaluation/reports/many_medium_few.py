"""Accuracy over all samples, by shot and by other means over the classes: every score that there is."""

from __future__ import annotations

from typing import Any

from ltfix.evaluation.baseline import pack_correct
from ltfix.evaluation.metrics import SCORES
from ltfix.evaluation.report import HEAD_COLUMNS, Report, nothing_further
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

about = nothing_further


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Every score of one head as a fraction, and its worst class, by name, else index."""
    found = test.verdicts(head)
    return {
        **found.scores(SCORES),
        "worst_class_name": found.worst(test.classes),
        "correct": pack_correct(found.correct),
    }


def table(report: Report) -> Table:
    """One row a head."""
    scores = [Column(key, score.title, "percent", "max") for key, score in SCORES.items()]
    which = 1 + list(SCORES).index("worst_class")
    columns = (
        *HEAD_COLUMNS,
        *scores[:which],
        Column("worst_class_name", "Which", aside=True),
        *scores[which:],
    )
    return Table(columns, report.heads, notes=(f"{report.shots.rule()}.",), essential=5)  # up to Few
