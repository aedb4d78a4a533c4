"""What weight decay acts on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ltfix.stage1.optimise import build_optimizer

VALUES = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.01,
    "bn_scale": 0.5,
}


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 1, bias=True), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def decayed(decay: str) -> tuple[nn.Module, set[str], set[str]]:
    """Names that decay and names that train."""
    model = network()
    groups = build_optimizer(model, {**VALUES, "decay": decay}).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    trained = {names[id(p)] for group in groups for p in group["params"]}
    return (
        model,
        {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]},
        trained,
    )


def test_all_parameters_decay_unless_told() -> None:
    _, found, trained = decayed("all")
    assert found == trained == {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"}


def test_convolutions_alone() -> None:
    _, found, trained = decayed("conv")
    assert found == {"0.weight"} and len(trained) == 6


def test_fixed_norms_neither_decay_nor_train() -> None:
    model, found, trained = decayed("conv-fixed-bn")
    assert found == {"0.weight"} and trained == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert torch.equal(model[1].weight, torch.full((2,), 0.5)) and not model[1].bias.any()


@pytest.mark.parametrize("decay", ["all", "conv"])
def test_decay_is_added_to_the_gradient(decay: str) -> None:
    model = network()
    before = model[0].weight.detach().clone()
    optimizer = build_optimizer(model, {**VALUES, "decay": decay})
    (model(torch.zeros(2, 3, 2, 2)).sum() * 0).backward()
    optimizer.step()
    assert torch.allclose(model[0].weight, before * (1 - 0.1 * 0.01), rtol=1e-6)
