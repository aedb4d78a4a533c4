"""Class-balanced losses: classes weighted by their effective number (Cui et al. 2019), in four forms."""

from __future__ import annotations

import torch
from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.focal import SigmoidFocal
from ltfix.stage2.losses.loss import Loss, Settings, at, sample_weight
from ltfix.stage2.losses.softmax import SoftmaxLoss


class SoftmaxBCE:
    """Binary cross-entropy on softmax probabilities, averaged over B·K: the published PyTorch port of
    class-balanced loss and, with it, weight balancing's stage 2. Not cross-entropy: about 1/K of its size.

    q = softmax(z), a_k = (w_y/K)·(−1/q_y if k = y else 1/(1 − q_k));  ∂/∂z_j = q_j (a_j − Σ_k a_k q_k)
    = t_j − q_j Σ_{k≠j} a_k q_k with t_y = −(1 − q_y) and t_j = q_j elsewhere. 1 − q of the likeliest class
    and the sum beside it are added up from the others, so that float32 keeps their digits.
    """

    def __init__(self, weight: Tensor | None) -> None:
        self.weight = weight

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting; logarithms are cut at −100 as the framework's BCE cuts them."""
        log_q = z.log_softmax(-1)
        hit = torch.zeros_like(z).scatter(-1, at(z, y), 1.0)
        q, rest = _probabilities(z)
        log_rest = torch.where(rest > 0, rest, q.new_ones(())).log()
        log_rest = torch.where(rest > 0, log_rest, -100.0)
        bce = -(hit * log_q.clamp(min=-100) + (1 - hit) * log_rest.clamp(min=-100))
        return (sample_weight(self.weight, z, y) * bce.mean(-1)).mean(-2)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z."""
        q, rest = _probabilities(z)
        index = at(q, y)
        aq = (q / rest.clamp(min=torch.finfo(q.dtype).tiny)).scatter_(-1, index, -1.0)
        first = q.scatter(-1, index, -rest.gather(-1, index))
        grad = first - q * _others(aq, q.argmax(-1, keepdim=True))
        return grad.mul_((sample_weight(self.weight, z, y) / z.shape[-1])[..., None])


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


def class_balanced(s: Settings) -> Loss:
    """The class-balanced loss in the form that ``form`` asks for."""
    weight, form = s.table(weights.effective_number, "beta"), s.word("form")
    if form == "softmax":
        return SoftmaxLoss(weight=weight, weighted_mean=s.word("mean") == "weighted")
    if form == "bce":
        return SoftmaxBCE(weight)
    return SigmoidFocal(s.numbers("gamma") if form == "focal" else weight.new_zeros(len(weight)), weight)
