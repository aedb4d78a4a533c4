"""Validation samples and the score every choice is made by. The test split is never read here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ltfix.compute import exact_products
from ltfix.errors import InputError, Unused
from ltfix.evaluation.given import is_same
from ltfix.evaluation.scores import class_accuracy
from ltfix.evaluation.shots import told_absent
from ltfix.features.cache import FeatureCache
from ltfix.features.manifest import JOINED, SEEN
from ltfix.heads.head import Head
from ltfix.heads.vectors import NORM_FLOOR
from ltfix.progress import Progress
from ltfix.seeds import derive
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.samplers import class_members

FRACTION = 0.2
BY = "mean class accuracy"
OWN = "which is what is fitted on: scores are inflated, and what fits it closest leads"
BLOCK_VALUES = 1 << 22  # of logits at once: 16 MB


def class_wise_cut(
    labels: np.ndarray, seed: int, fraction: float = FRACTION, per_class: int | None = None, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split samples by their ``labels`` [N], class by class, into training and validation.

    Every class of two samples or more gives max(1, round(``fraction`` · n)) of them, or ``per_class``
    (but leaves one to train on); a class of one stays in training and out of the score. Folds of one seed
    hold other samples of a class, as long as there are any that none has held yet.

    Returns:
        Indices to train on, and indices to validate on, each sorted.
    """
    held: list[np.ndarray] = []
    rng = np.random.default_rng(derive(seed, "validation"))
    for index in class_members(labels):
        n = len(index)
        if n >= 2:
            wanted = per_class if per_class is not None else max(1, round(fraction * n))
            size = min(wanted, n - 1)
            held.append(np.roll(rng.permutation(index), -fold * size)[:size])
    validation = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def cut(
    data: Features, seed: int, fraction: float = FRACTION, per_class: int | None = None, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`class_wise_cut` of training samples; where each view is an entry, a sample's stay together."""
    train, held = class_wise_cut(data.labels[:: data.copies], seed, fraction, per_class, fold)
    return data.entries_of(train), data.entries_of(held)


def mean_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy of the classes that occur in ``labels`` [N], where ``predicted`` [N] are said to be."""
    recall = class_accuracy(predicted, labels, int(labels.max()) + 1)
    return float(recall[~np.isnan(recall)].mean())


@dataclasses.dataclass(slots=True, eq=False)
class Validation:
    """Samples to choose on: a validation cache, or one of the class-wise cuts.

    Attributes:
        train: what may be fitted on while choosing. held: what is scored. where: in words.
        fresh: whether neither the fits nor the backbone have seen what is scored, as far as is known.
    """

    train: Features
    held: Features
    where: str
    fresh: bool = False

    _x: Tensor | None = dataclasses.field(init=False, repr=False)  # [N, D], the mean over the views

    def __post_init__(self) -> None:
        self.held = self.held.tested()
        self._x = None if self.held.streamed else torch.from_numpy(self.held.mean_view())

    def correct(self, head: Head) -> np.ndarray | None:
        """[N] whether a head for raw features is right on each sample; None where the head is not finite."""
        return self.predict(head) == self.held.labels if head.is_finite else None

    def predict(self, head: Head) -> np.ndarray:
        """The classes [N] that a head for raw features predicts."""
        with exact_products():  # once, as it waits for threads that round
            return np.concatenate([logits.argmax(-1) for _, logits in self.blocks(head)])

    def blocks(self, head: Head) -> Iterator[tuple[slice, np.ndarray]]:
        """Its logits in consecutive blocks, so that memory does not grow with K."""
        rows, n = max(1, BLOCK_VALUES // max(head.weight.shape)), len(self.held)
        for start in range(0, n, rows):
            part = slice(start, min(start + rows, n))
            yield part, self.logits(head, np.arange(part.start, part.stop))

    def logits(self, head: Head, index: np.ndarray) -> np.ndarray:
        """Logits [n, K] of the samples ``index``, their mean over the views.

        By torch, which keeps to the threads that a fit has; numpy's own would take all of the machine's.
        """
        with exact_products():
            if head.transform is None:
                x = torch.from_numpy(self.held.mean_of(index)) if self._x is None else self._x[index]
                return np.asarray(head.logits(x))
            found = head.mean_logits(torch.from_numpy(self.held.views_of(index)))
        self.held.release()
        return np.asarray(found)

    def directions(self, head: Head, most: int | None = None) -> np.ndarray:
        """[n, K] of evenly spaced samples, the centred logits at unit length: all but their scale.

        Args:
            most: so many samples at most; None: as many as fit into a block.
        """
        most = BLOCK_VALUES // max(head.weight.shape) if most is None else most
        size = min(len(self.held), max(1, most))
        z = self.logits(head, np.linspace(0, len(self.held) - 1, size).astype(np.int64))
        z = z / np.maximum(np.abs(z).max(1, keepdims=True), NORM_FLOOR)  # a rate too high leaves 1e30
        z = z - z.mean(1, keepdims=True)
        return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), NORM_FLOOR))


def told_seen(train: FeatureCache, given: Head | None) -> str:
    """What is to be said of cuts of a cache's samples, for who has seen them.

    The ``given`` head that fits begin with, else the backbone, as the cache's own classifier tells. Nobody
    knows of the backbone of a given head, nor of features that ltfix did not extract.
    """
    source = {} if train.manifest is None else train.manifest.source
    parts = [part["fingerprint"] for part in source.get(JOINED, ())]
    if given is not None and given.meta.get("cache") in (train.identity, *parts):
        which = "part of which" if given.meta["cache"] in parts else "which"
        return f", {which} the start was fitted on: scores are inflated, and what stays nearest to it leads"
    if source.get(SEEN):
        return ", part of which the backbone has seen: scores are inflated, only their order counts"
    if train.head is not None:
        return ", which the backbone has seen: scores are inflated, only their order counts"
    if given is None and train.manifest is not None and train.manifest.backbone:
        return ""
    return "; if the backbone was trained on them, scores are inflated, only their order counts"


def is_fresh(train: FeatureCache, held: FeatureCache | None, given: Head | None) -> bool:
    """Whether neither what is scored nor the backbone has seen what is chosen on, as far as is known."""
    if held is None:
        return not told_seen(train, given)
    source = {} if train.manifest is None else train.manifest.source
    seen = [part["fingerprint"] for part in source.get(JOINED, ())]
    seen += [] if given is None else [given.meta.get("cache")]
    return not is_same(train, held) and held.identity not in seen


def validation_samples(
    data: Features,
    held: FeatureCache | None,
    *,
    seed: int,
    seen: str = "",
    fraction: float = FRACTION,
    per_class: int | None = None,
    folds: int = 1,
    stream: str = "auto",
    own: bool = False,
    fresh: bool = False,
    progress: Progress,
) -> list[Validation]:
    """A validation cache, else ``folds`` class-wise cuts of the training samples.

    Args:
        seen: of :func:`told_seen`.
        stream: how a validation cache is read, as :meth:`Features.of` has it.
        own: whether that cache is the training samples. fresh: of :func:`is_fresh`.

    Raises:
        InputError: nothing can be cut. UsageError: both a cache and a cut are asked for.
    """
    if held is not None:
        if per_class is not None:
            raise Unused("a validation cache is given, so nothing is cut", where="val_per_class")
        for line in told_absent(held.labels, data.counts, held.classes, held.path):
            progress.note(line)
        views = "first" if data.views_used == "first" else "random"
        where = f"the validation cache {held.path.name}{f', {OWN}' if own else ''}"
        return [Validation(data, Features.of(held, views, stream), where, fresh)]
    parts = [cut(data, seed, fraction, per_class, fold) for fold in range(folds)]
    if not len(parts[0][1]):
        hint = "give val, or the values themselves"
        raise InputError("every class has one sample, so none can be held out to choose on", hint=hint)
    short = int((data.counts[data.counts > 0] < (2 if per_class is None else per_class + 1)).sum())
    if short:
        progress.note(f"{short} classes have too few samples to give their share to the validation cut")
    share = f"{per_class} samples a class" if per_class is not None else f"{fraction:.0%}"
    cuts, each = ("a class-wise cut", "") if folds == 1 else (f"{folds} class-wise cuts", " each")
    drawn = f", seed {seed}" if seed else ""
    where = (
        f"{cuts} of the training samples ({share}, {len(parts[0][1]) // data.copies} samples{each}{drawn})"
    )
    return [Validation(data.subset(t), data.subset(aside), where + seen, fresh) for t, aside in parts]
