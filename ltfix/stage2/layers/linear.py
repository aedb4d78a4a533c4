"""Trainable heads over logits: the linear layer, scaled logits, DisAlign.

Shapes as in ``parametrisation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.methods.parts import Setting


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ, [S, B, M, K]: one matrix product a seed for all settings."""
    columns = weight.flatten(1, 2).mT
    z = product_into(x.new_empty(*x.shape[:2], columns.shape[2], dtype=weight.dtype), x, columns)
    return z.view(*x.shape[:2], *weight.shape[1:3])


def product_into(out: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """out [S, B, MK] ← x [S, B, D] · columns [S, D, MK]; multiplied in x's type where that is bfloat16."""
    if x.dtype == columns.dtype:
        return torch.bmm(x, columns, out=out)
    return out.copy_(torch.bmm(x, columns.to(x.dtype)))


def accumulate_(velocity: Tensor, dz: Tensor, x: Tensor, momentum: float) -> None:
    """velocity [S, MK, D] ← μ·velocity + dz [S, MK, B] · x [S, B, D] / B; multiplied in x's type.

    In float32 the momentum is part of the matrix product.
    """
    if x.dtype == velocity.dtype:
        torch.baddbmm(velocity, dz, x, beta=momentum, alpha=1 / x.shape[1], out=velocity)
    else:
        velocity.mul_(momentum).add_(torch.bmm(dz.to(x.dtype), x), alpha=1 / x.shape[1])


class Linear:
    """z = W x + b, both trained (or, where not ``train_weight``, b alone)."""

    transform = None
    train_weight = True

    def __init__(
        self, weight: Tensor, bias: Tensor, counts: np.ndarray | None = None, values: Sequence[Setting] = ()
    ) -> None:
        self.weight, self.bias = weight.clone(), bias.clone()
        self.v_weight, self.v_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        self.g_bias = torch.empty_like(bias)
        self._columns, self._row = self.weight.flatten(1, 2).mT, self.bias.flatten(1).unsqueeze(1)
        self._flat_velocity = self.v_weight.flatten(1, 2)
        self._z: dict[int, Tensor] = {}

    def logits(self, x: Tensor) -> Tensor:
        """x Wᵀ + b."""
        batch = x.shape[1]
        if batch not in self._z:
            self._z[batch] = self.weight.new_empty(x.shape[0], batch, self._columns.shape[2])
        z = self._z[batch]
        if x.dtype == z.dtype:
            torch.baddbmm(self._row, x, self._columns, out=z)
        else:
            product_into(z, x, self._columns).add_(self._row)
        return z.view(x.shape[0], batch, *self.bias.shape[1:])

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """∂L/∂W = Σ dz xᵀ / B and ∂L/∂b = Σ dz / B."""
        if self.train_weight:
            self.step_weight(x, dz, sgd)
        sgd.update(self.bias, self.v_bias, torch.sum(dz, 1, out=self.g_bias), batch=x.shape[1])

    def step_weight(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """The step on W alone; its gradient joins the momentum inside the matrix product."""
        accumulate_(self._flat_velocity, dz.flatten(2).mT, x, sgd.momentum)
        sgd.finish(self.weight, self.v_weight)

    def folded(self) -> dict[str, Tensor]:
        """W and b themselves."""
        return {"weight": self.weight, "bias": self.bias}


class FixedRows(Linear):
    """A linear layer of which b alone trains: what remains to learn over the rows of a simplex."""

    train_weight = False


class ScaledLogits:
    """z = ℓ ⊙ (W x + b) with ℓ from 1: LWS where W and b stay, MiSLAS's head where they train too.

    ∂L/∂ℓ_k = Σ_i dz_ik (w_k·x_i + b_k) / B. Kang et al. 2020 (the code scales the bias too); MiSLAS gives
    W and b the rate η·``lr_factor``, and LWS, which has no such value, none.
    """

    transform = None

    def __init__(self, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Setting]) -> None:
        self.linear = Linear(weight, bias)
        self.scale, self.v_scale = torch.ones_like(bias), torch.zeros_like(bias)
        self.lr_factor = values[0].get("lr_factor", 0.0)

    def logits(self, x: Tensor) -> Tensor:
        """ℓ ⊙ (x Wᵀ + b)."""
        self.plain = self.linear.logits(x)
        return self.plain * self.scale.unsqueeze(1)

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on ℓ, and on W and b where they train."""
        gradient = (dz * self.plain).sum(1)
        if self.lr_factor:
            slower = Sgd(sgd.rate * self.lr_factor, sgd.momentum, sgd.weight_decay)
            self.linear.step(x, dz * self.scale.unsqueeze(1), slower)
        sgd.update(self.scale, self.v_scale, gradient, batch=x.shape[1])

    def folded(self) -> dict[str, Tensor]:
        """ℓ_k w_k and ℓ_k b_k."""
        return {
            "weight": self.linear.weight * self.scale.unsqueeze(-1),
            "bias": self.linear.bias * self.scale,
        }


class DisAlign:
    """ẑ = z + c(x)·((a − o) ⊙ z + m), c = σ(v·x + v₀), over the frozen z = W x + b.

    Zhang et al. 2021: ``variant="paper"`` (o = 1, the identity at its start a = 1, m = 0) or the published
    classification code (o = 0: (1 + c·a) ⊙ z + c·m). v starts at 0.1, v₀ at 0.
    """

    transform: ClassVar = {"kind": "disalign"}

    def __init__(self, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Setting]) -> None:
        self.frozen, self.offset = Linear(weight, bias), 1.0 if values[0]["variant"] == "paper" else 0.0
        self.gain, self.margin = torch.ones_like(bias), torch.zeros_like(bias)
        self.confidence = torch.full_like(weight[..., 0, :], 0.1)
        self.confidence_bias = torch.zeros_like(bias[..., 0])
        self.velocities = [torch.zeros_like(p) for p in self._parameters()]

    def _parameters(self) -> list[Tensor]:
        return [self.gain, self.margin, self.confidence, self.confidence_bias]

    def logits(self, x: Tensor) -> Tensor:
        """ẑ of the class docstring."""
        self.z = self.frozen.logits(x)
        x = x.to(self.confidence.dtype)
        gate = torch.bmm(x, self.confidence.mT) + self.confidence_bias.unsqueeze(1)
        self.c = torch.sigmoid(gate).unsqueeze(-1)
        self.change = (self.gain - self.offset).unsqueeze(1) * self.z + self.margin.unsqueeze(1)
        return self.z + self.c * self.change

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """∂a = Σ c δ z, ∂m = Σ c δ, ∂c = Σ_k δ_k ((a_k − o) z_k + m_k), times c(1 − c) for v and v₀."""
        weighted = dz * self.c
        gate = (dz * self.change).sum(-1) * (self.c * (1 - self.c)).squeeze(-1)
        gradients = [
            (weighted * self.z).sum(1),
            weighted.sum(1),
            torch.bmm(gate.mT, x.to(gate.dtype)),
            gate.sum(1),
        ]
        for parameter, velocity, gradient in zip(self._parameters(), self.velocities, gradients, strict=True):
            sgd.update(parameter, velocity, gradient, batch=x.shape[1])

    def folded(self) -> dict[str, Tensor]:
        """The frozen layer, and what the transform ``disalign`` adds to it."""
        return {
            "weight": self.frozen.weight,
            "bias": self.frozen.bias,
            "confidence_weight": self.confidence,
            "confidence_bias": self.confidence_bias,
            "logit_scale": self.gain - self.offset,
            "logit_bias": self.margin,
        }
