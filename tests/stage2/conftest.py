"""Golden tensors as torch float64, and small caches in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ltfix.features.read import FeatureCache
from ltfix.heads.head import STAGE1, Head

Goldens = Callable[[str], dict[str, Tensor]]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small products gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden64(golden) -> Goldens:
    """``golden64("samn_official")``: the tensors of a golden file, floats widened to float64."""
    held: dict[str, dict[str, Tensor]] = {}

    def load(name: str) -> dict[str, Tensor]:
        if name not in held:
            held[name] = {
                key: torch.from_numpy(value).double() if value.dtype.kind == "f" else torch.from_numpy(value)
                for key, value in golden(name).items()
            }
        return held[name]

    return load


@pytest.fixture
def draw_cache() -> Callable[..., FeatureCache]:
    """Draw a cache: Gaussian clouds, rectified as features of a network are.

    ``draw_cache([30, 10, 3], dim=8, views=2, stage1=True, seed=0, spread=1.0)``; ``stage1`` adds a
    classifier of class means.
    """

    def draw(
        counts: list[int],
        *,
        dim: int = 8,
        views: int = 1,
        stage1: bool = True,
        seed: int = 0,
        spread: float = 1.0,
        scale: float = 1.0,
    ) -> FeatureCache:
        rng = np.random.default_rng(seed)
        centers = np.random.default_rng(1234).normal(size=(len(counts), dim)) * 2
        labels = np.repeat(np.arange(len(counts)), counts)
        noise = rng.normal(size=(len(labels), views, dim)) * spread
        features = (np.maximum(centers[labels][:, None] + noise, 0) * scale).astype(np.float32)
        head = None
        if stage1:
            norms = 0.3 + np.maximum(counts, 1) / max(counts)
            rows = centers / np.linalg.norm(centers, axis=1, keepdims=True) * norms[:, None]
            head = Head(rows.astype(np.float32), np.zeros(len(counts), np.float32), STAGE1)
        names = tuple(f"class{k}" for k in range(len(counts)))
        return FeatureCache(Path("memory"), [features], labels, classes=names, head=head)

    return draw
