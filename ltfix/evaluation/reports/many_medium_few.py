"""Accuracy over all samples and by shot, the harmonic mean and the worst class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.baseline import pack_correct
from ltfix.evaluation.report import HEAD_COLUMNS, Report, nothing_further
from ltfix.evaluation.scores import TITLES, harmonic_mean, shot_means
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_SCORES = ("all", *SHOTS, "harmonic_mean", "worst_class")
about = nothing_further


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Accuracies of one head as fractions; None for a shot without a tested class."""
    recall, correct = test.recall(head), test.correct(head)
    return {
        "all": float(np.mean(correct)),
        **shot_means(recall, test.shots.of),
        "class_mean": float(np.nanmean(recall)),
        "harmonic_mean": harmonic_mean(recall),
        **test.worst(recall),
        "correct": pack_correct(correct),
    }


def table(report: Report) -> Table:
    """One row a head."""
    scores = tuple(Column(key, TITLES[key], "percent", "max") for key in _SCORES)
    more = (Column("class_mean", "", csv_only=True), Column("worst_class_name", "Which"))
    columns = (*HEAD_COLUMNS, *scores, *more)  # a narrow terminal shows them up to Few
    return Table(columns, report.heads, notes=(f"{report.shots.rule()}.",), essential=5)
