"""SGD, and what its weight decay acts on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def build_sgd(network: nn.Module, values: Mapping[str, Any]) -> torch.optim.SGD:
    """SGD with L2 decay (added to the gradient) on what ``values["decay"]`` says.

    "all": every trained parameter, biases and batch norm too. "conv": convolution weights alone.
    "conv-fixed-bn": these, with every norm's scale fixed at ``bn_scale`` and its shift at 0 (the two
    variants of Hasegawa & Sato 2024). Parameters that do not train are left out.

    Args:
        network: its norms are fixed here where asked for.
        values: lr, momentum, nesterov, weight_decay, decay, bn_scale.
    """
    if values["decay"] == "conv-fixed-bn":
        fix_norms(network, values["bn_scale"])
    rate = values["weight_decay"]
    convolutions = {id(module.weight) for module in network.modules() if isinstance(module, _CONVOLUTIONS)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [p for p in trained if values["decay"] == "all" or id(p) in convolutions]
    chosen = {id(parameter) for parameter in decayed}
    free = [parameter for parameter in trained if id(parameter) not in chosen]
    groups = [{"params": decayed, "weight_decay": rate}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=values["lr"],
        momentum=values["momentum"],
        nesterov=values["nesterov"],
    )


@torch.no_grad()
def fix_norms(network: nn.Module, scale: float) -> None:
    """Every batch norm's scale is ``scale`` and its shift 0; neither trains."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight.fill_(scale)
            module.bias.zero_()
            module.requires_grad_(False)
