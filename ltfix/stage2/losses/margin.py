"""LDAM: margins on cosines that grow as classes get rarer, and re-weighting late in training."""

from __future__ import annotations

from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.loss import Loss, Settings
from ltfix.stage2.losses.softmax import SoftmaxLoss


class Deferred:
    """Deferred re-weighting (Cao et al. 2019): one loss until a share of the epochs, another from there."""

    def __init__(self, before: Loss, after: Loss, start: float) -> None:
        self.before, self.after, self.start = before, after, start
        self.now = before

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Switch over where the epoch's index has reached ``start`` of the epochs."""
        self.now = self.after if epoch >= self.start * epochs else self.before

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.value(z, y)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.grad_(z, y)


def ldam(s: Settings) -> Loss:
    """Cross-entropy of s·(cos − margin of the true class), weighted from ``drw_from`` on.

    Cao et al. 2019.
    """
    scale, margin = s.table(weights.constant, "ldam_s"), s.table(weights.ldam_margins, "max_margin")
    weight, start = s.table(weights.effective_number, "beta"), float(s.word("drw_from"))
    plain = SoftmaxLoss(scale=scale, margin=margin)
    if start >= 1:
        return plain
    return Deferred(plain, SoftmaxLoss(scale=scale, margin=margin, weight=weight), start)
