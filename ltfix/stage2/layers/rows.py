"""Trainable heads whose rows matter by their direction: cosine, causal, SAMN.

Shapes as in ``parametrisation``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ltfix.errors import InputError
from ltfix.heads.vectors import NORM_FLOOR
from ltfix.stage2.layers import samn
from ltfix.stage2.layers.linear import Linear, accumulate_, product, product_into
from ltfix.stage2.layers.scales import CHAINS
from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.methods.parts import Setting


@dataclasses.dataclass(slots=True)
class _Work:
    """Buffers for one batch size, [S, B, M, K]: x Wᵀ, z, a product; and views of the first and the last."""

    plain: Tensor
    z: Tensor
    product: Tensor
    plain_flat: Tensor
    product_flat: Tensor


class Directions:
    """Rows trained through their direction: z = (ρ_k/‖w_k‖) w_k·x + shift_k, for cosine heads and SAMN.

    With d = w/‖w‖ and G = ∂L/∂Ŵ: ∂L/∂w_k = (ρ_k/‖w_k‖)(G_k − d_k (d_k·G_k)), and d_k·G_k is what ρ gets.
    G is never formed: w·G = Σ_i dz_i (w·x_i) comes from the logits, and ρ/‖w‖ multiplies dz before the
    one product with x. Sums over the batch stay sums here; 1/B enters with the update.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.velocity = weight.clone(), torch.zeros_like(weight)
        self.norm, self.factor, self.radial = (torch.empty_like(weight[..., 0]) for _ in range(3))
        self._columns, self._flat_velocity = self.weight.flatten(1, 2).mT, self.velocity.flatten(1, 2)
        self._work: dict[int, _Work] = {}

    def _buffers(self, batch: int) -> _Work:
        if batch not in self._work:
            seeds, settings, n_classes = self.norm.shape
            plain, z, product = self.norm.new_empty(3, seeds, batch, settings, n_classes)
            self._work[batch] = _Work(plain, z, product, plain.flatten(2), product.flatten(2).mT)
        return self._work[batch]

    def row_factor(self, rho: Tensor) -> Tensor:
        """ρ/‖w‖, [S, M, K]; keeps the norms."""
        torch.linalg.vector_norm(self.weight, dim=-1, out=self.norm)
        return torch.div(rho, self.norm.clamp_(min=NORM_FLOOR), out=self.factor)

    def project(self, x: Tensor, rho: Tensor, shift: Tensor | None = None) -> Tensor:
        """(ρ/‖w‖) ⊙ (x Wᵀ) + shift, [S, B, M, K], in a buffer that the next call reuses."""
        work = self._buffers(x.shape[1])
        product_into(work.plain_flat, x, self._columns)
        factor = self.row_factor(rho).unsqueeze(1)
        if shift is None:
            return torch.mul(work.plain, factor, out=work.z)
        return torch.addcmul(shift.unsqueeze(1), work.plain, factor, out=work.z)

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd, *, out: Tensor) -> None:
        """One SGD step on the rows; ``out`` [S, M, K] receives B·∂L/∂ρ = B·d·G."""
        batch = x.shape[1]
        work = self._buffers(batch)
        torch.sum(torch.mul(dz, work.plain, out=work.product), 1, out=out).div_(self.norm)
        torch.mul(self.factor, out, out=self.radial).div_(self.norm)
        torch.mul(dz, self.factor.unsqueeze(1), out=work.product)
        accumulate_(self._flat_velocity, work.product_flat, x, sgd.momentum)
        self.velocity.addcmul_(self.weight, self.radial.unsqueeze(-1), value=-1 / batch)
        sgd.finish(self.weight, self.velocity)

    def folded(self, rho: Tensor) -> Tensor:
        """ρ_k w_k/‖w_k‖."""
        return self.weight * self.row_factor(rho).unsqueeze(-1)


class Cosine:
    """z = s·cos(x, w_k), or the capsule form s·‖x‖/(1 + ‖x‖)·cos(x, w_k); no bias.

    The scale s is fixed, or learned (and spared weight decay). LDAM's head is this with s = 1 and the scale
    in its loss (``cosine="plain"``); LIFT's has s fixed; OLTR's is the capsule with s = 16.
    """

    def __init__(self, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Setting]) -> None:
        form = values[0]["cosine"]
        self.rows = Directions(weight)
        scale = weight.new_tensor([1.0 if form == "plain" else float(v["s"]) for v in values])
        self.scale = scale.expand(weight.shape[:2]).clone()  # [S, M]
        self.of_rho, self.v_scale = torch.empty_like(weight[..., 0]), torch.zeros_like(self.scale)
        self.learn_scale, self.capsule = form == "learnable", form == "capsule"
        self.transform = {"kind": "capsule"} if self.capsule else {"kind": "l2", "groups": 1}

    def _rho(self) -> Tensor:
        return self.scale.unsqueeze(-1).expand(self.rows.weight.shape[:-1])

    def logits(self, x: Tensor) -> Tensor:
        """s · T(x)·ŵ, T(x) being x̂ or x/(1 + ‖x‖)."""
        norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        self.input = x / (1 + norm) if self.capsule else x / norm.clamp_(min=NORM_FLOOR)
        return self.rows.project(self.input, self._rho())

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on the rows and, where it is learned, on s."""
        self.rows.step(self.input, dz, sgd, out=self.of_rho)
        if self.learn_scale:
            sgd.update(self.scale, self.v_scale, self.of_rho.sum(-1), batch=x.shape[1], decay=False)

    def folded(self) -> dict[str, Tensor]:
        """s·ŵ, over T(x)."""
        weight = self.rows.folded(self._rho())
        return {"weight": weight, "bias": torch.zeros_like(weight[..., 0])}


MEAN_SHARE = 0.1
"""Of the features' norm: a mean that is shorter is that of centred features, and its direction chance."""


class Causal:
    """The causal classifier: z = Σ_h (τ/H)·x̂^h·w_k^h/(‖w_k^h‖ + γ) over H blocks of x, each of unit norm.

    Tang et al. 2020 (De-confound-TDE). During training the mean feature is accumulated, e ← μe + mean(x);
    the folded head subtracts its direction ĉ from x: w^h − α (w^h·ĉ^h) ĉ^h.

    Raises:
        InputError: D does not divide into H blocks.
    """

    def __init__(self, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Setting]) -> None:
        v = values[0]
        self.heads, self.tau, self.gamma = v["heads"], v["causal_tau"], v["causal_gamma"]
        self.alpha, self.mean_momentum = v["alpha"], v["mean_momentum"]
        if weight.shape[-1] % self.heads:
            hint = f"heads must be a divisor of {weight.shape[-1]}"
            raise InputError(f"D = {weight.shape[-1]} does not divide into {self.heads} blocks", hint=hint)
        self.weight, self.velocity = weight.clone(), torch.zeros_like(weight)
        self.transform = {"kind": "l2", "groups": self.heads}
        self.mean = weight.new_zeros(weight.shape[0], weight.shape[-1])
        self.size = weight.new_zeros(weight.shape[0])

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
        x = x.to(self.weight.dtype)
        self.input = self._unit(x)
        effective, self.norm = self._effective()
        return product(self.input, effective)

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """∂L/∂w^h = (τ/H)/(n + γ)·(G − d (d·G) n/(n + γ)), n = ‖w^h‖, d = w^h/n."""
        x = x.to(self.mean.dtype)
        self.mean.mul_(self.mean_momentum).add_(x.mean(1))
        self.size.mul_(self.mean_momentum).add_(torch.linalg.vector_norm(x, dim=-1).mean(1))
        upstream = torch.zeros_like(self.weight)
        accumulate_(upstream.flatten(1, 2), dz.flatten(2).mT, self.input, 0.0)
        g, w, n = self._blocks(upstream), self._blocks(self.weight), self.norm
        direction = w / n.clamp(min=NORM_FLOOR)
        inward = direction * (direction * g).sum(-1, keepdim=True) * (n / (n + self.gamma))
        gradient = (g - inward) * ((self.tau / self.heads) / (n + self.gamma))
        sgd.update(self.weight, self.velocity, gradient.view_as(self.weight), batch=1)

    def folded(self) -> dict[str, Tensor]:
        """The total direct effect: the mean direction taken out of every row, where the features have one."""
        weight, _ = self._effective()
        has_one = torch.linalg.vector_norm(self.mean, dim=-1) > MEAN_SHARE * self.size
        mean = self._blocks(self._unit(self.mean * has_one.unsqueeze(-1)))[:, None, None]
        blocks = self._blocks(weight)
        blocks = blocks - self.alpha * (blocks * mean).sum(-1, keepdim=True) * mean
        weight = blocks.reshape_as(weight)
        return {"weight": weight, "bias": torch.zeros_like(weight[..., 0])}


class Samn:
    """SAMN in closed form: :mod:`ltfix.stage2.layers.samn` has the formulas, :class:`Directions` the rest.

    ∂L/∂ρ_k = d_k·G_k and ∂L/∂b̂ = g go through the scale chain to ``raw_weight`` and ``raw_bias``;
    ∂L/∂b = g. Everything trains at one rate. The three vectors of K lie in one tensor [3, S, M, K], so that
    they take their SGD step together.

    Args:
        weight, bias: [S, M, K, D], [S, M, K], the start.
        metric: [S, M, K] float64 > 0. form: SAMN's own values.
    """

    transform = None

    def __init__(self, weight: Tensor, bias: Tensor, metric: np.ndarray, form: Setting) -> None:
        self.on_weight, self.on_bias = form["part"] != "bias", form["part"] != "weight"
        self.rows = Directions(weight)
        variant, projection = form["variant"], form["projection"]
        raw = torch.from_numpy(samn.initial_raw(metric, variant, form["start"], projection)).to(bias)
        self.vectors = torch.stack([raw, raw, bias])
        self.velocities, self.gradients = torch.zeros_like(self.vectors), torch.zeros_like(self.vectors)
        self.raw_weight, self.raw_bias, self.bias = self.vectors
        self.g_bias = self.gradients[2]
        perm = samn.order(metric.reshape(-1, metric.shape[-1]), variant)
        perm, both = np.concatenate([perm, perm]), slice(0, 2)
        self.chain = CHAINS[projection](
            perm, self.vectors[both], self.gradients[both], variant=variant, scale=form["scale"]
        )
        self.shift = torch.empty_like(bias) if self.on_bias else self.bias
        if not self.on_weight:
            self.linear = Linear(weight, bias)

    def _refresh(self) -> Tensor:
        """ρ of the rows after the vectors moved; ``shift`` becomes b̂."""
        self.chain.forward()
        if self.on_bias:
            torch.add(self.bias, self.chain.rho[1], out=self.shift)
        return self.chain.rho[0]

    def logits(self, x: Tensor) -> Tensor:
        """(ρ/‖w‖) ⊙ (x Wᵀ) + b̂."""
        rho = self._refresh()
        if self.on_weight:
            return self.rows.project(x, rho, self.shift)
        return product(x, self.linear.weight).add_(self.shift.unsqueeze(1))

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """One SGD step on w, b, raw_weight and raw_bias."""
        torch.sum(dz, 1, out=self.g_bias)
        if self.on_weight:
            self.rows.step(x, dz, sgd, out=self.chain.upstream[0])
        else:
            self.linear.step_weight(x, dz, sgd)
        if self.on_bias:
            self.chain.upstream[1].copy_(self.g_bias)
        self.chain.pullback()
        sgd.update(self.vectors, self.velocities, self.gradients, batch=x.shape[1], axis=2)

    def folded(self) -> dict[str, Tensor]:
        """Ŵ and b̂."""
        rho = self._refresh()
        weight = self.rows.folded(rho) if self.on_weight else self.linear.weight
        return {"weight": weight, "bias": self.shift}


def samn_head(weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Setting]) -> Samn:
    """SAMN over the class metric that ``metric`` asks for."""
    first = values[0]
    if first["metric"] == "norm":
        metric = weight.cpu().double().norm(dim=-1).clamp(min=NORM_FLOOR).numpy()
    else:
        metric = np.broadcast_to(counts.astype(np.float64), bias.shape).copy()
    present = counts > 0
    metric[..., ~present] = metric[..., present].min(
        -1, keepdims=True
    )  # a class without samples sets no range
    return Samn(weight, bias, metric, first)
