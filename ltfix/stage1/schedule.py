"""Learning rates by epoch: functions of the epoch alone, so a resumed run has no state to restore."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any


def cosine(progress: float) -> float:
    """½(1 + cos πp): 1 at the start, 0 at the end (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """The same rate throughout."""
    return 1.0


def steps(progress: float) -> float:
    """LDAM-DRW's steps: × 0.01 from 80 % of the epochs, × 0.0001 from 90 % (of the base rate)."""
    return 1.0 if progress < 0.8 else 0.01 if progress < 0.9 else 0.0001


def gentle_steps(progress: float) -> float:
    """MiSLAS's steps: × 0.1 from 80 % of the epochs, × 0.01 from 90 %."""
    return 1.0 if progress < 0.8 else 0.1 if progress < 0.9 else 0.01


_SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": cosine,
    "constant": constant,
    "steps": steps,
    "gentle-steps": gentle_steps,
}


def rate_at(epoch: int, values: Mapping[str, Any]) -> float:
    """The learning rate of epoch 0..E−1, constant within it.

    ``lr · (e+1)/w`` in the first w ``warmup_epochs``. After them the cosine runs over the remaining
    epochs from its start (so the last epoch's rate is above 0), while steps count from the first epoch.

    Args:
        epoch: e.
        values: epochs, lr, schedule, warmup_epochs.
    """
    epochs, lr, warmup = values["epochs"], values["lr"], values["warmup_epochs"]
    if epoch < warmup:
        return float(lr * (epoch + 1) / warmup)
    if values["schedule"] == "cosine":
        return float(lr * cosine((epoch - warmup) / (epochs - warmup)))
    return float(lr * _SHAPES[values["schedule"]](epoch / epochs))
