"""LDAM: margins on cosines that grow as classes get rarer."""

from __future__ import annotations

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.loss import Loss, Settings
from ltfix.stage2.losses.softmax import SoftmaxLoss


def linear_margin(s: Settings) -> Loss:
    """Cross-entropy with z_y − C/n_y^power on plain logits, unscaled: "LDAM" in the table of LOS."""
    return SoftmaxLoss(margin=s.table(weights.ldam_margins, "max_margin", "margin_power"))


def ldam(s: Settings) -> Loss:
    """Cross-entropy of s·(cos − margin of the true class) (Cao et al. 2019)."""
    return SoftmaxLoss(
        scale=s.table(weights.constant, "ldam_s"), margin=s.table(weights.ldam_margins, "max_margin")
    )
