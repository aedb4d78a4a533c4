"""What weight decay acts on, and learning rates against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ltfix.stage1.optimise import build_optimizer, rate_at

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


def rates(**values: object) -> list[float]:
    values = {"epochs": 10, "lr": 0.1, "schedule": "cosine", "warmup_epochs": 0, **values}
    return [rate_at(epoch, values) for epoch in range(int(str(values["epochs"])))]


def test_cosine_is_half_of_one_plus_cos() -> None:
    assert rates() == pytest.approx([0.05 * (1 + math.cos(math.pi * e / 10)) for e in range(10)], rel=1e-15)
    assert rates()[-1] > 0


def test_warm_up_rises_linearly_then_the_cosine_starts() -> None:
    found = rates(warmup_epochs=4)
    assert found[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert found[4] == 0.1
    assert found[5] == pytest.approx(0.05 * (1 + math.cos(math.pi / 6)))


def test_steps_are_those_of_ldam_drw() -> None:
    found = rates(epochs=200, schedule="steps", warmup_epochs=5)
    assert found[0] == pytest.approx(0.1 / 5)
    assert found[159] == 0.1
    assert found[160] == pytest.approx(0.001)
    assert found[180] == pytest.approx(0.00001)


def test_gentle_steps_are_those_of_mislas() -> None:
    found = rates(epochs=200, schedule="gentle-steps", warmup_epochs=5)
    assert found[159] == 0.1
    assert (found[160], found[180]) == (pytest.approx(0.01), pytest.approx(0.001))


def test_constant_is_constant() -> None:
    assert rates(schedule="constant") == [0.1] * 10
    assert rates(epochs=3, warmup_epochs=3)[-1] == pytest.approx(0.1)
