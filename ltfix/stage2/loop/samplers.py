"""Which samples an epoch visits, in which order. An epoch is N draws, whatever the sampler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ltfix.seeds import derive
from ltfix.stage2.methods.method import find_part
from ltfix.stage2.methods.parts import Part

CONSECUTIVE = 4  # draws a class gives at each visit of the class-aware sampler

Sampler = Callable[[np.ndarray, np.random.Generator, float], np.ndarray]
"""Labels [N], a generator, and how far training is (0 in the first epoch, 1 in the last), to indices [N]."""


def instance(labels: np.ndarray, rng: np.random.Generator, progress: float) -> np.ndarray:
    """Every sample once, shuffled."""
    return rng.permutation(len(labels))


def class_aware(labels: np.ndarray, rng: np.random.Generator, progress: float) -> np.ndarray:
    """Classes in shuffled cycles; each visit yields four consecutive samples of the class's own cycle.

    Kang et al. 2020 (cRT, LWS), MiSLAS. A class's cycle is reshuffled when it is used up, so nothing
    repeats within a cycle; a class of fewer than four samples repeats within a visit.
    """
    members = class_members(labels)
    visits = -(-len(labels) // CONSECUTIVE)
    rounds = -(-visits // len(members))
    order = np.concatenate([rng.permutation(len(members)) for _ in range(rounds)])[:visits]
    out = np.empty((visits, CONSECUTIVE), np.int64)
    for k, index in enumerate(members):
        rows = np.flatnonzero(order == k)
        need = len(rows) * CONSECUTIVE
        cycles = [rng.permutation(index) for _ in range(-(-need // len(index)))]
        if cycles:
            out[rows] = np.concatenate(cycles)[:need].reshape(-1, CONSECUTIVE)
    return out.reshape(-1)[: len(labels)]


def by_power(power: float) -> Sampler:
    """Classes with probability ∝ n^q, with replacement: q = ½ is square-root sampling, 0 class-balanced."""

    def sampler(labels: np.ndarray, rng: np.random.Generator, progress: float) -> np.ndarray:
        counts = np.bincount(labels).astype(np.float64)
        probability = np.where(counts > 0, np.maximum(counts, 1) ** power, 0)
        return _draw(labels, rng, probability / probability.sum())

    return sampler


def progressive(labels: np.ndarray, rng: np.random.Generator, progress: float) -> np.ndarray:
    """(1 − t) π_k + t/K, t from 0 in the first epoch to 1 in the last (Kang et al. 2020, eq. 2)."""
    counts = np.bincount(labels).astype(np.float64)
    balanced = (counts > 0) / (counts > 0).sum()
    return _draw(labels, rng, (1 - progress) * counts / counts.sum() + progress * balanced)


def _draw(labels: np.ndarray, rng: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    counts = np.bincount(labels)
    order, first = np.argsort(labels, kind="stable"), np.cumsum(counts) - counts
    classes = rng.choice(len(counts), size=len(labels), p=probability)
    return np.asarray(order[first[classes] + rng.integers(counts[classes])])


def class_members(labels: np.ndarray) -> list[np.ndarray]:
    """Of every class that occurs in ``labels`` [N], the indices of its samples, in order."""
    order = np.argsort(labels, kind="stable")
    return [m for m in np.split(order, np.cumsum(np.bincount(labels))[:-1]) if len(m)]


class_balanced, square_root = by_power(0.0), by_power(0.5)


def draw(sampler: Part | str, labels: np.ndarray, seed: int, epoch: int, epochs: int) -> np.ndarray:
    """Sample indices [N] of one epoch of one run; equal seeds draw alike.

    Args:
        sampler: one of the method table.
        labels: [N] int64.
        epoch, epochs: which of how many; a progressive sampler moves with e/(E−1).
    """
    rng = np.random.default_rng(derive(seed, "sampler", epoch))
    function: Sampler = find_part("sampler", sampler).function
    return function(labels, rng, epoch / max(epochs - 1, 1))
