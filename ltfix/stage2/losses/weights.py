"""Per-class numbers made of the training counts: weights, margins, smoothing. All float64 tensors [K].

An empty class counts as one sample, so nothing is divided by zero and no logarithm is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def _at_least_one(counts: Tensor) -> Tensor:
    return counts.double().clamp(min=1)


def log_prior(counts: Tensor) -> Tensor:
    """log π_k with π_k = n_k / Σn."""
    n = _at_least_one(counts)
    return (n / n.sum()).log()


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """(1 − β) / (1 − β^n_k), scaled to mean 1 (Cui et al. 2019, eq. 3); β = 1 is its limit ∝ 1/n_k.

    1 − β^n is taken by expm1, which keeps its digits where β^n is close to one.
    """
    n = _at_least_one(counts)
    weight = 1 / n if beta == 1 else (1 - beta) / -torch.expm1(n * math.log(beta)) if beta > 0 else n**0
    return weight * (len(n) / weight.sum())


def inverse_power(counts: Tensor, rho: float) -> Tensor:
    """π_k^−ρ scaled to mean 1: generalised re-weighting (DisAlign, Zhang et al. 2021, eq. 9)."""
    weight = torch.exp(-rho * log_prior(counts))
    return weight * (len(weight) / weight.sum())


def ldam_margins(counts: Tensor, max_margin: float) -> Tensor:
    """n_k^−¼ scaled so that the rarest class has ``max_margin`` (Cao et al. 2019, eq. 12)."""
    margin = _at_least_one(counts) ** -0.25
    return margin * (max_margin / margin.max())


def vs_scale(counts: Tensor, gamma: float) -> Tensor:
    """Δ_k = (n_max / n_k)^γ, by which VS and CDT divide the logits (Kini et al. 2021; Ye et al. 2020)."""
    n = _at_least_one(counts)
    return (n.max() / n) ** gamma


_SHAPES: dict[str, Callable[[Tensor, float, float, float], Tensor]] = {
    "concave": lambda u, head, tail, _: tail + (head - tail) * torch.sin(u * math.pi / 2),
    "linear": lambda u, head, tail, _: tail + (head - tail) * u,
    "convex": lambda u, head, tail, _: head + (head - tail) * torch.sin(1.5 * math.pi + u * math.pi / 2),
    "exp": lambda u, head, tail, power: tail + (head - tail) * u**power,
}
LAS_SHAPES = tuple(_SHAPES)


def las_smoothing(counts: Tensor, head: float, tail: float, shape: str, power: float = 1.5) -> Tensor:
    """ε_k of label-aware smoothing, from ``tail`` at n_min to ``head`` at n_max (MiSLAS,
    Zhong et al. 2021, §3.3).

    Equal counts take ``head`` everywhere.
    """
    n = counts.double()
    spread = n.max() - n.min()
    u = (n - n.min()) / spread if spread > 0 else torch.ones_like(n)
    return _SHAPES[shape](u, head, tail, power)
