"""Cutting a balanced training split to a long tail."""

from __future__ import annotations

import math

import numpy as np

from ltfix.errors import UsageError
from ltfix.images.split import Split


def exponential_counts(counts: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """Samples per class of the exponential profile: ``min(n_k, int(n_max · IF^(-r/(K-1))))``.

    r = 0..K-1 is the rank of the class by count, largest first, ties by class index, and n_max the
    largest count; truncation, not rounding. On a balanced data set this is the profile of CIFAR-LT
    (Cui et al. 2019; Cao et al. 2019, LDAM-DRW's code). A class with fewer samples than its share
    keeps all it has.

    Args:
        counts: [K] samples per class, K >= 2.
        imbalance_factor: IF = n_max / n_min >= 1.

    Returns:
        [K] int64.

    Raises:
        UsageError: IF below 1 or without bound.
    """
    if not 1 <= imbalance_factor < math.inf:
        raise UsageError(
            f"it is n_max / n_min, a number of at least 1, not {imbalance_factor:g}", where="imbalance_factor"
        )
    counts = np.asarray(counts, np.int64)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    share = [
        int(int(counts.max()) * (1 / imbalance_factor) ** (r / (len(counts) - 1))) for r in rank.tolist()
    ]
    wanted: np.ndarray = np.minimum(counts, np.array(share, np.int64))
    return wanted


def cut_long_tail(split: Split, imbalance_factor: float, seed: int = 0) -> Split:
    """The training split cut to :func:`exponential_counts`.

    Which images: those of LDAM-DRW's code, which MiSLAS shares. One generator, seeded once, shuffles
    the samples of each class in index order and the first n_k stay. They keep the source's order.

    Raises:
        UsageError: IF below 1, or a seed that the generator does not take.
    """
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"the imbalance seed is a number from 0 to 2³² − 1, not {seed}")
    wanted = exponential_counts(split.counts, imbalance_factor)
    draw = np.random.RandomState(seed)
    kept = []
    for label, n in enumerate(wanted.tolist()):
        index = np.flatnonzero(split.labels == label)
        draw.shuffle(index)
        kept.append(index[:n])
    return split.subset(np.sort(np.concatenate(kept)))
