"""The formulas of the losses: each value, and its gradient by the logits in closed form.

Every loss has two faces over logits ``z`` [..., B, M, K] (M settings trained side by side, so every
table is [M, K]) and labels ``y`` [..., B]:

- ``value(z, y)``: [..., M], the literal formula, differentiable by autograd;
- ``grad_(z, y)``: [..., B, M, K], B · ∂value/∂z by the closed form; it may overwrite ``z``.

Batch means are left to the caller in ``grad_`` (it folds 1/B into a matrix product).
"""

from __future__ import annotations

import functools
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12


class Loss(Protocol):
    """What the engine needs of a loss."""

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting, [..., M]."""

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z, [..., B, M, K]; ``z`` may be overwritten."""


def _of(table: Tensor, y: Tensor) -> Tensor:
    """Rows of a [M, K] table at the labels: [..., B, M]."""
    return table.t()[y]


def _at(z: Tensor, y: Tensor) -> Tensor:
    """An index that picks the true class of every sample and setting: [..., B, M, 1]."""
    index = y.view(*y.shape, 1, 1)
    return index if z.shape[-2] == 1 else index.expand(*z.shape[:-1], 1)


@functools.lru_cache(maxsize=64)
def _minus_one(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((*shape, 1), -1.0, dtype=dtype, device=device)


def subtract_hit_(s: Tensor, y: Tensor) -> Tensor:
    """s − e_y in place."""
    return s.scatter_add_(-1, _at(s, y), _minus_one(s.shape[:-1], s.dtype, s.device))


def _reduce(loss: Tensor, weight: Tensor | None, weighted_mean: bool) -> Tensor:
    """Mean over the batch axis of per-sample losses [..., B, M], weighted by ``weight`` of the same shape."""
    if weight is None:
        return loss.mean(-2)
    total = (weight * loss).sum(-2)
    return total / (weight.sum(-2) if weighted_mean else loss.shape[-2])


def _share(weight: Tensor, weighted_mean: bool) -> Tensor:
    """What a sample's gradient is multiplied with, before the caller's 1/B."""
    return weight * (weight.shape[-2] / weight.sum(-2, keepdim=True)) if weighted_mean else weight


class SoftmaxLoss:
    """Cross-entropy and its family: CE of adjusted logits against a smoothed label.

    z̃_k = scale_k·z_k + shift_k − scale_y·margin_y·[k = y];  target (1 − ε_y) e_y + ε_y/K (``spread
    "all"``) or (1 − ε_y) e_y + ε_y/(K−1)·(1 − e_y) (``"others"``);  weight w_y.
    B·∂L/∂z_k = w_y · scale_k · (softmax(z̃)_k − target_k), with w_y·B/Σw instead of w_y where the mean
    is weighted.

    Args:
        scale, shift, margin, smoothing, weight: [M, K] tables, or None where the loss has none.
    """

    def __init__(
        self,
        *,
        scale: Tensor | None = None,
        shift: Tensor | None = None,
        margin: Tensor | None = None,
        smoothing: Tensor | None = None,
        spread: str = "all",
        weight: Tensor | None = None,
        weighted_mean: bool = True,
    ) -> None:
        self.scale, self.shift, self.weight, self.weighted_mean = scale, shift, weight, weighted_mean
        self.margin = margin if margin is None or scale is None else margin * scale
        self.off: Tensor | None = None
        self.drop: Tensor | None = None
        if smoothing is not None:
            n_classes = smoothing.shape[-1]
            self.off = smoothing / (n_classes if spread == "all" else n_classes - 1)
            self.drop = 1 - self.off * n_classes

    def adjust(self, z: Tensor, y: Tensor) -> Tensor:
        """z̃ of the class docstring."""
        if self.scale is not None:
            z = z * self.scale
        if self.shift is not None:
            z = z + self.shift
        if self.margin is not None:
            z = z.scatter_add(-1, _at(z, y), -_of(self.margin, y)[..., None])
        return z

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        log_p = self.adjust(z, y).log_softmax(-1)
        loss = -log_p.gather(-1, _at(z, y))[..., 0]
        if self.off is not None and self.drop is not None:
            loss = _of(self.drop, y) * loss - _of(self.off, y) * log_p.sum(-1)
        return _reduce(loss, None if self.weight is None else _of(self.weight, y), self.weighted_mean)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        s = torch.softmax(self.adjust(z, y), -1)
        if self.off is not None and self.drop is not None:
            s -= _of(self.off, y)[..., None]
            s.scatter_add_(-1, _at(s, y), -_of(self.drop, y)[..., None])
        else:
            subtract_hit_(s, y)
        if self.weight is not None:
            s *= _share(_of(self.weight, y), self.weighted_mean)[..., None]
        if self.scale is not None:
            s *= self.scale
        return s


class SoftmaxFocal:
    """(1 − p)^γ ℓ with ℓ = −w_y log s_y and p = e^−ℓ, plain mean (the published code of LDAM-DRW).

    Gradient A·w_y·(s − e_y), A = (1 − p)^γ + γ p ℓ (1 − p)^(γ−1). With class weights that code weights ℓ
    before it forms p; so does this.
    """

    def __init__(self, gamma: Tensor, weight: Tensor | None = None) -> None:
        self.gamma, self.weight = gamma, weight

    def _parts(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss = -z.log_softmax(-1).gather(-1, _at(z, y))[..., 0]
        if self.weight is not None:
            loss = loss * _of(self.weight, y)
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
            factor = factor * _of(self.weight, y)
        s = torch.softmax(z, -1)
        return subtract_hit_(s, y).mul_(factor[..., None])


class SoftmaxBCE:
    """Binary cross-entropy on softmax probabilities, averaged over B·K: the published PyTorch port of
    class-balanced loss and, with it, weight balancing's stage 2. Not cross-entropy: about 1/K of its size.

    q = softmax(z), a_k = (w_y/K)·(−1/q_y if k = y else 1/(1 − q_k));  ∂/∂z_j = q_j (a_j − Σ_k a_k q_k)
    = t_j − q_j Σ_{k≠j} a_k q_k with t_y = −(1 − q_y) and t_j = q_j elsewhere. 1 − q of the likeliest class
    and the sum beside it are added up from the others, so that float32 keeps their digits.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting; logarithms are cut at −100 as the framework's BCE cuts them."""
        log_q = z.log_softmax(-1)
        hit = torch.zeros_like(z).scatter(-1, _at(z, y), 1.0)
        q, rest = _probabilities(z)
        log_rest = torch.where(rest > 0, rest, q.new_ones(())).log()
        log_rest = torch.where(rest > 0, log_rest, -100.0)
        bce = -(hit * log_q.clamp(min=-100) + (1 - hit) * log_rest.clamp(min=-100))
        return (_of(self.weight, y) * bce.mean(-1)).mean(-2)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        q, rest = _probabilities(z)
        index = _at(q, y)
        aq = (q / rest.clamp(min=torch.finfo(q.dtype).tiny)).scatter_(-1, index, -1.0)
        first = q.scatter(-1, index, -rest.gather(-1, index))
        grad = first - q * _others(aq, q.argmax(-1, keepdim=True))
        return grad.mul_((_of(self.weight, y) / z.shape[-1])[..., None])


def _others(t: Tensor, top: Tensor) -> Tensor:
    """Σ_{k≠j} t_k for every j; exact at ``top``, where a difference would cancel."""
    beside = t.scatter(-1, top, 0.0).sum(-1, keepdim=True)
    return (t.sum(-1, keepdim=True) - t).scatter(-1, top, beside)


def _probabilities(z: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(z) and one minus it, both to full precision."""
    top = z.argmax(-1, keepdim=True)
    e = torch.exp(z - z.gather(-1, top))
    total = e.sum(-1, keepdim=True)
    return e / total, _others(e, top) / total


class SigmoidFocal:
    """w_y Σ_k (1 − p_k)^γ BCE(z_k), p_k = σ(±z_k) with + at the true class; γ = 0 is plain sigmoid BCE.

    Lin et al. 2017 with the class weights of Cui et al. 2019: summed over classes and divided by B
    (``per_class`` divides by B·K, as the code of EWB does for the sigmoid form).
    """

    def __init__(self, gamma: Tensor, weight: Tensor | None, per_class: bool = False) -> None:
        self.gamma, self.weight, self.per_class = gamma, weight, per_class

    def _signed(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        sign = torch.full_like(z, -1.0).scatter_(-1, _at(z, y), 1.0)
        return sign, sign * z

    def _scale(self, z: Tensor, y: Tensor) -> Tensor:
        size = 1 / z.shape[-1] if self.per_class else 1.0
        scale = z.new_full(z.shape[:-1], size)
        return scale if self.weight is None else scale * _of(self.weight, y)

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        _, t = self._signed(z, y)
        # (1 − σ(t))^γ = exp(−γ softplus(t)) never overflows
        loss = torch.exp(-self.gamma[..., None] * F.softplus(t)) * F.softplus(-t)
        return (self._scale(z, y) * loss.sum(-1)).mean(-2)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z: sign·(1 − p)^γ (γ p log p − (1 − p)), p = σ(sign·z)."""
        sign, t = self._signed(z, y)
        gamma = self.gamma[..., None]
        p, log_p = torch.sigmoid(t), -F.softplus(-t)
        grad = sign * torch.exp(-gamma * F.softplus(t)) * (gamma * p * log_p - torch.sigmoid(-t))
        return grad.mul_(self._scale(z, y)[..., None])


class Lade:
    """CE(z + log π) plus 0.1·L_e, which pulls the logits toward a uniform prior (LADE, Hong et al. 2021).

    For class c in a batch: f_c = Σ_{y_i = c} z_ic / (B_c + 1e-8),
    g_c = logsumexp_i(z_ic − log(π_c + 1e-9) + log(1/K + 1e-9)) − log B,
    L_e = −Σ_c π_c (f_c − g_c − 0.1 g_c²).
    """

    def __init__(self, prior: Tensor, weight: Tensor, softmax: SoftmaxLoss) -> None:
        self.prior, self.weight, self.softmax = prior, weight, softmax
        n_classes = prior.shape[-1]
        self.shift = torch.log(prior.new_tensor(1 / n_classes) + 1e-9) - torch.log(prior + 1e-9)

    def _pieces(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hit = F.one_hot(y, z.shape[-1])[..., None, :].to(z.dtype)  # [..., B, 1, K]
        share = hit / (hit.sum(-3, keepdim=True) + 1e-8)
        g = torch.logsumexp(z + self.shift, -3) - torch.log(z.new_tensor(float(z.shape[-3])))
        return share, (share * z).sum(-3), g

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting."""
        _, f, g = self._pieces(z, y)
        estimate = -(self.prior * (f - g - 0.1 * g * g)).sum(-1)
        return self.softmax.value(z, y) + self.weight * estimate

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        share, _, g = self._pieces(z, y)
        spread = torch.softmax(z + self.shift, -3)
        estimate = -self.prior * (share - spread * (1 + 0.2 * g)[..., None, :, :])
        return self.softmax.grad_(z, y) + z.shape[-3] * self.weight[..., None] * estimate


class Deferred:
    """Deferred re-weighting (Cao et al. 2019): one loss until a share of the epochs, another from there."""

    def __init__(self, before: Loss, after: Loss, start: float) -> None:
        self.before, self.after, self.start = before, after, start
        self.now = before

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Switch over where the epoch's index has reached ``start`` of the epochs."""
        self.now = self.after if epoch >= self.start * epochs else self.before

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.value(z, y)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.grad_(z, y)
