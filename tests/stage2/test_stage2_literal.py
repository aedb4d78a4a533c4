"""Beside fits, published recipes written out in plain torch and numpy, on real features and their like."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import ltfix
from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head
from ltfix.stage2.fit import plan_fit

SEEDS = 2


def every_tenth(cache: FeatureCache, unit: float) -> FeatureCache:
    """Ten of the hundred classes, their features and the stage-1 classifier in another unit."""
    chosen = np.flatnonzero(cache.labels % 10 == 0)
    features = cache.features[chosen].astype(np.float32) * np.float32(unit)
    head = None
    if cache.head is not None:
        counts = None if cache.head.counts is None else cache.head.counts[::10]
        head = Head(cache.head.weight[::10] / unit, cache.head.bias[::10], cache.head.method, counts=counts)
    return FeatureCache(Path("ten"), [features], cache.labels[chosen] // 10, head=head)


@pytest.fixture(scope="module")
def whole(shared_data: Path) -> list[FeatureCache]:
    return [ltfix.open_cache(shared_data / f"c100_if100_{split}.safetensors") for split in ("train", "test")]


def los(train: FeatureCache, seed: int) -> nn.Linear:
    """SGD of stage 1's classifier, 5e-4 with momentum 0.9, batches of 64, 20 epochs, cosine by epoch."""
    x, y = torch.from_numpy(train.features.astype(np.float32)), torch.from_numpy(train.labels)
    linear, draw = nn.Linear(x.shape[2], len(train.counts)), torch.Generator().manual_seed(seed)
    assert train.head is not None
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(train.head.weight))
        linear.bias.copy_(torch.from_numpy(train.head.bias))
    sgd = torch.optim.SGD(linear.parameters(), lr=5e-4, momentum=0.9)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 20)
    for _ in range(20):
        for rows in torch.randperm(len(y), generator=draw).split(64):
            views = torch.randint(x.shape[1], (len(rows),), generator=draw)
            sgd.zero_grad()
            F.cross_entropy(linear(x[rows, views]), y[rows], label_smoothing=0.98).backward()
            sgd.step()
        cosine.step()
    return linear


def accuracy(weight: np.ndarray, bias: np.ndarray, test: FeatureCache) -> float:
    """In percent, the views' logits averaged."""
    z = test.features.astype(np.float64).mean(1) @ weight.astype(np.float64).T + bias
    return 100 * float((z.argmax(1) == test.labels).mean())


@pytest.mark.parametrize("unit", [1.0, 0.63])  # mean norms 13.7 and 8.7
def test_on_features_like_cifars_published_values_run_as_published(whole, unit: float):
    train, test = (every_tenth(cache, unit) for cache in whole)
    heads = plan_fit("los", {}).train(train, range(SEEDS))
    theirs = [los(train, seed) for seed in range(SEEDS)]
    found = np.mean([accuracy(head.weight, head.bias, test) for head in heads])
    expected = [accuracy(one.weight.detach().numpy(), one.bias.detach().numpy(), test) for one in theirs]
    assert found == pytest.approx(np.mean(expected), abs=0.7)
    assert heads[0].meta["coordinates"]["feature_scale"] == 1


def test_what_is_only_computed_is_computed_so(whole):
    """tau-norm with τ = 1, and logit adjustment, in numpy."""
    train, test = whole
    weight, bias = train.head.weight.astype(np.float64), train.head.bias.astype(np.float64)
    prior = np.log(train.counts / train.counts.sum())
    rows = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    for head, expected in (
        (ltfix.fit(train, "tau-norm", tau=1.0), accuracy(rows, np.zeros(100), test)),
        (ltfix.fit(train, "logit-adjust"), accuracy(weight, bias - prior, test)),
    ):
        assert accuracy(head.weight, head.bias, test) == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize("rate", [1e5, 1e9])
def test_a_run_that_blew_up_and_stayed_finite_is_refused(draw_cache, rate: float):
    """Beside it, plain torch: its weights are finite, and its loss is far above that of equal logits."""
    cache = draw_cache([60, 20, 6], stage1=True)
    x, y = torch.from_numpy(cache.features[:, 0]).double(), torch.from_numpy(cache.labels)
    w = torch.from_numpy(cache.head.weight).double().requires_grad_()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(F.cross_entropy(x @ w.T, y), w)
        w = (w - rate * gradient).detach().requires_grad_()
    assert torch.isfinite(w).all()
    assert F.cross_entropy(x @ w.T, y) > 10 * np.log(3)
    with pytest.raises(InputError, match=re.escape(f"lr={rate:g}")) as caught:
        ltfix.fit(cache, "ce", lr=rate, feature_scale="none")
    assert caught.value.exit_code == 3


def test_a_loss_that_is_meant_to_rise_is_not_refused(draw_cache):
    """Over-smoothed labels cost the classifier of stage 1 its cross-entropy, not the method its loss."""
    cache = draw_cache([60, 20, 6], stage1=False, spread=3.0)
    probe = ltfix.fit(cache, "logit-adjust", tau=0.0)
    head = ltfix.fit(cache, "los", epochs=60, lr=0.05)
    x, y = torch.from_numpy(cache.features[:, 0]), torch.from_numpy(cache.labels)
    before, after = (float(F.cross_entropy(torch.from_numpy(h.logits(x.numpy())), y)) for h in (probe, head))
    assert after > 2 * before
