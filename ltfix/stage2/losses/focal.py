"""Focal losses: cross-entropy that leaves out what is right already, on the softmax or on sigmoids."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.stage2.losses.loss import Loss, Settings, at, of, sample_weight, subtract_hit_

TINY = 1e-12


class SoftmaxFocal:
    """(1 − p)^γ ℓ with ℓ = −w_y log s_y and p = e^−ℓ, plain mean (the published code of LDAM-DRW).

    Gradient A·w_y·(s − e_y), A = (1 − p)^γ + γ p ℓ (1 − p)^(γ−1). With class weights that code weights ℓ
    before it forms p; so does this.
    """

    def __init__(self, gamma: Tensor, weight: Tensor | None = None) -> None:
        self.gamma, self.weight = gamma, weight

    def _parts(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss = -z.log_softmax(-1).gather(-1, at(z, y))[..., 0]
        if self.weight is not None:
            loss = loss * of(self.weight, y)
        return loss, (-torch.expm1(-loss)).clamp(min=TINY)

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        loss, miss = self._parts(z, y)
        return (miss**self.gamma * loss).mean(-2)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        loss, miss = self._parts(z, y)
        factor = miss**self.gamma + self.gamma * (1 - miss) * loss * miss ** (self.gamma - 1)
        if self.weight is not None:
            factor = factor * of(self.weight, y)
        s = torch.softmax(z, -1)
        return subtract_hit_(s, y).mul_(factor[..., None])


class SigmoidFocal:
    """w_y Σ_k (1 − p_k)^γ BCE(z_k), p_k = σ(±z_k) with + at the true class; γ = 0 is plain sigmoid BCE.

    Lin et al. 2017 with the class weights of Cui et al. 2019: summed over classes and divided by B.
    """

    def __init__(self, gamma: Tensor, weight: Tensor | None) -> None:
        self.gamma, self.weight = gamma, weight

    def _signed(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        sign = torch.full_like(z, -1.0).scatter_(-1, at(z, y), 1.0)
        return sign, sign * z

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        _, t = self._signed(z, y)
        # (1 − σ(t))^γ = exp(−γ softplus(t)) never overflows
        loss = torch.exp(-self.gamma[..., None] * F.softplus(t)) * F.softplus(-t)
        return (sample_weight(self.weight, z, y) * loss.sum(-1)).mean(-2)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z: sign·(1 − p)^γ (γ p log p − (1 − p)), p = σ(sign·z)."""
        sign, t = self._signed(z, y)
        gamma = self.gamma[..., None]
        p, log_p = torch.sigmoid(t), -F.softplus(-t)
        grad = sign * torch.exp(-gamma * F.softplus(t)) * (gamma * p * log_p - torch.sigmoid(-t))
        return grad.mul_(sample_weight(self.weight, z, y)[..., None])


def focal(s: Settings) -> Loss:
    """Focal loss in the form that ``definition`` asks for."""
    gamma = s.numbers("gamma")
    return SigmoidFocal(gamma, None) if s.word("definition") == "sigmoid" else SoftmaxFocal(gamma)
