"""The network for tables against its formula in float64, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ltfix.backbones.mlp import ResidualMlp
from ltfix.backbones.opening import open_network
from ltfix.errors import UsageError


def test_it_is_its_formula() -> None:
    torch.manual_seed(0)
    net = ResidualMlp(("a", "b", "c"), layers=2, width=4, num_classes=3).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    state = net.state_dict()

    def norm(h: torch.Tensor, name: str) -> torch.Tensor:
        centred = h - h.mean(0)
        return (
            centred / (h.var(0, correction=0) + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]
        )

    def linear(h: torch.Tensor, name: str) -> torch.Tensor:
        return h @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    h = linear(x, "first")
    for i in range(2):
        inner = F.relu(linear(norm(h, f"layers.{i}.norm"), f"layers.{i}.linear1"))
        h = h + linear(inner, f"layers.{i}.linear2")
    expected = linear(F.relu(norm(h, "norm")), "fc")
    torch.testing.assert_close(net(x), expected, rtol=1e-9, atol=1e-9)


def test_dropout_is_of_training_alone() -> None:
    torch.manual_seed(0)
    net = ResidualMlp(("a",), layers=1, width=64, drop_rate=0.5)
    x = torch.randn(8, 1)
    first, second = net(x), net(x)
    assert not torch.equal(first, second)
    net.eval()
    assert torch.equal(net(x), net(x))


def test_it_needs_columns_and_knows_no_other_arguments() -> None:
    given = {"pretrained": False, "overrides": {}, "seed": 0}
    network = open_network("mlp", arguments={"columns": ["a", "b"], "num_classes": 3, "width": 8}, **given)
    assert network.extractor(torch.zeros(2, 2)).shape == (2, 8)
    with pytest.raises(UsageError, match="trained on a table"):
        open_network("mlp", arguments={}, **given)
    with pytest.raises(UsageError, match="depth"):
        open_network("mlp", arguments={"columns": ["a"], "depth": 3}, **given)
    with pytest.raises(UsageError, match="no pretrained weights"):
        open_network("mlp", arguments={"columns": ["a"]}, **{**given, "pretrained": True})
