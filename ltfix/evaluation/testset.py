"""What the reports measure on: one cache, its shots, and the predictions made so far."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ltfix.evaluation.scores import class_accuracy, logit_blocks
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
        progress: advanced by every sample, once a head, however often a report passes over them.
    """

    cache: FeatureCache
    shots: Shots
    classes: tuple[str, ...] | None = None
    tta: str = "mean"
    progress: Progress = SILENT
    _counted: set[Head] = dataclasses.field(default_factory=set)
    _predicted: dict[Head, np.ndarray] = dataclasses.field(default_factory=dict)

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

    def blocks(self, head: Head) -> Iterator[tuple[slice, np.ndarray]]:
        """The head's logits in consecutive blocks: (slice of samples, [m, K] float32).

        Who goes through all of them has its predictions too.
        """
        first = head not in self._counted
        self._counted.add(head)
        predicted = np.empty(self.cache.n, np.int64)
        for where, logits in logit_blocks(head, self.cache, self.tta):
            predicted[where] = logits.argmax(1)
            yield where, logits
            if first:
                self.progress.advance(len(logits))
        self._predicted[head] = predicted

    def counted(self, head: Head) -> bool:
        """Whether the progress has advanced by this head's samples; a report may need none of its logits."""
        return head in self._counted

    def predictions(self, head: Head) -> np.ndarray:
        """[N] predicted classes of a head, computed once; the lower index where logits are equal."""
        if head not in self._predicted:
            collections.deque(self.blocks(head), maxlen=0)
        return self._predicted[head]

    def correct(self, head: Head) -> np.ndarray:
        """[N] bool, whether a head is right on each sample."""
        return np.asarray(self.predictions(head) == self.labels)

    def recall(self, head: Head) -> np.ndarray:
        """[K] accuracy per class, NaN for a class without samples."""
        return class_accuracy(self.predictions(head), self.labels, self.n_classes)

    def worst(self, recall: np.ndarray) -> dict[str, Any]:
        """The smallest accuracy of a class, and which it is: name, else index; the first of equal ones."""
        index = int(np.nanargmin(recall))
        name = self.class_name(index)
        return {"worst_class": float(recall[index]), "worst_class_name": str(index) if name is None else name}

    def class_name(self, index: int) -> str | None:
        """The name of a class, where names are known."""
        return self.classes[index] if self.classes is not None and index < len(self.classes) else None
