"""What a method trains: the head as a function of its parameters, and the way back by the chain rule.

All shapes carry S seeds and M settings, which train side by side: weight [S, M, K, D], logits
[S, B, M, K], dz = B·∂L/∂z of the same shape. The engine calls ``logits`` and ``step`` in turn;
``folded`` and ``transform`` say what linear layer, of which transform of x, the head comes to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ltfix.heads.head import NORM_FLOOR
from ltfix.stage2.layers.linear import DisAlign, Linear, ScaledLogits
from ltfix.stage2.layers.rows import Causal, Cosine, Samn
from ltfix.stage2.layers.sgd import Sgd

Values = Mapping[str, Any]
Start = tuple[Tensor, Tensor]


class Parametrisation(Protocol):
    """A trainable head for the engine."""

    def logits(self, x: Tensor) -> Tensor:
        """[S, B, M, K] of features [S, B, D]; keeps what :meth:`step` needs."""

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """Pull ``dz`` back to the parameters and take one SGD step."""

    @property
    def transform(self) -> Mapping[str, Any] | None:
        """What is done to x before the linear layer, as a head file has it."""

    def folded(self) -> dict[str, Tensor]:
        """The head file's tensors that it comes to: weight, bias and its transform's, [S, M, ...] each."""


def _samn(start: Start, counts: np.ndarray, values: Sequence[Values]) -> Samn:
    weight, bias = start
    first = values[0]
    if first["metric"] == "norm":
        metric = weight.double().norm(dim=-1).clamp(min=NORM_FLOOR).cpu().numpy()
    else:
        metric = np.broadcast_to(np.maximum(counts, 1).astype(np.float64), bias.shape).copy()
    return Samn(weight, bias, metric, variant=first["variant"], part=first["part"], scale=first["scale"])


def _cosine(start: Start, counts: np.ndarray, values: Sequence[Values]) -> Cosine:
    weight, _ = start
    form = values[0]["cosine"]
    scale = weight.new_tensor([1.0 if form == "plain" else float(v["s"]) for v in values])
    scale = scale.expand(weight.shape[:2])
    return Cosine(weight, scale, learn_scale=form == "learnable", capsule=form == "capsule")


def _causal(start: Start, counts: np.ndarray, values: Sequence[Values]) -> Causal:
    weight, first = start[0], values[0]
    return Causal(
        weight,
        tau=first["causal_tau"],
        heads=first["heads"],
        gamma=first["causal_gamma"],
        alpha=first["alpha"],
        mean_momentum=first["mean_momentum"],
    )


_BUILD: dict[str, Callable[[Start, np.ndarray, Sequence[Values]], Parametrisation]] = {
    "linear": lambda start, counts, values: Linear(*start),
    "etf": lambda start, counts, values: Linear(*start, train_weight=False),
    "lws": lambda start, counts, values: ScaledLogits(*start, lr_factor=0.0),
    "scaled": lambda start, counts, values: ScaledLogits(*start, lr_factor=values[0]["lr_factor"]),
    "cosine": _cosine,
    "causal": _causal,
    "disalign": lambda start, counts, values: DisAlign(*start, form=values[0]["variant"]),
    "samn": _samn,
}


def build_head(
    name: str, weight: Tensor, bias: Tensor, counts: np.ndarray, values: Sequence[Values]
) -> Parametrisation:
    """The trainable head ``name`` of the method table.

    Args:
        weight, bias: [S, M, K, D] and [S, M, K], where each run starts.
        counts: [K] training samples per class.
        values: the head's own values for each of the M settings; what shapes the head (words, numbers of
            blocks) is taken from the first.
    """
    return _BUILD[name]((weight, bias), counts, values)


__all__ = ["Linear", "Parametrisation", "Samn", "Sgd", "build_head"]
