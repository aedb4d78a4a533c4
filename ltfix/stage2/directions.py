"""Trainable heads whose rows matter by their direction: cosine, causal, SAMN.

Shapes as in ``parametrise``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ltfix.heads.head import NORM_FLOOR
from ltfix.stage2 import samn
from ltfix.stage2.layers import Folded, accumulate_, product
from ltfix.stage2.sgd import Sgd


class Directions:
    """Rows trained through their direction: z = (ρ_k/‖w_k‖) w_k·x, for cosine heads and SAMN.

    With d = w/‖w‖ and G = ∂L/∂Ŵ: ∂L/∂w_k = (ρ_k/‖w_k‖)(G_k − d_k (d_k·G_k)), and d_k·G_k is what ρ gets.
    G is never formed: w·G = Σ_i dz_i (w·x_i) comes from the logits, and ρ/‖w‖ multiplies dz before the
    one product with x.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.velocity = weight.clone(), torch.zeros_like(weight)

    def row_factor(self, rho: Tensor) -> Tensor:
        """ρ/‖w‖, [S, M, K]; keeps the norms."""
        self.norm: Tensor = torch.linalg.vector_norm(self.weight, dim=-1).clamp_(min=NORM_FLOOR)
        factor: Tensor = rho / self.norm
        return factor

    def project(self, x: Tensor, rho: Tensor) -> Tensor:
        """(ρ/‖w‖) ⊙ (x Wᵀ), [S, B, M, K]."""
        self.plain: Tensor = product(x, self.weight)
        self.factor: Tensor = self.row_factor(rho)
        return self.plain * self.factor.unsqueeze(1)

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> Tensor:
        """One SGD step on the rows; returns ∂L/∂ρ = d·G, [S, M, K]."""
        w_dot_g: Tensor = (dz * self.plain).mean(1)
        accumulate_(self.velocity, dz * self.factor.unsqueeze(1), x, sgd.momentum)
        radial = self.factor * w_dot_g / self.norm.square()
        self.velocity.addcmul_(self.weight, radial.unsqueeze(-1), value=-1)
        sgd.finish(self.weight, self.velocity)
        of_rho: Tensor = w_dot_g / self.norm
        return of_rho

    def folded(self, rho: Tensor) -> Tensor:
        """ρ_k w_k/‖w_k‖."""
        return self.weight * self.row_factor(rho).unsqueeze(-1)


class Cosine:
    """z = s·cos(x, w_k), or the capsule form s·‖x‖/(1 + ‖x‖)·cos(x, w_k); no bias.

    ``scale`` s is fixed, or learned (and spared weight decay) with ``learn_scale``. LDAM's head is this
    with s = 1 and the scale in its loss; LIFT's has s fixed; OLTR's is the capsule with s = 16.
    """

    def __init__(self, weight: Tensor, scale: Tensor, *, learn_scale: bool, capsule: bool) -> None:
        self.rows = Directions(weight)
        self.scale = scale.clone()  # [S, M]
        self.v_scale, self.learn_scale, self.capsule = torch.zeros_like(scale), learn_scale, capsule

    def transform(self, x: Tensor) -> Tensor:
        """x̂, or x/(1 + ‖x‖)."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / (1 + norm) if self.capsule else x / norm.clamp_(min=NORM_FLOOR)

    def _rho(self) -> Tensor:
        return self.scale.unsqueeze(-1).expand(self.rows.weight.shape[:-1])

    def logits(self, x: Tensor) -> Tensor:
        """s · T(x)·ŵ."""
        self.input = self.transform(x)
        return self.rows.project(self.input, self._rho())

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on the rows and, where it is learned, on s."""
        of_rho = self.rows.step(self.input, dz, sgd)
        if self.learn_scale:
            sgd.update(self.scale, self.v_scale, of_rho.sum(-1), decay=False)

    def folded(self) -> Folded:
        """s·ŵ, over T(x)."""
        weight = self.rows.folded(self._rho())
        kind = {"kind": "capsule"} if self.capsule else {"kind": "l2", "groups": 1}
        return Folded(weight, torch.zeros_like(weight[..., 0]), kind)


class Causal:
    """The causal classifier: z = Σ_h (τ/H)·x̂^h·w_k^h/(‖w_k^h‖ + γ) over H blocks of x, each of unit norm.

    Tang et al. 2020 (De-confound-TDE). During training the mean feature is accumulated, e ← μe + mean(x);
    the folded head subtracts its direction ĉ from x: w^h − α (w^h·ĉ^h) ĉ^h.
    """

    def __init__(
        self, weight: Tensor, *, tau: float, heads: int, gamma: float, alpha: float, mean_momentum: float
    ) -> None:
        self.heads, self.tau, self.gamma, self.alpha = heads, tau, gamma, alpha
        self.weight, self.velocity = weight.clone(), torch.zeros_like(weight)
        self.mean_momentum = mean_momentum
        self.mean = weight.new_zeros(weight.shape[0], weight.shape[-1])

    def _blocks(self, t: Tensor) -> Tensor:
        return t.view(*t.shape[:-1], self.heads, -1)

    def _unit(self, t: Tensor) -> Tensor:
        blocks = self._blocks(t)
        norm = torch.linalg.vector_norm(blocks, dim=-1, keepdim=True).clamp_(min=NORM_FLOOR)
        unit: Tensor = blocks / norm
        return unit.view_as(t)

    def _effective(self) -> tuple[Tensor, Tensor]:
        """(τ/H) w/(‖w‖ + γ) by block, and the block norms [S, M, K, H, 1]."""
        blocks = self._blocks(self.weight)
        norm = torch.linalg.vector_norm(blocks, dim=-1, keepdim=True)
        scaled = blocks * ((self.tau / self.heads) / (norm + self.gamma))
        return scaled.view_as(self.weight), norm

    def logits(self, x: Tensor) -> Tensor:
        """The training form, without the counterfactual."""
        self.mean.mul_(self.mean_momentum).add_(x.mean(1))
        self.input = self._unit(x)
        effective, self.norm = self._effective()
        return product(self.input, effective)

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """∂L/∂w^h = (τ/H)/(n + γ)·(G − d (d·G) n/(n + γ)), n = ‖w^h‖, d = w^h/n."""
        upstream = torch.zeros_like(self.weight)
        accumulate_(upstream, dz, self.input, 0.0)
        g, w, n = self._blocks(upstream), self._blocks(self.weight), self.norm
        direction = w / n.clamp(min=NORM_FLOOR)
        inward = direction * (direction * g).sum(-1, keepdim=True) * (n / (n + self.gamma))
        gradient = (g - inward) * ((self.tau / self.heads) / (n + self.gamma))
        sgd.update(self.weight, self.velocity, gradient.view_as(self.weight))

    def folded(self) -> Folded:
        """The total direct effect: the mean direction taken out of every row."""
        weight, _ = self._effective()
        mean = self._blocks(self._unit(self.mean))[:, None, None]
        blocks = self._blocks(weight)
        blocks = blocks - self.alpha * (blocks * mean).sum(-1, keepdim=True) * mean
        weight = blocks.reshape_as(weight)
        return Folded(weight, torch.zeros_like(weight[..., 0]), {"kind": "l2", "groups": self.heads})


class Samn:
    """SAMN in closed form: :mod:`ltfix.stage2.samn` has the formulas, :class:`Directions` the way back.

    ∂L/∂ρ_k = d_k·G_k and ∂L/∂b̂ = g go through the scale chain to ``raw_weight`` and ``raw_bias``;
    ∂L/∂b = g. Everything trains at one rate.

    Args:
        weight, bias: [S, M, K, D], [S, M, K], the start.
        metric: [S, M, K] float64 > 0.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, metric: np.ndarray, *, variant: str, part: str, scale: str
    ) -> None:
        self.on_weight, self.on_bias = part != "bias", part != "weight"
        self.rows = Directions(weight)
        self.bias, self.v_bias = bias.clone(), torch.zeros_like(bias)
        perm = samn.order(metric.reshape(-1, metric.shape[-1]), variant)
        raw = torch.from_numpy(samn.initial_raw(metric, variant)).to(bias)
        self.raw_weight, self.raw_bias = raw.clone(), raw.clone()
        self.v_raw_weight, self.v_raw_bias = torch.zeros_like(raw), torch.zeros_like(raw)
        self.chain_weight = samn.ScaleChain(perm, variant, scale)
        self.chain_bias = samn.ScaleChain(perm, variant, scale)

    def _through(self, chain: Callable[[np.ndarray], np.ndarray], values: Tensor) -> Tensor:
        rows = values.detach().reshape(-1, values.shape[-1]).cpu().numpy()
        out: Tensor = torch.from_numpy(chain(rows)).to(values)
        return out.view_as(values)

    def _row_scale(self) -> Tensor:
        return self._through(self.chain_weight.forward, self.raw_weight)

    def _shifted_bias(self) -> Tensor:
        if not self.on_bias:
            return self.bias
        return self.bias + self._through(self.chain_bias.forward, self.raw_bias)

    def logits(self, x: Tensor) -> Tensor:
        """(ρ/‖w‖) ⊙ (x Wᵀ) + b̂."""
        z = self.rows.project(x, self._row_scale()) if self.on_weight else product(x, self.rows.weight)
        return z.add_(self._shifted_bias().unsqueeze(1))

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on w, b, raw_weight and raw_bias."""
        g = dz.mean(1)
        if self.on_weight:
            of_rho = self.rows.step(x, dz, sgd)
            sgd.update(self.raw_weight, self.v_raw_weight, self._through(self.chain_weight.pullback, of_rho))
        else:
            accumulate_(self.rows.velocity, dz, x, sgd.momentum)
            sgd.finish(self.rows.weight, self.rows.velocity)
        if self.on_bias:
            sgd.update(self.raw_bias, self.v_raw_bias, self._through(self.chain_bias.pullback, g))
        sgd.update(self.bias, self.v_bias, g)

    def folded(self) -> Folded:
        """Ŵ and b̂."""
        weight = self.rows.folded(self._row_scale()) if self.on_weight else self.rows.weight
        return Folded(weight, self._shifted_bias())
