"""Heads over directions: published cosine and causal classifiers (SAMN has its own file)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ltfix.heads.head import Head
from ltfix.stage2.layers.rows import Causal, Cosine

CAUSAL = {"causal_tau": 16.0, "heads": 2, "causal_gamma": 1 / 32, "alpha": 3.0, "mean_momentum": 0.9}


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
    n = len(g["W"])
    values = {"cosine": "capsule" if capsule else "fixed", "s": scale}
    head = Cosine(g["W"][None, None], torch.zeros(1, 1, n), np.ones(n), [values])
    near(head.logits(g["test_X"][None])[0, :, 0], g[name])
    near(head_of(head).logits(g["test_X"]), g[name])


def test_the_published_causal_head(golden64):
    g = golden64("heads_official")
    n = len(g["W"])
    head = Causal(g["W"][None, None], torch.zeros(1, 1, n), np.ones(n), [CAUSAL])
    near(head.logits(g["test_X"][None])[0, :, 0], g["causal.train_logits"])
    head.mean = g["causal.embed"][None].clone()
    near(head_of(head).logits(g["test_X"]), g["causal.tde_logits"])
