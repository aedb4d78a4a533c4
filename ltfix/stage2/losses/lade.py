"""LADE: balanced softmax with a penalty that estimates the uniform prior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.loss import Loss, Settings
from ltfix.stage2.losses.softmax import SoftmaxLoss


class Lade(SoftmaxLoss):
    """CE(z + log π) plus 0.1·L_e, which pulls the logits toward a uniform prior (LADE, Hong et al. 2021).

    For class c in a batch: f_c = Σ_{y_i = c} z_ic / (B_c + 1e-8),
    g_c = logsumexp_i(z_ic − log(π_c + 1e-9) + log(1/K + 1e-9)) − log B,
    L_e = −Σ_c π_c (f_c − g_c − 0.1 g_c²).
    """

    def __init__(self, prior: Tensor, strength: Tensor) -> None:
        super().__init__(shift=prior.log())
        self.prior, self.strength = prior, strength
        n_classes = prior.shape[-1]
        self.uniform = torch.log(prior.new_tensor(1 / n_classes) + 1e-9) - torch.log(prior + 1e-9)

    def _pieces(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hit = F.one_hot(y, z.shape[-1])[..., None, :].to(z.dtype)  # [..., B, 1, K]
        share = hit / (hit.sum(-3, keepdim=True) + 1e-8)
        g = torch.logsumexp(z + self.uniform, -3) - torch.log(z.new_tensor(float(z.shape[-3])))
        return share, (share * z).sum(-3), g

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        _, f, g = self._pieces(z, y)
        estimate = -(self.prior * (f - g - 0.1 * g * g)).sum(-1)
        return super().value(z, y) + self.strength * estimate

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        share, _, g = self._pieces(z, y)
        spread = torch.softmax(z + self.uniform, -3)
        estimate = -self.prior * (share - spread * (1 + 0.2 * g)[..., None, :, :])
        return super().grad_(z, y) + z.shape[-3] * self.strength[..., None] * estimate


def lade(s: Settings) -> Loss:
    """LADE with the weight ``lade_weight``."""
    return Lade(s.table(weights.prior), s.numbers("lade_weight"))
