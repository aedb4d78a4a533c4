"""Which samples an epoch visits, in which order. An epoch is N draws, whatever the sampler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ltfix.stage2.seeds import derive

Sampler = Callable[[np.ndarray, np.random.Generator, int, int], np.ndarray]


def instance(labels: np.ndarray, rng: np.random.Generator, epoch: int, epochs: int) -> np.ndarray:
    """Every sample once, shuffled."""
    return rng.permutation(len(labels))


_SAMPLERS: dict[str, Sampler] = {"instance": instance}


def draw(name: str, labels: np.ndarray, seed: int, epoch: int, epochs: int) -> np.ndarray:
    """Sample indices [N] of one epoch of one run; equal seeds draw alike.

    Args:
        name: a sampler of the method table.
        labels: [N] int64.
        epoch, epochs: which of how many (a progressive sampler moves with it).
    """
    return _SAMPLERS[name](labels, np.random.default_rng(derive(seed, "sampler", epoch)), epoch, epochs)
