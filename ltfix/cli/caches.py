"""The caches a command works on: those it was given, else those of the default layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ltfix.features.cache import FeatureCache


def locate(given: Path | None, work: Path, split: str, spelled: str) -> FeatureCache:
    """The cache that was given, or the split's below ``work``; never another split's in its place.

    Args:
        spelled: how one is given, for the hint: ``--train CACHE``.

    Raises:
        InputError: neither is there, or it is wrong.
    """
    from ltfix.errors import InputError
    from ltfix.features.read import open_cache

    usual = work / "features" / split
    if given is None and not usual.exists():
        what = "training" if split == "train" else split
        hint = f"`ltfix extract` writes them, or name a cache: {spelled}"
        raise InputError(f"no {what} features", where=usual, hint=hint)
    return open_cache(given or usual)


def locate_val(given: Path | None, train: Path | None, work: Path) -> FeatureCache | None:
    """The validation cache: given, or the default layout's where the training cache is from there too."""
    from ltfix.features.read import open_cache

    usual = work / "features" / "val"
    place = given or (usual if train is None and usual.exists() else None)
    return None if place is None else open_cache(place)
