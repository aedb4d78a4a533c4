"""What a method trains: the head as a function of its parameters, and the way back by the chain rule.

All shapes carry S seeds and M settings, which train side by side: weight [S, M, K, D], logits
[S, B, M, K]. The engine calls ``logits`` and ``step`` in turn; ``folded`` is the plain linear layer that
the head equals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ltfix.heads.head import NORM_FLOOR
from ltfix.stage2 import samn

Number = float | Tensor


@dataclasses.dataclass(slots=True)
class Sgd:
    """SGD with momentum as the published recipes use it: g ← g + λθ, v ← μv + g, θ ← θ − ηv.

    Attributes:
        rate: η of the running epoch, one number or [M].
        momentum: μ. weight_decay: λ (L2, not decoupled), one number or [M].
    """

    rate: Number
    momentum: float
    weight_decay: Number = 0.0

    def update(self, parameter: Tensor, velocity: Tensor, gradient: Tensor) -> None:
        """One step on a parameter [S, M, ...]; ``gradient`` is not kept."""
        velocity.mul_(self.momentum).add_(gradient)
        self.finish(parameter, velocity)

    def finish(self, parameter: Tensor, velocity: Tensor) -> None:
        """The step's end where ``velocity`` already holds μv + g without decay."""
        if not isinstance(self.weight_decay, float) or self.weight_decay:
            add_scaled_(velocity, parameter, self.weight_decay)
        add_scaled_(parameter, velocity, -self.rate)


def add_scaled_(target: Tensor, other: Tensor, factor: Number) -> None:
    """target += factor · other, with one factor for all or one a setting (axis 1)."""
    if isinstance(factor, Tensor):
        target.addcmul_(other, factor.view(-1, *[1] * (target.dim() - 2)))
    else:
        target.add_(other, alpha=factor)


class Parametrisation(Protocol):
    """A trainable head for the engine."""

    def logits(self, x: Tensor) -> Tensor:
        """[S, B, M, K] of features [S, B, D]; keeps what :meth:`step` needs."""

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """Pull dz = B·∂L/∂z [S, B, M, K] back to the parameters and take one SGD step."""

    def folded(self) -> tuple[Tensor, Tensor]:
        """The linear layer it equals: [S, M, K, D] and [S, M, K]."""


class Linear:
    """z = W x + b, both trained."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.clone(), bias.clone()
        self.v_weight, self.v_bias = torch.zeros_like(weight), torch.zeros_like(bias)

    def logits(self, x: Tensor) -> Tensor:
        """x Wᵀ + b."""
        z = torch.baddbmm(self.bias.flatten(1).unsqueeze(1), x, self.weight.flatten(1, 2).mT)
        return z.view(*x.shape[:2], *self.bias.shape[1:])

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """∂L/∂W = Σ dz xᵀ / B and ∂L/∂b = Σ dz / B, added to the momentum inside the matrix product."""
        accumulate_(self.v_weight, dz, x, sgd.momentum)
        self.v_bias.mul_(sgd.momentum).add_(dz.mean(1))
        sgd.finish(self.weight, self.v_weight)
        sgd.finish(self.bias, self.v_bias)

    def folded(self) -> tuple[Tensor, Tensor]:
        """W and b themselves."""
        return self.weight, self.bias


def accumulate_(velocity: Tensor, dz: Tensor, x: Tensor, momentum: float) -> None:
    """velocity ← μ · velocity + Σ_i dz_i x_iᵀ / B, one matrix product a seed."""
    flat = velocity.flatten(1, 2)
    torch.baddbmm(flat, dz.flatten(2).mT, x, beta=momentum, alpha=1 / x.shape[1], out=flat)


class Samn:
    """SAMN in closed form (:mod:`ltfix.stage2.samn` has the formulas; d = w/‖w‖, ρ the row scale).

    With G = ∂L/∂Ŵ and g = ∂L/∂b̂: ∂L/∂w = (ρ/‖w‖)(G − d (d·G)), ∂L/∂b = g, and the scale chain takes
    d·G and g back to ``raw_weight`` and ``raw_bias``. G itself is never formed: w·G = Σ_i dz_i (w·x_i)
    comes from the logits, and ρ/‖w‖ multiplies dz before the one product with x.

    Args:
        weight, bias: [S, M, K, D], [S, M, K], the start.
        metric: [S, M, K] float64 > 0.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, metric: np.ndarray, *, variant: str, part: str, scale: str
    ) -> None:
        self.weight, self.bias = weight.clone(), bias.clone()
        self.v_weight, self.v_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        rows = metric.reshape(-1, metric.shape[-1])
        perm = samn.order(rows, variant)
        raw = torch.from_numpy(samn.initial_raw(metric, variant)).to(bias)
        self.raw_weight, self.raw_bias = raw.clone(), raw.clone()
        self.v_raw_weight, self.v_raw_bias = torch.zeros_like(raw), torch.zeros_like(raw)
        self.on_weight, self.on_bias = part != "bias", part != "weight"
        self.chain_weight = samn.ScaleChain(perm, variant, scale)
        self.chain_bias = samn.ScaleChain(perm, variant, scale)

    def _through(self, chain: Callable[[np.ndarray], np.ndarray], values: Tensor) -> Tensor:
        rows = values.detach().reshape(-1, values.shape[-1]).cpu().numpy()
        return torch.from_numpy(chain(rows)).to(values).view_as(values)

    def _row_factor(self) -> Tensor:
        """ρ/‖w‖, [S, M, K]."""
        self.norm = torch.linalg.vector_norm(self.weight, dim=-1).clamp_(min=NORM_FLOOR)
        return self._through(self.chain_weight.forward, self.raw_weight) / self.norm

    def _shifted_bias(self) -> Tensor:
        return (
            self.bias + self._through(self.chain_bias.forward, self.raw_bias) if self.on_bias else self.bias
        )

    def logits(self, x: Tensor) -> Tensor:
        """(ρ/‖w‖) ⊙ (x Wᵀ) + b̂."""
        plain = torch.bmm(x, self.weight.flatten(1, 2).mT)
        self.plain = plain.view(*x.shape[:2], *self.bias.shape[1:])
        bias = self._shifted_bias().unsqueeze(1)
        if not self.on_weight:
            return self.plain + bias
        self.factor = self._row_factor()
        return torch.addcmul(bias, self.plain, self.factor.unsqueeze(1))

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on w, b, raw_weight and raw_bias, all at the same rate."""
        g = dz.mean(1)
        if self.on_weight:
            w_dot_g = (dz * self.plain).mean(1)
            accumulate_(self.v_weight, dz * self.factor.unsqueeze(1), x, sgd.momentum)
            radial = self.factor * w_dot_g / self.norm.square()
            self.v_weight.addcmul_(self.weight, radial.unsqueeze(-1), value=-1)
            sgd.update(
                self.raw_weight,
                self.v_raw_weight,
                self._through(self.chain_weight.pullback, w_dot_g / self.norm),
            )
        else:
            accumulate_(self.v_weight, dz, x, sgd.momentum)
        sgd.finish(self.weight, self.v_weight)
        if self.on_bias:
            sgd.update(self.raw_bias, self.v_raw_bias, self._through(self.chain_bias.pullback, g))
        sgd.update(self.bias, self.v_bias, g)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Ŵ and b̂."""
        weight = self.weight * self._row_factor().unsqueeze(-1) if self.on_weight else self.weight
        return weight, self._shifted_bias()


Values = Mapping[str, Any]


def build_head(
    name: str, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Values]
) -> Parametrisation:
    """The trainable head ``name`` of the method table.

    Args:
        name: "linear" or "samn".
        weight, bias: [S, M, K, D] and [S, M, K], where each run starts.
        counts: [K] training samples per class.
        values: the head's own values for each of the M settings; words are taken from the first.
    """
    if name == "linear":
        return Linear(weight, bias)
    first = values[0]
    if first["metric"] == "norm":
        metric = weight.double().norm(dim=-1).clamp(min=NORM_FLOOR).cpu().numpy()
    else:
        metric = np.broadcast_to(np.maximum(counts, 1).astype(np.float64), bias.shape).copy()
    return Samn(weight, bias, metric, variant=first["variant"], part=first["part"], scale=first["scale"])
