"""Expected calibration error, log-likelihood, Brier score, and the temperature that calibrates best."""

from __future__ import annotations

from typing import Any

from ltfix.evaluation.calibration import BINS, best_temperature, calibrate, expected_calibration_error
from ltfix.evaluation.report import Report
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

_COLUMNS = (
    Column("name", "Head"),
    Column("path", "", csv_only=True),
    Column("method", "", csv_only=True),
    Column("ece", "ECE", "percent", "min"),
    *(Column(f"ece_{shot}", shot.capitalize(), "percent", "min") for shot in SHOTS),
    Column("nll", "NLL", "number", "min"),
    Column("brier", "Brier", "number", "min"),
    Column("temperature", "Best T", "number"),
    Column("ece_at_temperature", "ECE at T", "percent", "min"),
)


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """ECE of all samples and of each shot's, NLL (nats), Brier score, the temperature of least ECE."""
    found = calibrate(test.blocks(head), test.labels)
    shot = test.shots.of[test.labels]
    by_shot: dict[str, float | None] = {}
    for index, name in enumerate(SHOTS):
        mine = shot == index
        known = (
            expected_calibration_error(found.confidence[mine], found.correct[mine]) if mine.any() else None
        )
        by_shot[f"ece_{name}"] = known
    temperature, least = best_temperature(lambda: test.blocks(head), test.labels)
    return {
        "ece": expected_calibration_error(found.confidence, found.correct),
        **by_shot,
        "nll": found.nll,
        "brier": found.brier,
        "temperature": temperature,
        "ece_at_temperature": least,
    }


def about(test: TestSet) -> dict[str, Any]:
    """The number of bins."""
    return {"bins": BINS}


def table(report: Report) -> Table:
    """One row a head."""
    notes = (
        f"ECE in percent, {BINS} equal-width bins; NLL in nats; the best T is chosen on these samples.",
        f"{report.shots.rule()}.",
    )
    return Table(_COLUMNS, report.heads, notes=notes)
