"""Per-class numbers made of the training counts [K]: weights, margins, smoothing. All are float64 arrays [K].

A class without samples counts as one sample, so nothing is divided by zero and no logarithm is infinite;
means, the smallest and the largest are of the classes that have some.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PerClass = NDArray[np.float64]


def _at_least_one(counts: PerClass) -> PerClass:
    return np.maximum(counts.astype(np.float64), 1)


def _present(numbers: PerClass, counts: PerClass) -> PerClass:
    """Those of the classes that have samples."""
    return numbers[counts > 0] if counts.any() else numbers


def _of_mean_one(weight: PerClass, counts: PerClass) -> PerClass:
    """Scaled so that the classes with samples weigh 1 on average."""
    return weight / float(_present(weight, counts).mean())


def constant(counts: PerClass, value: float) -> PerClass:
    """The same number for every class."""
    return np.full(len(counts), value, np.float64)


def prior(counts: PerClass) -> PerClass:
    """π_k = n_k / Σn."""
    return np.exp(prior_shift(counts))


def prior_shift(counts: PerClass, tau: float = 1.0) -> PerClass:
    """τ log π_k, which balanced softmax and logit adjustment add to the logits."""
    n = _at_least_one(counts)
    return np.asarray(tau * np.log(n / n.sum()))


def effective_number(counts: PerClass, beta: float) -> PerClass:
    """(1 − β) / (1 − β^n_k), scaled to mean 1 (Cui et al. 2019, eq. 3); β = 1 is its limit ∝ 1/n_k.

    1 − β^n is taken by expm1, which keeps its digits where β^n is close to one.
    """
    n = _at_least_one(counts)
    weight = 1 / n if beta == 1 else (1 - beta) / -np.expm1(n * math.log(beta)) if beta > 0 else n**0
    return _of_mean_one(weight, counts)


def inverse_power(counts: PerClass, rho: float) -> PerClass:
    """π_k^−ρ scaled to mean 1: generalised re-weighting (DisAlign, Zhang et al. 2021, eq. 9)."""
    return _of_mean_one(np.exp(prior_shift(counts, -rho)), counts)


def ldam_margins(counts: PerClass, max_margin: float, power: float = 0.25) -> PerClass:
    """n_k^−¼ scaled so that the rarest class has ``max_margin`` (Cao et al. 2019, eq. 12)."""
    margin = _at_least_one(counts) ** -power
    return margin * (max_margin / float(_present(margin, counts).max()))


def vs_scale(counts: PerClass, gamma: float) -> PerClass:
    """1 / Δ_k with Δ_k = (n_max / n_k)^γ, by which VS and CDT multiply the logits.

    Kini et al. 2021; Ye et al. 2020.
    """
    n = _at_least_one(counts)
    return 1 / (float(n.max()) / n) ** gamma


_SHAPES: dict[str, Callable[[PerClass, float, float, float], PerClass]] = {
    "concave": lambda u, head, tail, _: tail + (head - tail) * np.sin(u * math.pi / 2),
    "linear": lambda u, head, tail, _: tail + (head - tail) * u,
    "convex": lambda u, head, tail, _: head + (head - tail) * np.sin(1.5 * math.pi + u * math.pi / 2),
    "exp": lambda u, head, tail, power: tail + (head - tail) * u**power,
}


def las_smoothing(counts: PerClass, head: float, tail: float, shape: str, power: float = 1.5) -> PerClass:
    """ε_k of label-aware smoothing, from ``tail`` at n_min to ``head`` at n_max.

    MiSLAS, Zhong et al. 2021, §3.3. Equal counts take ``head`` everywhere.
    """
    n = counts.astype(np.float64)
    least = float(_present(n, counts).min())
    spread = float(n.max()) - least
    u = (n - least).clip(0) / spread if spread > 0 else np.ones_like(n)
    return _SHAPES[shape](u, head, tail, power)
