"""Logits in blocks, predictions, accuracies: the arithmetic under every report."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

import numpy as np

from ltfix.errors import InputError, UsageError, nearest
from ltfix.evaluation.shots import SHOTS
from ltfix.features.read import FeatureCache
from ltfix.heads.head import Head

TTA = ("mean", "first")
LogitBlocks = Iterable[tuple[slice, np.ndarray]]
"""The logits of a cache in consecutive blocks: a slice of the samples, and their logits [m, K]."""

_BLOCK_VALUES = 1 << 22  # 16 MiB of float32 logits, whatever K is


def check_tta(tta: str) -> None:
    """Refuse a treatment of views that is neither "mean" nor "first" (UsageError)."""
    if tta not in TTA:
        raise UsageError(f"no such treatment of views: {tta!r}", where="tta", hint=nearest(tta, TTA))


def logit_blocks(head: Head, cache: FeatureCache, tta: str = "mean") -> Iterator[tuple[slice, np.ndarray]]:
    """Logits of a whole cache in consecutive blocks, so memory does not grow with N or K.

    With several views the logits (not the probabilities) are averaged, as published long-tail code
    does for an image and its mirror.

    Args:
        head: the classifier.
        cache: features [N, V, D].
        tta: "mean" of the views (without random ones, where there are others) or the "first" one alone.

    Yields:
        (slice of samples, [m, K] float32).

    Raises:
        UsageError: an unknown ``tta``.
        InputError: D differs, or a feature or a logit is not finite.
    """
    check_tta(tta)
    widest = max(head.n_classes, cache.views * cache.dim)
    rows = int(np.clip(_BLOCK_VALUES // widest, 16, 4096))
    for where, block in cache.blocks(rows):
        with np.errstate(over="ignore", invalid="ignore"):  # refused below, by name
            logits = head.mean_logits(block[:, : 1 if tta == "first" else cache.tested_views])
        bad = ~np.isfinite(logits).all(1)
        if bad.any():
            row = where.start + int(bad.argmax())
            told = f"its logits of sample {row}{cache.sample_name(row)} are not finite"
            raise InputError(told, where=head.path or head.name, hint="was it fitted on such features?")
        yield where, logits


def true_rank(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[m] how many logits [m, K] come before the true class's: larger ones, and equal ones of lower index."""
    true = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    ahead: np.ndarray = np.count_nonzero((logits > true) | (earlier & (logits == true)), axis=1)
    return ahead


def predictions(head: Head, cache: FeatureCache, tta: str = "mean") -> np.ndarray:
    """The class of largest logit per sample, [N] int64; the lower index where two are equal.

    Raises:
        UsageError, InputError: as :func:`logit_blocks`.
    """
    out = np.empty(cache.n, np.int64)
    for where, logits in logit_blocks(head, cache, tta):
        out[where] = logits.argmax(1)
    return out


def class_accuracy(pred: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Accuracy per class (its recall), [K] float64 fractions; NaN for a class without samples.

    Args:
        pred: [N] predicted classes.
        labels: [N] true classes in 0..K-1.
        n_classes: K.
    """
    total = np.bincount(labels, minlength=n_classes)
    hit = np.bincount(labels[pred == labels], minlength=n_classes)
    recall = np.full(n_classes, np.nan)
    np.divide(hit, total, out=recall, where=total > 0)
    return recall


def shot_means(values: np.ndarray, shots: np.ndarray) -> dict[str, float | None]:
    """The mean of per-class ``values`` [K] in each shot, over those that are not NaN; None without any.

    Of accuracies that is the mean over the shot's classes, as in the published code (the same as its samples'
    mean wherever the test classes are equally large).
    """
    kept = [values[(shots == index) & ~np.isnan(values)] for index in range(len(SHOTS))]
    return {shot: float(v.mean()) if len(v) else None for shot, v in zip(SHOTS, kept, strict=True)}


def spread(values: Iterable[float | None]) -> dict[str, float | None] | None:
    """Mean and standard deviation (of one value: None) over runs; None where there is nothing to measure."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return {
        "mean": statistics.fmean(found),
        "std": round(statistics.stdev(found), 12) if len(found) > 1 else None,
    }


def known(value: float) -> float | None:
    """A number as JSON has it: None for NaN."""
    return None if np.isnan(value) else float(value)


def summary(values: np.ndarray, shots: np.ndarray) -> dict[str, float | None]:
    """:func:`shot_means`, and under ``all`` the mean over every class that is not NaN."""
    found = values[~np.isnan(values)]
    return {"all": float(found.mean()) if len(found) else None, **shot_means(values, shots)}
