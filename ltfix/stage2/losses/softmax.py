"""Cross-entropy of the softmax and its family: adjusted logits, margins, smoothed labels, class weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.loss import Loss, Settings, at, of, subtract_hit_


class SoftmaxLoss:
    """Cross-entropy and its family: CE of adjusted logits against a smoothed label.

    z̃_k = scale_k·z_k + shift_k − scale_y·margin_y·[k = y];  target (1 − ε_y) e_y + ε_y/K (``spread
    "all"``) or (1 − ε_y) e_y + ε_y/(K−1)·(1 − e_y) (``"others"``);  weight w_y.
    B·∂L/∂z_k = w_y · scale_k · (softmax(z̃)_k − target_k), with w_y·B/Σw instead of w_y where the mean
    is weighted.

    Args:
        scale, shift, margin, smoothing, weight: [M, K] tables, or None where the loss has none.
    """

    def __init__(
        self,
        *,
        scale: Tensor | None = None,
        shift: Tensor | None = None,
        margin: Tensor | None = None,
        smoothing: Tensor | None = None,
        spread: str = "all",
        weight: Tensor | None = None,
        weighted_mean: bool = True,
    ) -> None:
        self.scale, self.shift, self.weight, self.weighted_mean = scale, shift, weight, weighted_mean
        self.margin = margin if margin is None or scale is None else margin * scale
        self.off: Tensor | None = None
        self.drop: Tensor | None = None
        if smoothing is not None:
            n_classes = smoothing.shape[-1]
            self.off = smoothing / (n_classes if spread == "all" else n_classes - 1)
            self.drop = 1 - self.off * n_classes

    def adjust(self, z: Tensor, y: Tensor) -> Tensor:
        """z̃ of the class docstring."""
        if self.scale is not None:
            z = z * self.scale
        if self.shift is not None:
            z = z + self.shift
        if self.margin is not None:
            z = z.scatter_add(-1, at(z, y), -of(self.margin, y)[..., None])
        return z

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        log_p = self.adjust(z, y).log_softmax(-1)
        loss = -log_p.gather(-1, at(z, y))[..., 0]
        if self.off is not None and self.drop is not None:
            loss = of(self.drop, y) * loss - of(self.off, y) * log_p.sum(-1)
        if self.weight is None:
            return loss.mean(-2)
        weight = of(self.weight, y)
        return (weight * loss).sum(-2) / (weight.sum(-2) if self.weighted_mean else loss.shape[-2])

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        s = torch.softmax(self.adjust(z, y), -1)
        if self.off is not None and self.drop is not None:
            s -= of(self.off, y)[..., None]
            s.scatter_add_(-1, at(s, y), -of(self.drop, y)[..., None])
        else:
            subtract_hit_(s, y)
        if self.weight is not None:
            weight = of(self.weight, y)
            if self.weighted_mean:
                weight = weight * (weight.shape[-2] / weight.sum(-2, keepdim=True))
            s *= weight[..., None]
        if self.scale is not None:
            s *= self.scale
        return s


def cross_entropy(s: Settings) -> Loss:
    """Plain cross-entropy."""
    return SoftmaxLoss()


def over_smoothed(s: Settings) -> Loss:
    """LOS: against labels that are smoothed until they are nearly uniform (Sun et al. 2025)."""
    return SoftmaxLoss(smoothing=s.table(weights.constant, "delta"))


def label_aware(s: Settings) -> Loss:
    """Smoothing that grows with a class's frequency (MiSLAS, Zhong et al. 2021)."""
    smoothing = s.table(weights.las_smoothing, "eps_head", "eps_tail", "shape", "power")
    return SoftmaxLoss(smoothing=smoothing, spread="all" if s.word("las_form") == "code" else "others")


def balanced_softmax(s: Settings) -> Loss:
    """Of logits plus log prior (Ren et al. 2020)."""
    return SoftmaxLoss(shift=s.table(weights.prior_shift))


def logit_adjusted(s: Settings) -> Loss:
    """Of logits plus τ log prior (Menon et al. 2021, eq. 10)."""
    return SoftmaxLoss(shift=s.table(weights.prior_shift, "tau"))


def vector_scaling(s: Settings) -> Loss:
    """Of logits over Δ_k, plus τ log prior (Kini et al. 2021)."""
    return SoftmaxLoss(scale=s.table(weights.vs_scale, "gamma"), shift=s.table(weights.prior_shift, "tau"))


def linear_margin(s: Settings) -> Loss:
    """Of plain logits with z_y − C/n_y^power, unscaled: "LDAM" in the table of LOS."""
    return SoftmaxLoss(margin=s.table(weights.ldam_margins, "max_margin", "margin_power"))


def ldam(s: Settings) -> Loss:
    """LDAM, of s·(cos − margin of the true class): margins grow as classes get rarer (Cao et al. 2019)."""
    return SoftmaxLoss(
        scale=s.table(weights.constant, "ldam_s"), margin=s.table(weights.ldam_margins, "max_margin")
    )


def reweighted(s: Settings) -> Loss:
    """Of samples weighted by a power of their class's inverse prior (Zhang et al. 2021, eq. 9)."""
    return SoftmaxLoss(weight=s.table(weights.inverse_power, "rho"))
