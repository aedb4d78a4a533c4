"""Cutting a balanced training split to a long tail, as the papers did."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    last = len(counts) - 1
    return _profile(counts, imbalance_factor, lambda rank: rank / last)


def step_counts(counts: np.ndarray, imbalance_factor: float) -> np.ndarray:
    """The same where the first half of the classes keeps n_max and the others int(n_max / IF).

    Of an odd number of classes, the tail has one more (Buda et al. 2018; LDAM-DRW's code).
    """
    half = len(counts) // 2
    return _profile(counts, imbalance_factor, lambda rank: float(rank >= half))


def _profile(counts: np.ndarray, factor: float, share: Callable[[int], float]) -> np.ndarray:
    """[K] int64 min(n_k, int(n_max · IF^(-share(rank of k))))."""
    if not 1 <= factor < math.inf:
        raise UsageError(
            f"it is n_max / n_min, a number of at least 1, not {factor:g}", where="imbalance_factor"
        )
    counts = np.asarray(counts, np.int64)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    most = [int(int(counts.max()) * (1 / factor) ** share(r)) for r in rank.tolist()]
    wanted: np.ndarray = np.minimum(counts, np.array(most, np.int64))
    return wanted


def cut_long_tail(
    split: Split,
    imbalance_factor: float | None,
    seed: int = 0,
    *,
    kind: str = "exp",
    order: str = "shuffle",
    rest: int = 0,
) -> tuple[Split, Split]:
    """The training split cut to a profile, and a balanced validation split of what the cut leaves.

    Which images: with ``order="shuffle"`` those of LDAM-DRW's code, which MiSLAS shares: one generator,
    seeded once, shuffles the samples of each class in index order and the first n_k stay. With ``"first"``
    the first n_k of the source's order, as in the code of weight balancing, LOS and SAMN. Both keep the
    source's order.

    Args:
        split: all training samples.
        imbalance_factor: n_max / n_min; None: every class keeps what ``rest`` leaves.
        seed: of the draw.
        kind: ``exp`` or ``step``.
        order: ``shuffle`` or ``first``.
        rest: samples a class for validation: the next ones after those that stay. So that every class has
            them, the profile is that of n_k − rest.

    Raises:
        UsageError: IF below 1, a seed that the generator does not take, a class with no more than ``rest``.
    """
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"the imbalance seed is a number from 0 to 2³² − 1, not {seed}")
    counts = split.counts - rest
    if rest and counts.min() < 1:
        label = int(np.argmin(counts))
        what = f"class {split.classes[label]!r} has {counts[label] + rest} samples"
        raise UsageError(what, where=f"val_from_rest={rest}")
    profile = {"exp": exponential_counts, "step": step_counts}[kind]
    wanted = counts if imbalance_factor is None else profile(counts, imbalance_factor)
    draw = np.random.RandomState(seed)
    kept, left = list[np.ndarray](), list[np.ndarray]()
    for label, n in enumerate(wanted.tolist()):
        index = np.flatnonzero(split.labels == label)
        if order == "shuffle":
            draw.shuffle(index)
        kept.append(index[:n])
        left.append(index[n : n + rest])
    return split.subset(np.sort(np.concatenate(kept))), split.subset(np.sort(np.concatenate(left)))
