"""Which splits to extract, with which classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.extraction.request import ImageRequest, Request
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import cache_state
from ltfix.images.decode import FileReader
from ltfix.images.longtail import cut_long_tail
from ltfix.images.source import Source, order_splits, read_classes
from ltfix.images.split import ABSENT, Split


def choose_splits(source: Source, request: Request) -> tuple[list[Split], np.ndarray | None]:
    """Open the splits asked for (default: all of the source) with one common list of classes.

    The classes are those that the request names, else of the training split when it is asked for, else
    of the training cache beside which the others go, else of the source's training split.

    Returns:
        The splits, train first, and the training samples per class [K], or None where there is no training
        split to count.

    Raises:
        UsageError: the classes of a split other than train cannot be known.
        InputError: a split, a class or an image is missing.
    """
    ordered = order_splits(list(request.split) or source.splits())
    cached = _train_cache(Path(request.out))
    classes = class_names(request) or _classes(source, ordered, cached)
    train = None
    if "train" in source.splits() and ("train" in ordered or cached is None):
        train = cut_training_split(source.split("train", classes), request)
    counts = train.counts if train is not None else None
    if "train" not in ordered and cached is not None and cached.classes == classes:
        counts = cached.counts
    splits = [
        train if name == "train" and train is not None else source.split(name, classes).limit(request.limit)
        for name in ordered
    ]
    return splits, counts


def class_names(request: ImageRequest) -> tuple[str, ...] | None:
    """The class names that the request gives, or None where the data says them.

    Raises:
        InputError: the file is missing, or its names are no list of classes.
    """
    given = request.classes
    if given is None:
        return None
    return read_classes(given) if isinstance(given, str | Path) else tuple(given)


def cut_training_split(split: Split, request: ImageRequest) -> Split:
    """The training split cut to the long tail and the number of samples that were asked for.

    Raises:
        UsageError: an imbalance factor below 1.
    """
    if request.imbalance_factor is not None:
        split = cut_long_tail(split, request.imbalance_factor, request.imbalance_seed)
    return split.limit(request.limit)


def _classes(source: Source, names: Sequence[str], cached: FeatureCache | None) -> tuple[str, ...]:
    if "train" in names:
        return source.classes("train")
    if cached is not None and cached.classes is not None:
        return cached.classes
    if "train" in source.splits():
        return source.classes("train")
    raise UsageError(
        f"the classes of split {names[0]!r} are those of the training split, and there is none",
        where=source.root,
        hint="extract train first, or name them with classes=FILE",
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
        cause = split.read.why_missing(missing[0]) if isinstance(split.read, FileReader) else None
        raise InputError(
            f"{len(missing):,} of {len(split):,} images of {split.name} are not there",
            where=missing[0],
            hint=cause or "root=DIR says where a list's paths start from; on_error=skip leaves them out",
        )
