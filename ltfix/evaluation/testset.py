"""What the reports measure on: one cache, its shots, and the predictions made so far."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np

from ltfix.evaluation.metrics import Verdicts
from ltfix.evaluation.scores import logit_blocks, true_rank
from ltfix.evaluation.shots import Shots
from ltfix.features.read import FeatureCache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """A cache to measure heads on. What a head predicts is computed once and kept.

    Attributes:
        cache: features [N, V, D] and labels [N].
        shots: the shot of each of the K classes, and their training counts.
        classes: the K class names, or None.
        tta: "mean" of the views' logits, or the "first" view.
        seed: of bootstraps and random layers.
        random_layers: behind how many the Fisher ratio is measured, too.
        progress: advanced by every sample, once a head, however often a report passes over them.
    """

    cache: FeatureCache
    shots: Shots
    classes: tuple[str, ...] | None = None
    tta: str = "mean"
    seed: int = 0
    random_layers: int = 0
    progress: Progress = SILENT
    _counted: set[Head] = dataclasses.field(default_factory=set)
    _verdicts: dict[Head, Verdicts] = dataclasses.field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """K, of the heads and the training counts."""
        return len(self.shots.counts)

    @property
    def labels(self) -> np.ndarray:
        """[N] int64 true classes."""
        return self.cache.labels

    @property
    def tested(self) -> np.ndarray:
        """[K] int64 samples per class in this cache."""
        counts = self.cache.counts
        return np.pad(counts, (0, self.n_classes - len(counts)))

    @property
    def tested_classes(self) -> dict[str, int]:
        """Classes with a sample in this cache, per shot."""
        return dataclasses.replace(self.shots, of=self.shots.of[self.tested > 0]).n_classes

    @property
    def untested(self) -> list[str]:
        """Classes without one, by name, else index."""
        return [self.class_name(k) or str(k) for k in np.flatnonzero(self.tested == 0).tolist()]

    def blocks(self, head: Head) -> Iterator[tuple[slice, np.ndarray]]:
        """The head's logits in consecutive blocks: (slice of samples, [m, K] float32).

        Who goes through all of them has its predictions too.
        """
        first = head not in self._counted
        self._counted.add(head)
        predicted, rank = np.empty(self.cache.n, np.int32), np.empty(self.cache.n, np.uint8)
        for where, logits in logit_blocks(head, self.cache, self.tta):
            predicted[where] = logits.argmax(1)
            rank[where] = true_rank(logits, self.labels[where]).clip(max=255)
            yield where, logits
            if first:
                self.progress.advance(len(logits))
        self._verdicts[head] = Verdicts(predicted, self.labels, self.shots.of, rank)

    def counted(self, head: Head) -> bool:
        """Whether the progress has advanced by this head's samples; a report may need none of its logits."""
        return head in self._counted

    def verdicts(self, head: Head) -> Verdicts:
        """What a head says of every sample, computed once."""
        if head not in self._verdicts:
            collections.deque(self.blocks(head), maxlen=0)
        return self._verdicts[head]

    def predictions(self, head: Head) -> np.ndarray:
        """[N] predicted classes of a head; the lower index where logits are equal."""
        return self.verdicts(head).predicted

    def correct(self, head: Head) -> np.ndarray:
        """[N] bool, whether a head is right on each sample."""
        return self.verdicts(head).correct

    def class_name(self, index: int) -> str | None:
        """The name of a class, where names are known."""
        return self.classes[index] if self.classes is not None and index < len(self.classes) else None
