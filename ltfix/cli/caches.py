"""The caches and bodies a command works on: those it was given, else those of the default layout."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ltfix.cli import console
from ltfix.cli.options import ArrayNames

if TYPE_CHECKING:
    from ltfix.errors import InputError
    from ltfix.extraction.request import Request
    from ltfix.features.cache import FeatureCache
    from ltfix.predicting.request import PredictRequest

_R = TypeVar("_R", "Request", "PredictRequest")
USUAL_NAMES = ArrayNames()
_ON_TEST = {
    "train": "a head that is fitted on it is no longer measured by it",
    "val": "what is chosen on it looks better there than it is",
}
_OWN_OF_RUNS = ("checkpoint", "checkpoint_key", "ignore_tensors", "pretrained")


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
        hint = f"`ltfix extract` writes them, work=DIR names their project, or name a cache: {spelled}"
        raise InputError(f"no {what} features", where=work / "features" / split, hint=hint)
    return _told_of_test(open_named(place, names), work, split)


def named_head(path: Path, work: Path) -> Path:
    """A head, or what stands in its place, as it was named, without its ending, too (else InputError)."""
    from ltfix.files import completed

    found = completed(path)
    if not found.exists():
        raise absent_head(path, work)
    return found


def absent_head(path: Path, work: Path) -> InputError:
    """What is said of a head that is not there."""
    from ltfix.errors import InputError, nearest

    if path.is_dir():
        hint = "`ltfix fit` writes heads, `ltfix extract` a cache"
        return InputError("no heads in this folder, nor a feature cache", where=path, hint=hint)
    if "=" in path.name:
        hint = "a list of gates has no blanks: --fail-under few=20,all=45"
        return InputError("no such file or folder", where=path, hint=hint)
    beside = path if path.parent != Path() else work / "heads" / path
    known = [file.stem for file in beside.parent.glob("*.safetensors")]
    near = nearest(path.name.removesuffix(".safetensors"), known)
    hint = f"in {beside.parent}, {near}" if known else "`ltfix fit` writes heads"
    return InputError("no such file or folder", where=path, hint=hint)


def open_named(place: Path, names: ArrayNames) -> FeatureCache:
    """The cache of that path."""
    from ltfix.features.read import open_cache

    return open_cache(place, features_key=names.features_key, labels_key=names.labels_key)


def usual(work: Path, split: str) -> Path | None:
    """Where the default layout has a split's features, a folder or one file, if they are there."""
    from ltfix.files import completed

    place = completed(work / "features" / split)
    return place if place.exists() else None


def fitted_on(head: Path, work: Path) -> Path | None:
    """The usual training features: of ``work``, else of the project in whose heads/ a head lies."""
    return usual(work, "train") or usual(Path(os.path.normpath(head.parent / "..")), "train")


def locate_val(
    given: Path | None, train: Path | None, work: Path, names: ArrayNames = USUAL_NAMES
) -> FeatureCache | None:
    """The validation cache: given, or the default layout's where the training cache is from there too."""
    place = given or (usual(work, "val") if train is None else None)
    return None if place is None else _told_of_test(open_named(place, names), work, "val")


def _told_of_test(cache: FeatureCache, work: Path, used: str) -> FeatureCache:
    """The cache; where it is used otherwise than as the test samples, which it seems to be, that is said."""
    test, manifest, words = usual(work, "test"), cache.manifest, re.split("[^a-z]+", cache.path.stem.lower())
    split = None if manifest is None else manifest.source.get("split")
    is_test = split == "test" or (test is not None and test.samefile(cache.path))
    if used in _ON_TEST and (is_test or (split is None and "test" in words)):
        console.note(f"{cache.path} is {'' if is_test else 'called '}the test split: {_ON_TEST[used]}")
    return cache


def of_its_run(request: _R) -> _R:
    """The request, which takes no other weights where its body is a run folder (UsageError)."""
    from ltfix import runfile

    if request.backbone is None or not (Path(request.backbone) / runfile.NAME).is_file():
        return request
    console.refuse_unused(_OWN_OF_RUNS, f"the run folder {request.backbone}")
    own: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(request) if f.name in _OWN_OF_RUNS}
    return dataclasses.replace(request, **own)
