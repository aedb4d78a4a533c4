"""ltfix.backbones.network: what a probe finds out, and what constructors raise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltfix.backbones.network import Network, build, probe
from ltfix.errors import EnvironmentFault, InputError, UsageError


class Pool(nn.Module):
    """Features: the three channel means."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def network(extractor: nn.Module, classifier: nn.Linear | None = None, logits: Any = None) -> Network:
    return Network(extractor, extractor, ("fc",), classifier, logits, False, False, {})


def test_the_classifier_must_be_all_that_follows():
    pool, linear = Pool(), nn.Linear(3, 5)
    assert probe(network(pool), 8) == (3, False)
    assert probe(network(pool, linear, lambda x: linear(pool(x))), 8) == (3, True)
    assert probe(network(pool, linear, lambda x: 2 * linear(pool(x))), 8) == (3, False)
    assert probe(network(pool, nn.Linear(4, 5), None), 8) == (3, False)


def test_features_must_be_vectors():
    with pytest.raises(InputError, match="one feature vector an image"):
        probe(network(nn.Identity()), 8)
    with pytest.raises(InputError, match="fails on images of 2 × 2 pixels"):
        probe(network(nn.Conv2d(3, 3, 5)), 2)


@pytest.mark.parametrize(
    ("error", "pretrained", "kind", "message"),
    [
        (TypeError("unexpected keyword 'depth'"), True, UsageError, "unexpected keyword 'depth'"),
        (RuntimeError("size must divide"), False, UsageError, "size must divide"),
        (RuntimeError("Error(s) in loading state_dict for X"), True, InputError, "do not fit"),
        (OSError("no route\nto host"), True, EnvironmentFault, "could not be downloaded: no route to host"),
    ],
)
def test_what_constructors_raise(error: Exception, pretrained: bool, kind: type[Exception], message: str):
    def create() -> nn.Module:
        raise error

    with pytest.raises(kind, match=message):
        build(create, "x", pretrained=pretrained, seed=0)


def test_building_is_seeded_and_leaves_the_global_generator():
    before = torch.random.get_rng_state()
    one, two = (build(lambda: nn.Linear(3, 3), "x", pretrained=False, seed=7) for _ in range(2))
    assert torch.equal(one.weight, two.weight)  # type: ignore[arg-type]
    assert torch.equal(before, torch.random.get_rng_state())
