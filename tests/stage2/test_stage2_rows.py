"""Heads over directions: published cosine and causal classifiers (SAMN has its own file)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ltfix.heads.head import Head
from ltfix.stage2.layers.rows import Causal, Cosine

CAUSAL = {"tau": 16.0, "heads": 2, "gamma": 1 / 32, "alpha": 3.0, "mean_momentum": 0.9}


def head_of(trained: Cosine | Causal) -> Head:
    folded = {name: tensor[0, 0].numpy() for name, tensor in trained.folded().items()}
    return Head(**folded, transform=trained.transform)


def near(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).abs().max()) < 2e-5


@pytest.mark.parametrize(
    ("name", "scale", "capsule"),
    [("normedlinear.cos", 1.0, False), ("cosine_s25.logits", 25.0, False), ("cosnorm16.logits", 16.0, True)],
)
def test_published_cosine_heads(golden64, name: str, scale: float, capsule: bool):
    g = golden64("heads_official")
    scales = torch.full((1, 1), scale, dtype=torch.float64)
    head = Cosine(g["W"][None, None], scales, learn_scale=False, capsule=capsule)
    near(head.logits(g["test_X"][None])[0, :, 0], g[name])
    near(head_of(head).logits(g["test_X"]), g[name])


def test_the_published_causal_head(golden64):
    g = golden64("heads_official")
    head = Causal(g["W"][None, None], **CAUSAL)
    near(head.logits(g["test_X"][None])[0, :, 0], g["causal.train_logits"])
    head.mean = g["causal.embed"][None].clone()
    near(head_of(head).logits(g["test_X"]), g["causal.tde_logits"])
