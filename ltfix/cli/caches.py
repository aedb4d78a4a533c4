"""The caches a command works on: those it was given, else those of the default layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ltfix.cli.options import ArrayNames

if TYPE_CHECKING:
    from ltfix.features.cache import FeatureCache

USUAL_NAMES = ArrayNames()


def locate(
    given: Path | None, work: Path, split: str, spelled: str, names: ArrayNames = USUAL_NAMES
) -> FeatureCache:
    """The cache that was given, or the split's below ``work``; never another split's in its place.

    Args:
        spelled: how one is given, for the hint: ``--train CACHE``.
        names: what its arrays are called.

    Raises:
        InputError: neither is there, or it is wrong.
    """
    from ltfix.errors import InputError

    place = given or usual(work, split)
    if place is None:
        what = "training" if split == "train" else split
        hint = f"`ltfix extract` writes them, or name a cache: {spelled}"
        raise InputError(f"no {what} features", where=work / "features" / split, hint=hint)
    return open_named(place, names)


def open_named(place: Path, names: ArrayNames) -> FeatureCache:
    """The cache of that path."""
    from ltfix.features.read import open_cache

    return open_cache(place, features_key=names.features_key, labels_key=names.labels_key)


def usual(work: Path, split: str) -> Path | None:
    """Where the default layout has a split's features, if they are there."""
    place = work / "features" / split
    return place if place.exists() else None


def locate_val(
    given: Path | None, train: Path | None, work: Path, names: ArrayNames = USUAL_NAMES
) -> FeatureCache | None:
    """The validation cache: given, or the default layout's where the training cache is from there too."""
    place = given or (usual(work, "val") if train is None else None)
    return None if place is None else open_named(place, names)
