"""Small caches and heads whose answers an oracle can work out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ltfix.features.read import FeatureCache
from ltfix.heads.head import Head

COUNTS = np.array([300, 101, 100, 40, 20, 19, 3])  # two classes a shot, both boundaries, one more Medium


def head_of(weight: Any, bias: Any = None, method: str = "ce", **more: Any) -> Head:
    weight = np.asarray(weight, np.float32)
    bias = np.zeros(len(weight), np.float32) if bias is None else np.asarray(bias, np.float32)
    return Head(weight=weight, bias=bias, method=method, **more)


def cache_of(features: Any, labels: Any, path: str = "test.npz", **more: Any) -> FeatureCache:
    features = np.asarray(features, np.float32)
    features = features[:, None] if features.ndim == 2 else features
    return FeatureCache(Path(path), [features], np.asarray(labels, np.int64), **more)


def one_hot_cache(pred: Any, labels: Any, n_classes: int, **more: Any) -> tuple[FeatureCache, Head]:
    """A cache and a head (the identity) that predicts exactly ``pred``."""
    head = head_of(np.eye(n_classes), **more)
    return cache_of(np.eye(n_classes)[np.asarray(pred)], labels), head


def noisy(n: int = 400, views: int = 1, seed: int = 0, **more: Any) -> tuple[FeatureCache, Head]:
    """A cache of 7 noisy classes and a head that is right more often than not."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(7, 5)) * 2
    labels = rng.integers(0, 7, n)
    features = centres[labels][:, None] + rng.normal(size=(n, views, 5)) * 1.5
    weight = centres + rng.normal(size=centres.shape) * 0.3
    return cache_of(features, labels), head_of(weight, -0.5 * (centres**2).sum(1), **more)


def write_cache(path: Path, cache: FeatureCache, head: Head | None = None) -> Path:
    """The cache as a bare ``.npz``."""
    classifier = {} if head is None else {"head.weight": head.weight, "head.bias": head.bias}
    np.savez(path, features=cache.features, labels=cache.labels, **classifier)
    return path
