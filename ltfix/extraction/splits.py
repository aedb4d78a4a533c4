"""Which splits to extract, with which classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import cache_state
from ltfix.images.longtail import cut_long_tail
from ltfix.images.source import Source, order_splits, read_classes
from ltfix.images.split import ABSENT, Split


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The splits to extract.

    Attributes:
        splits: in order, train first.
        train_counts: [K] training samples per class, or None where there is no training split to count.
    """

    splits: list[Split]
    train_counts: np.ndarray | None


def choose_splits(
    source: Source,
    names: Sequence[str],
    out: Path,
    *,
    classes: Path | None = None,
    imbalance_factor: float | None = None,
    imbalance_seed: int = 0,
    limit: int | None = None,
) -> Chosen:
    """Open the splits ``names`` (default: all of the source) with one common list of classes.

    The classes are those of ``classes``, else of the training split when it is among ``names``, else
    of the training cache in ``out``, else of the source's training split.

    Args:
        source: the data set.
        names: the splits asked for.
        out: the folder of the caches, one a split.
        classes: a file of class names, one a line.
        imbalance_factor: cut the training split to this long tail.
        imbalance_seed: decides which of its images stay.
        limit: at most so many samples a split, evenly spaced.

    Raises:
        UsageError: the classes of a split other than train cannot be known; a limit below 1.
        InputError: a split, a class or an image is missing.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be at least 1, not {limit}")
    ordered = order_splits(list(names) or source.splits())
    cached = _train_cache(out)
    order = _classes(source, ordered, classes, cached)
    train = None
    if "train" in source.splits() and ("train" in ordered or cached is None):
        train = source.split("train", order)
        if imbalance_factor is not None:
            train = cut_long_tail(train, imbalance_factor, imbalance_seed)
        train = train.limit(limit)
    counts = train.counts if train is not None else None
    if "train" not in ordered and cached is not None and cached.classes == order:
        counts = cached.counts
    splits = []
    for name in ordered:
        split = train if name == "train" and train is not None else source.split(name, order).limit(limit)
        splits.append(split)
    return Chosen(splits, counts)


def _classes(
    source: Source, names: Sequence[str], file: Path | None, cached: FeatureCache | None
) -> tuple[str, ...]:
    if file is not None:
        return read_classes(file)
    if "train" in names:
        return source.classes("train")
    if cached is not None and cached.classes is not None:
        return cached.classes
    if "train" in source.splits():
        return source.classes("train")
    raise UsageError(
        f"the classes of split {names[0]!r} are those of the training split, and there is none",
        where=source.root,
        hint="extract train first, or name them with --classes FILE",
    )


def _train_cache(out: Path) -> FeatureCache | None:
    folder = out / "train"
    return open_cache(folder) if cache_state(folder)[0] == "finished" else None


def check_present(split: Split) -> None:
    """Refuse a split with missing files before hours are spent on it.

    Raises:
        InputError: naming the first.
    """
    missing = [name for name, size in zip(split.samples, split.sizes, strict=True) if size == ABSENT]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(split):,} images of {split.name} are not there",
            where=missing[0],
            hint="--root names the folder that a list's paths start from; --on-error skip leaves them out",
        )
