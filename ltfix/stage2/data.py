"""Features for the engine: one view per sample, gathered in the order an epoch visits them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ltfix.features.read import FeatureCache
from ltfix.stage2 import samplers
from ltfix.stage2.seeds import derive

CHUNK_VALUES = 1 << 23  # gathered at once: 32 MB of float32
VIEWS_USED = ("random", "first", "all")


@dataclasses.dataclass(slots=True)
class Features:
    """Training samples: features [N, V, D] (float16 or float32, may be a memory map) and labels [N].

    Attributes:
        counts: [K] samples per class, in training (which a subset keeps).
        views_used: "random" one per sample and visit, "first", or "all" (each view is a sample).
    """

    features: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    views_used: str = "random"

    @classmethod
    def of(cls, cache: FeatureCache, views_used: str = "random") -> Features:
        """A cache's samples; features that are not finite raise here."""
        features, labels = cache.features, cache.labels
        if views_used == "all":
            features = features.reshape(-1, 1, cache.dim)
            labels = np.repeat(labels, cache.views)
        return cls(features, labels, cache.counts, views_used)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: np.ndarray) -> Features:
        """The samples ``index``, with their own counts."""
        labels = self.labels[index]
        counts = np.bincount(labels, minlength=len(self.counts))
        return Features(self.features[index], labels, counts, self.views_used)

    def mean_view(self) -> np.ndarray:
        """[N, D] float32: the mean over the views used; for a linear head, its mean logits' feature."""
        if self.views_used == "first" or self.features.shape[1] == 1:
            return self.features[:, 0].astype(np.float32)
        return np.asarray(self.features.mean(1, dtype=np.float32))

    def batches(
        self, sampler: str, batch_size: int, seeds: Sequence[int], *, epoch: int, epochs: int, like: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch: x [S, B, D] in ``like``'s dtype and device, y [S, B].

        The last may be short.
        """
        order = np.stack([samplers.draw(sampler, self.labels, seed, epoch, epochs) for seed in seeds])
        views = np.zeros_like(order)
        if self.views_used == "random" and self.features.shape[1] > 1:
            for row, seed in enumerate(seeds):
                rng = np.random.default_rng(derive(seed, "views", epoch))
                views[row] = rng.integers(self.features.shape[1], size=order.shape[1])
        rows = max(1, CHUNK_VALUES // (self.features.shape[2] * len(seeds) * batch_size)) * batch_size
        for start in range(0, order.shape[1], rows):
            index, view = order[:, start : start + rows], views[:, start : start + rows]
            x = torch.from_numpy(self.features[index, view]).to(like.device, like.dtype)
            y = torch.from_numpy(self.labels[index]).to(like.device)
            for first in range(0, index.shape[1], batch_size):
                yield x[:, first : first + batch_size], y[:, first : first + batch_size]
