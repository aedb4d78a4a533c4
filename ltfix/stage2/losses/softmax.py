"""Cross-entropy of the softmax and its family: adjusted logits, smoothed labels, weighted classes."""

from __future__ import annotations

import torch
from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.loss import Loss, Settings, at, of, subtract_hit_


def _reduce(loss: Tensor, weight: Tensor | None, weighted_mean: bool) -> Tensor:
    """Mean over the batch axis of per-sample losses [..., B, M], weighted by ``weight`` of the same shape."""
    if weight is None:
        return loss.mean(-2)
    total = (weight * loss).sum(-2)
    return total / (weight.sum(-2) if weighted_mean else loss.shape[-2])


def _share(weight: Tensor, weighted_mean: bool) -> Tensor:
    """What a sample's gradient is multiplied with, before the caller's 1/B."""
    return weight * (weight.shape[-2] / weight.sum(-2, keepdim=True)) if weighted_mean else weight


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
        return _reduce(loss, None if self.weight is None else of(self.weight, y), self.weighted_mean)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        s = torch.softmax(self.adjust(z, y), -1)
        if self.off is not None and self.drop is not None:
            s -= of(self.off, y)[..., None]
            s.scatter_add_(-1, at(s, y), -of(self.drop, y)[..., None])
        else:
            subtract_hit_(s, y)
        if self.weight is not None:
            s *= _share(of(self.weight, y), self.weighted_mean)[..., None]
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


def reweighted(s: Settings) -> Loss:
    """Of samples weighted by a power of their class's inverse prior (Zhang et al. 2021, eq. 9)."""
    return SoftmaxLoss(weight=s.table(weights.inverse_power, "rho"))
