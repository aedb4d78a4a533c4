"""Learning rates by epoch: functions of the epoch alone, so a resumed run has no state to restore."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_STEPS = {
    "constant": (1.0, 1.0),
    "steps": (0.01, 0.0001),  # LDAM-DRW's
    "gentle-steps": (0.1, 0.01),  # MiSLAS's
}
"""What the base rate is multiplied by from 80 % and from 90 % of the epochs."""


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
    if values["schedule"] == "cosine":  # ½(1 + cos πp), Loshchilov & Hutter 2017, without restarts
        progress = (epoch - warmup) / (epochs - warmup)
        return float(lr * (0.5 * (1 + math.cos(math.pi * progress))))
    first, second = _STEPS[values["schedule"]]
    progress = epoch / epochs
    return float(lr * (1.0 if progress < 0.8 else first if progress < 0.9 else second))
