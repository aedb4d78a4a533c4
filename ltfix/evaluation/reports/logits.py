"""The logit margin (LoMa) by shot and class, and the spread in units of it."""

from __future__ import annotations

from typing import Any

from ltfix.evaluation.logits import margins
from ltfix.evaluation.report import Report
from ltfix.evaluation.scores import known, summary
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_MEASURES = {
    "loma": "margin",
    "loma_row": "margin in its row",
    "regularised_std": "std / margin",
    "std": "std",
}
_COLUMNS = (
    Column("name", "Head"),
    Column("path", "", csv_only=True),
    Column("method", "", csv_only=True),
    Column("measure", "Logits"),
    Column("all", "All", "number"),
    *(Column(shot, shot.capitalize(), "number") for shot in SHOTS),
)


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Class means of each statistic over all classes and by shot, and the statistics per class."""
    found = margins(test.blocks(head), test.labels, test.n_classes)
    values = {key: getattr(found, key) for key in (*_MEASURES, "std_pos", "regularised_std_pos")}
    means = {key: summary(values[key], test.shots.of) for key in _MEASURES}
    per_class = {key: [known(v) for v in value] for key, value in values.items()}
    return {**means, "classes": per_class}


def about(test: TestSet) -> dict[str, Any]:
    """Nothing further."""
    return {}


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
