"""The losses of long-tailed recognition by name, made of class counts and of a method's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ltfix.stage2.losses import weights
from ltfix.stage2.losses.formulas import (
    Deferred,
    Lade,
    Loss,
    SigmoidFocal,
    SoftmaxBCE,
    SoftmaxFocal,
    SoftmaxLoss,
)

Values = Mapping[str, Any]
Table = Callable[[Callable[[Values], Tensor]], Tensor]


def _focal(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    gamma = table(lambda v: torch.tensor(float(v["gamma"])))
    if values[0]["definition"] == "sigmoid":
        return SigmoidFocal(gamma, None)
    return SoftmaxFocal(gamma)


def _class_balanced(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    weight = table(lambda v: weights.effective_number(counts, float(v["beta"])))
    form = values[0]["form"]
    if form == "softmax":
        return SoftmaxLoss(weight=weight, weighted_mean=values[0]["mean"] == "weighted")
    if form == "bce":
        return SoftmaxBCE(weight)
    gamma = table(lambda v: torch.tensor(float(v["gamma"]) if form == "focal" else 0.0))
    return SigmoidFocal(gamma, weight)


def _ldam(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    scale = table(lambda v: torch.full((len(counts),), float(v["ldam_s"])))
    margin = table(lambda v: weights.ldam_margins(counts, float(v["max_margin"])))
    weight = table(lambda v: weights.effective_number(counts, float(v["beta"])))
    plain, weighted = (
        SoftmaxLoss(scale=scale, margin=margin),
        SoftmaxLoss(scale=scale, margin=margin, weight=weight),
    )
    start = float(values[0]["drw_from"])
    return plain if start >= 1 else Deferred(plain, weighted, start)


def _las(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    def smoothing(v: Values) -> Tensor:
        return weights.las_smoothing(
            counts, float(v["eps_head"]), float(v["eps_tail"]), v["shape"], float(v["power"])
        )

    return SoftmaxLoss(
        smoothing=table(smoothing), spread="all" if values[0]["las_form"] == "code" else "others"
    )


def _vs(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    return SoftmaxLoss(
        scale=table(lambda v: 1 / weights.vs_scale(counts, float(v["gamma"]))),
        shift=table(lambda v: float(v["tau"]) * weights.log_prior(counts)),
    )


def _lade(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    prior = table(lambda v: weights.log_prior(counts).exp())
    weight = table(lambda v: torch.tensor(float(v["lade_weight"])))
    return Lade(prior, weight, SoftmaxLoss(shift=prior.log()))


def _los(counts: Tensor, table: Table, values: Sequence[Values]) -> Loss:
    return SoftmaxLoss(smoothing=table(lambda v: torch.full((len(counts),), float(v["delta"]))))


_BUILD: dict[str, Callable[[Tensor, Table, Sequence[Values]], Loss]] = {
    "ce": lambda counts, table, values: SoftmaxLoss(),
    "los": _los,
    "las": _las,
    "balanced-softmax": lambda c, table, values: SoftmaxLoss(shift=table(lambda v: weights.log_prior(c))),
    "logit-adjusted": lambda c, table, values: SoftmaxLoss(
        shift=table(lambda v: float(v["tau"]) * weights.log_prior(c))
    ),
    "vs": _vs,
    "ldam": _ldam,
    "focal": _focal,
    "cb": _class_balanced,
    "grw": lambda c, table, values: SoftmaxLoss(
        weight=table(lambda v: weights.inverse_power(c, float(v["rho"])))
    ),
    "lade": _lade,
}
NAMES = tuple(_BUILD)


def build_loss(
    name: str,
    counts: Tensor,
    values: Sequence[Values],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Loss:
    """The loss ``name`` of the method table for M settings at once.

    Args:
        name: one of ``NAMES``.
        counts: [K] training samples per class.
        values: M mappings of the loss's own values (``ltfix methods NAME`` lists them); values that are
            words (``form``, ``shape`` of the target) are taken from the first.
        dtype, device: of the logits.
    """
    counts = torch.as_tensor(counts)

    def table(row: Callable[[Values], Tensor]) -> Tensor:
        return torch.stack([row(v).double() for v in values]).to(device=device, dtype=dtype)

    return _BUILD[name](counts, table, values)
