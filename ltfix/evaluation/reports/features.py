"""The geometry of the evaluated features, and the row norms of the heads against the class counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltfix.evaluation.neuralcollapse import between_cosine, class_means, fisher_ratio, within_cosine
from ltfix.evaluation.report import Report
from ltfix.evaluation.scores import known, summary
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_COLUMNS = (
    Column("of", "Of"),
    Column("path", "", csv_only=True),
    Column("measure", "Measure"),
    Column("all", "All", "number"),
    *(Column(shot, shot.capitalize(), "number") for shot in SHOTS),
)
_MEASURES = {
    "norm": "feature norm",
    "within_cosine": "cosine within a class",
    "between_cosine": "cosine to other classes",
}


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Row norms of the head's weight, and their correlation with the logarithm of the training counts."""
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    logs = np.log(np.maximum(test.shots.counts, 1))
    varies = bool(np.ptp(logs) > 0) and bool(np.ptp(norms) > 0)
    return {
        "weight_norm": summary(norms, test.shots.of),
        "norm_count_correlation": float(np.corrcoef(logs, norms)[0, 1]) if varies else None,
        "classes": {"weight_norm": norms.tolist()},
    }


def about(test: TestSet) -> dict[str, Any]:
    """``features``: Fisher ratio, cosine similarities and norms of the evaluated cache."""
    means = class_means(test.cache, test.n_classes, test.tta)
    fisher = fisher_ratio(test.cache, means, test.tta)
    values = {
        "norm": means.norm,
        "within_cosine": within_cosine(means),
        "between_cosine": between_cosine(means),
    }
    return {
        "features": {
            "fdr": known(fisher.value),
            "fdr_dims": fisher.dims,
            "fdr_rank": fisher.rank,
            **{key: summary(value, test.shots.of) for key, value in values.items()},
            "classes": {key: [known(v) for v in value] for key, value in values.items()},
        }
    }


def table(report: Report) -> Table:
    """One row a measure of the features, then one a head."""
    found = report.about["features"]
    rows = [{"of": "features", "measure": "Fisher ratio (FDR)", "all": found["fdr"]}]
    rows += [{"of": "features", "measure": label, **found[key]} for key, label in _MEASURES.items()]
    for head in report.heads:
        row = {"of": head["name"], "path": head["path"], "measure": "weight norm"}
        rows.append({**row, **head["weight_norm"]})
    notes = [f"Means over classes. {report.shots.rule()}."]
    if found["fdr_rank"] < found["fdr_dims"]:
        notes.append(
            f"The within-class scatter has rank {found['fdr_rank']} of {found['fdr_dims']}: "
            "FDR is taken on its range."
        )
    return Table(_COLUMNS, rows, notes=tuple(notes))
