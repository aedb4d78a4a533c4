"""What is enforced on a head while it trains.

A constraint is made of the head, the training counts [K] and the method's values.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ltfix.heads.vectors import NORM_FLOOR, unit_vectors
from ltfix.stage2.layers.linear import Linear
from ltfix.stage2.methods.parts import Setting


class Constraint(Protocol):
    """What the training loop asks of one."""

    def after(self, moment: str) -> None:
        """Called after every "step" and after every "epoch"."""


def max_norm(head: Linear, counts: np.ndarray, values: Setting) -> MaxNorm:
    """The constraint that the rows of a head imply as they are when training starts.

    With ``normalise_start`` they are made of unit norm there, and train freely: as the analysis of EWB
    (Hasegawa & Sato 2024) reads weight balancing, MaxNorm does no more than that.
    """
    normalised = values["normalise_start"] == "true"
    if normalised:
        head.weight.copy_(unit_vectors(head.weight))
    return MaxNorm.of(head.weight, "never" if normalised else values["every"], counts > 0)


@dataclasses.dataclass(slots=True)
class MaxNorm:
    """w_k ← w_k · min(1, δ/‖w_k‖); the bias is never projected (Alshammari et al. 2022, weight balancing).

    Attributes:
        rows: [S, M, K, D], shortened where they lie.
        threshold: δ, [S, M], from the start's rows: min‖w‖ + 0.1 (max‖w‖ − min‖w‖).
        every: "epoch", after the last step (the published code), "step" (as the paper reads) or "never".
    """

    rows: Tensor
    threshold: Tensor
    every: str

    @classmethod
    def of(cls, rows: Tensor, every: str, present: np.ndarray | None = None) -> MaxNorm:
        """The constraint that rows [S, M, K, D] imply, on them.

        Args:
            present: [K] whether a class has samples; rows of others set no threshold. None: all have.
        """
        norm = torch.linalg.vector_norm(rows, dim=-1)
        if present is not None:
            norm = norm[..., torch.from_numpy(present).to(norm.device)]
        low, high = norm.amin(-1), norm.amax(-1)
        return cls(rows, low + 0.1 * (high - low), every)

    def after(self, moment: str) -> None:
        """Shorten the rows that are longer than δ, where it is time to."""
        if moment == self.every:
            norm = torch.linalg.vector_norm(self.rows, dim=-1).clamp(min=NORM_FLOOR)
            self.rows.mul_((self.threshold.unsqueeze(-1) / norm).clamp(max=1).unsqueeze(-1))
