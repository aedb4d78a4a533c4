"""The optimizers, what weight decay acts on, and learning rates.

Rates are functions of the epoch alone, so a resumed run has no state to restore.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ltfix.errors import UsageError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_STEPS = {
    "constant": (1.0, 1.0),
    "steps": (0.01, 0.0001),  # LDAM-DRW's
    "gentle-steps": (0.1, 0.01),  # MiSLAS's
}
"""What the base rate is multiplied by from 80 % and from 90 % of the epochs."""


def build_optimizer(network: nn.Module, values: Mapping[str, Any]) -> torch.optim.Optimizer:
    """SGD with L2 decay (added to the gradient), or AdamW, whose decay is not (Loshchilov & Hutter 2019).

    ``values["decay"]`` says what is decayed.

    "all": every trained parameter, biases and batch norm too. "conv": convolution weights alone.
    "conv-fixed-bn": these, with every norm's scale fixed at ``bn_scale`` and its shift at 0 (the two
    variants of Hasegawa & Sato 2024). Parameters that do not train are left out.

    Args:
        network: its norms are fixed here where asked for.
        values: optimizer, lr, momentum, nesterov, weight_decay, decay, bn_scale.

    Raises:
        UsageError: convolutions alone are to be decayed, and there are none.
    """
    if values["decay"] == "conv-fixed-bn":
        fix_norms(network, values["bn_scale"])
    rate = values["weight_decay"]
    convolutions = {id(module.weight) for module in network.modules() if isinstance(module, _CONVOLUTIONS)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if values["decay"] != "all" and not convolutions:
        raise UsageError("the model has no convolutions", where="decay", hint="decay=all")
    decayed = [p for p in trained if values["decay"] == "all" or id(p) in convolutions]
    chosen = {id(parameter) for parameter in decayed}
    free = [parameter for parameter in trained if id(parameter) not in chosen]
    groups = [{"params": decayed, "weight_decay": rate}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if values["optimizer"] == "adamw":
        return torch.optim.AdamW(groups, lr=values["lr"])
    momentum, nesterov = values["momentum"], values["nesterov"]
    return torch.optim.SGD(groups, lr=values["lr"], momentum=momentum, nesterov=nesterov)


@torch.no_grad()
def fix_norms(network: nn.Module, scale: float) -> None:
    """Every batch norm's scale is ``scale`` and its shift 0; neither trains."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight.fill_(scale)
            module.bias.zero_()
            module.requires_grad_(False)


def rate_at(epoch: int, values: Mapping[str, Any]) -> float:
    """The learning rate of epoch 0..E−1, constant within it.

    ``lr · (e+1)/w`` in the first w ``warmup_epochs``. After them the cosine runs over the remaining
    epochs from its start (so the last epoch's rate is above 0), while steps count from the first epoch.

    Args:
        epoch: e.
        values: epochs, lr, schedule, warmup_epochs.
    """
    epochs, lr, warmup = values["epochs"], values["lr"], values["warmup_epochs"]
    if epoch < warmup:
        return float(lr * (epoch + 1) / warmup)
    if values["schedule"] == "cosine":  # ½(1 + cos πp), Loshchilov & Hutter 2017, without restarts
        progress = (epoch - warmup) / (epochs - warmup)
        return float(lr * (0.5 * (1 + math.cos(math.pi * progress))))
    first, second = _STEPS[values["schedule"]]
    progress = epoch / epochs
    return float(lr * (1.0 if progress < 0.8 else first if progress < 0.9 else second))
