"""Validation samples and what is chosen on them. The test split is never read here."""

from __future__ import annotations

import numpy as np

from ltfix.stage2.seeds import derive

FRACTION = 0.2


def class_wise_cut(
    labels: np.ndarray, seed: int, fraction: float = FRACTION
) -> tuple[np.ndarray, np.ndarray]:
    """Split sample indices class by class into training and validation, each sorted.

    Every class of two samples or more gives max(1, round(``fraction`` · n)) of them; a class of one
    stays in training and out of the score.

    Returns:
        Indices to train on, and indices to validate on.
    """
    held: list[np.ndarray] = []
    rng = np.random.default_rng(derive(seed, "validation"))
    for index in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        if len(index) >= 2:
            held.append(rng.permutation(index)[: max(1, round(fraction * len(index)))])
    validation = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def mean_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur in ``labels`` of their accuracy: what every choice is made by."""
    total = np.bincount(labels)
    hits = np.bincount(labels[predicted == labels], minlength=len(total))
    present = total > 0
    return float((hits[present] / total[present]).mean())
