"""What is enforced on a linear head while it trains."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ltfix.heads.head import NORM_FLOOR


@dataclasses.dataclass(slots=True)
class MaxNorm:
    """w_k ← w_k · min(1, δ/‖w_k‖); the bias is never projected (Alshammari et al. 2022, weight balancing).

    Attributes:
        threshold: δ, [S, M], from the start's rows: min‖w‖ + 0.1 (max‖w‖ − min‖w‖).
        every: "epoch", after the last step (the published code), or "step" (as the paper reads).
    """

    threshold: Tensor
    every: str

    @classmethod
    def of(cls, weight: Tensor, every: str) -> MaxNorm:
        """The constraint that a start [S, M, K, D] implies."""
        norm = torch.linalg.vector_norm(weight, dim=-1)
        low, high = norm.amin(-1), norm.amax(-1)
        return cls(low + 0.1 * (high - low), every)

    def project_(self, weight: Tensor) -> None:
        """Shorten the rows [S, M, K, D] that are longer than δ."""
        norm = torch.linalg.vector_norm(weight, dim=-1).clamp(min=NORM_FLOOR)
        weight.mul_((self.threshold.unsqueeze(-1) / norm).clamp(max=1).unsqueeze(-1))
