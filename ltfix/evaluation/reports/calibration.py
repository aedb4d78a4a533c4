"""How far a head's probabilities can be trusted: calibration errors, likelihood, Brier score, temperature."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ltfix.evaluation.likelihood import class_weights, find_sharpness, kept
from ltfix.evaluation.report import HEAD_COLUMNS, Report, shot_columns
from ltfix.evaluation.scores import LogitBlocks
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.heads.head import Head

BINS = 15
_COLUMNS = (
    *HEAD_COLUMNS,
    Column("ece", "ECE", "percent", "min"),
    *shot_columns("percent", "min", "ece_"),
    Column("nll", "NLL", "number", "min"),
    Column("brier", "Brier", "number", "min"),
    Column("temperature", "Best T", "number"),
    Column("ece_at_temperature", "ECE at T", "percent", "min"),
)


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """ECE of all samples and of each shot's, NLL (nats), Brier score, and the temperature that
    :func:`ltfix.calibrate` would take of these samples for the logits as they are, with the ECE there."""
    blocks = kept(lambda: test.blocks(head), head.n_classes * len(test.labels))
    found = calibrate(blocks(), test.labels)
    shot = test.shots.of[test.labels]

    def ece(mine: np.ndarray) -> float | None:
        if not mine.any():
            return None
        return expected_calibration_error(found.confidence[mine], found.correct[mine])

    weights, all_one = class_weights(test.labels), np.zeros(head.n_classes, np.int64)
    sharpness = float(find_sharpness(blocks, test.labels, weights, all_one)[0])
    there = calibrate(((part, z * np.float32(sharpness)) for part, z in blocks()), test.labels)
    return {
        "ece": expected_calibration_error(found.confidence, found.correct),
        **{f"ece_{name}": ece(shot == index) for index, name in enumerate(SHOTS)},
        "nll": found.nll,
        "brier": found.brier,
        "temperature": 1 / sharpness,
        "ece_at_temperature": expected_calibration_error(there.confidence, there.correct),
    }


def about(test: TestSet) -> dict[str, Any]:
    """The number of bins."""
    return {"bins": BINS}


def table(report: Report) -> Table:
    """One row a head."""
    notes = (
        f"ECE in percent, {BINS} equal-width bins; NLL in nats.",
        "Best T: of least NLL on these samples, every class alike; of a calibrated head what is left.",
        f"{report.shots.rule()}.",
    )
    return Table(_COLUMNS, report.heads, notes=notes)


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence and correctness of every sample, and the proper scores.

    Attributes:
        confidence: [N] largest probability.
        correct: [N] bool, whether the class of largest logit is the true one.
        surprise: [N] negative log-likelihood of each sample, in nats.
        brier: mean over samples of the squared distance between probabilities and one-hot label (0 to 2).
    """

    confidence: np.ndarray
    correct: np.ndarray
    surprise: np.ndarray
    brier: float

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood, in nats."""
        return float(self.surprise.mean())


def calibrate(blocks: LogitBlocks, labels: np.ndarray) -> Calibration:
    """Confidence, correctness and scores of logits against ``labels`` [N], in one pass over the blocks.

    Where the probability of the true class underflows, its logarithm still counts exactly.
    """
    confidence, correct = np.empty(len(labels)), np.empty(len(labels), bool)
    surprise, brier = np.empty(len(labels)), 0.0
    for where, logits in blocks:
        mine, rows = labels[where], np.arange(len(logits))
        shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(1)
        p /= total[:, None]
        surprise[where] = np.log(total) - shifted[rows, mine]
        brier += float(np.sum(p * p) + np.sum(1 - 2 * p[rows, mine]))
        confidence[where] = 1 / total
        correct[where] = logits.argmax(1) == mine
    return Calibration(confidence, correct, surprise, brier / len(labels))


def reliability(found: Calibration, bins: int = BINS) -> list[dict[str, float | int]]:
    """The bins of the ECE that hold a sample: their ``samples``, mean ``confidence`` and ``accuracy``."""
    index = _bin(found.confidence, bins)
    samples = np.bincount(index, minlength=bins)
    sums = (np.bincount(index, values, minlength=bins) for values in (found.confidence, found.correct))
    confidence, accuracy = (total / np.maximum(samples, 1) for total in sums)
    return [
        {"samples": int(n), "confidence": float(p), "accuracy": float(a)}
        for n, p, a in zip(samples, confidence, accuracy, strict=True)
        if n
    ]


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = BINS, weights: np.ndarray | None = None
) -> float:
    """ECE with equal-width bins (Guo et al., 2017).

    The mean over samples of the gap between accuracy and mean confidence of their bin. Bins are
    (i/bins, (i+1)/bins], as published code for long-tailed calibration has them.

    Args:
        confidence: [N] in (0, 1].
        correct: [N] bool.
        bins: how many.
        weights: [N] what each sample counts, summing to 1; None: all the same.
    """
    gap = correct - confidence
    share = gap / len(gap) if weights is None else gap * weights
    return float(np.abs(np.bincount(_bin(confidence, bins), share, minlength=bins)).sum())


def _bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin (i/bins, (i+1)/bins] of each confidence, [m] int64."""
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1))
