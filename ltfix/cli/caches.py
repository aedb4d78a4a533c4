"""The caches, heads and bodies a command works on: those it was given, else those of the default layout."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ltfix.cli import console
from ltfix.cli.options import ArrayNames

if TYPE_CHECKING:
    from ltfix.errors import InputError
    from ltfix.evaluation.describe import Description
    from ltfix.evaluation.given import HeadOrPath
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head

USUAL_NAMES = ArrayNames()
_ON_TEST = {
    "train": "a head that is fitted on it is no longer measured by it",
    "val": "what is chosen on it looks better there than it is",
}


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

    demand_here(given or Path(), work)
    place = given or usual(work, split)
    if place is None:
        what = "training" if split == "train" else split
        hint = "`ltfix extract` writes them (import others), work=DIR names their project, or name a cache: "
        raise InputError(f"no {what} features", where=work / "features" / split, hint=hint + spelled)
    return _told_of_test(open_named(place, names), work, split)


def demand_here(path: Path, work: Path) -> None:
    """Refuse what is not here but below ``work``, where no path that is named begins (InputError)."""
    from ltfix.errors import InputError
    from ltfix.files import completed

    below = completed(work / path)
    if below.exists() and not completed(path).exists():
        raise InputError("no such file or folder", where=path, hint=f"did you mean {below}?")


def named_head(path: Path, work: Path, *, alone: bool = False, exports: bool = False) -> Path:
    """A head, or unless ``alone`` what stands in its place, as it was named, without its ending, too (else
    InputError, as of an export, unless ``exports`` are taken)."""
    from ltfix.errors import InputError
    from ltfix.exporting.request import is_export
    from ltfix.files import completed

    demand_here(path, work)
    found = completed(path)
    if found.name == "model.safetensors" and _described(found.parent):  # the weights of an export
        found = found.parent
    if not exports and found.exists() and is_export(found):
        told = _described(found)
        if told is not None or not found.is_dir():  # a config.json beside heads may be anything
            own = None if told is None else _exported_from(told, work)
            hint = f"take the head that it was made of{'' if own is None else f': {own}'}"
            raise InputError("an export, not a head", where=path, hint=hint)
    if not found.exists() or (alone and found.is_dir()):
        raise absent_head(path, work)
    return found


def _described(path: Path) -> Description | None:
    """What an export's record says; None without one, or without the extra that reads it."""
    from ltfix.errors import LtfixError
    from ltfix.exporting.described import describe_export

    with contextlib.suppress(LtfixError):
        return describe_export(path)
    return None


def _exported_from(export: Description, work: Path) -> Path | None:
    """The head in heads/ that an export was made of, as its record says."""
    from ltfix import files

    known = export.told.get("head")
    heads = sorted((work / "heads").glob("*.safetensors")) if known else []
    return next((head for head in heads if files.sha256_file(head) == known), None)


def absent_head(path: Path, work: Path) -> InputError:
    """What is said of a head that is not there."""
    from ltfix.errors import InputError, nearest

    beside = path if path.parent != Path() else work / "heads" / path
    known = [file.stem for file in beside.parent.glob("*.safetensors")]
    if path.is_dir():
        what = "no heads in this folder, nor a feature cache"
        what = "a folder, not a head" if any(path.glob("*.safetensors")) else what
        hint = "`ltfix fit` writes heads, `ltfix extract` a cache"
        hint = f"did you mean {beside}.safetensors?" if path.name in known else hint
        return InputError(what, where=path, hint=hint)
    if "=" in path.name:
        hint = "a list of gates has no blanks: --fail-under few=20,all=45"
        return InputError("no such file or folder", where=path, hint=hint)
    near = nearest(path.name.removesuffix(".safetensors"), known)
    hint = f"in {beside.parent}, {near}" if known else "`ltfix fit` writes heads"
    return InputError("no such file or folder", where=path, hint=hint)


def chosen_heads(
    named: Sequence[Path],
    cache: FeatureCache,
    work: Path,
    names: ArrayNames = USUAL_NAMES,
    *,
    gate: str | None = None,
) -> list[HeadOrPath]:
    """Heads as they were named: without their ending, or by a folder of heads; else those in heads/.

    Of a folder those of the cache's D and one K, or with a ``gate``, the option's name, all, so that none
    passes for want of a head.

    Raises:
        InputError: there is none of that name, and the nearest are offered; a gate for heads of several K.
    """
    from ltfix.evaluation.given import heads_in, open_given
    from ltfix.features.manifest import is_cache
    from ltfix.heads.head import Head

    def fitting(kept: Sequence[HeadOrPath]) -> Sequence[HeadOrPath]:
        opened = list(map(open_given, kept))
        heads = [one for one in opened if isinstance(one, Head)]
        if gate is not None:
            _demand_alike(heads, gate)
            return opened
        return [*(one for one in opened if not isinstance(one, Head)), *_that_fit(heads, cache, work)]

    if not named:
        return [*fitting(heads_in(work / "heads"))]
    found: list[HeadOrPath] = []
    for path in (named_head(head, work) for head in named):
        if kept := heads_in(path):
            found += fitting(kept)
        elif path.is_dir() and not is_cache(path):
            raise absent_head(path, work)
        else:
            found.append(open_named(path, names) if path.suffix == ".npz" else path)
    return found


def _demand_alike(heads: Sequence[Head], gate: str) -> None:
    """Refuse a folder whose heads one gate cannot be for, as their K or D differ (InputError)."""
    from ltfix.errors import InputError

    sizes = dict[tuple[int, int], str]()
    for head in heads:
        sizes.setdefault((head.n_classes, head.dim), _names([head]))
    if len(sizes) > 1:
        told = [f"{name} (K = {k}, D = {dim})" for (k, dim), name in sizes.items()]
        command = shlex.join(["ltfix", "evaluate", str(heads[0].path)])
        hint = f"name those that it is for, as `{command}`"
        what = f"a gate is for all heads of the folder, and {' and '.join(told[:2])} have no table in common"
        raise InputError(what, where=gate, hint=hint)


def _that_fit(heads: Sequence[Head], cache: FeatureCache, work: Path) -> Sequence[Head]:
    """The heads whose D is the cache's, and of these the ones whose K is, else the K that most have."""
    fitting, others = _alike(heads, [head.dim for head in heads], [cache.dim])
    if others:
        console.note(f"left out, since their D is not {cache.dim}: {_names(others)}")
    classes = [head.n_classes for head in fitting]
    usual = sorted(classes, key=classes.count, reverse=True)
    fitting, others = _alike(fitting, classes, [cache.n_classes, *usual])
    if others:
        place = [] if work == Path() else ["--work", str(work)]
        command = shlex.join(["ltfix", "evaluate", str(others[0].path), *place])
        told = "scores it" if len(others) == 1 else "scores the first of them"
        told = f"left out, since their K is not {fitting[0].n_classes}: {_names(others)}; `{command}` {told}"
        console.note(told)
    return fitting


def _alike(
    heads: Sequence[Head], numbers: Sequence[int], wanted: Sequence[int]
) -> tuple[Sequence[Head], list[Head]]:
    """The heads that have the first number wanted that any has, and the others; if none has, all."""
    number = next((one for one in wanted if one in numbers), None)
    fitting = [head for head, its in zip(heads, numbers, strict=True) if its == number]
    return fitting or heads, [head for head in heads if fitting and head not in fitting]


def _names(heads: Iterable[Head]) -> str:
    return ", ".join(head.path.name for head in heads if head.path)


def open_named(place: Path, names: ArrayNames) -> FeatureCache:
    """The cache of that path."""
    from ltfix.features.read import open_cache

    return open_cache(place, features_key=names.features_key, labels_key=names.labels_key)


def usual(work: Path, split: str) -> Path | None:
    """Where the default layout has a split's features, a folder or one file, if they are there."""
    from ltfix.files import completed

    place = completed(work / "features" / split)
    return place if place.exists() else None


def project_of(head: Path) -> Path:
    """The project in whose heads/ a head lies, or would."""
    return Path(os.path.normpath(head.parent / ".."))


def fitted_on(head: Path, work: Path) -> Path | None:
    """The features that a head was fitted on (see `cache_of`), else the usual training features."""
    from ltfix.errors import LtfixError
    from ltfix.heads.head import load_head

    with contextlib.suppress(LtfixError):  # an export
        if place := cache_of(load_head(head), work):
            return place
    return usual(work, "train") or usual(project_of(head), "train")


def cache_of(head: Head, work: Path) -> Path | None:
    """The features that a head was fitted on, of ``work`` or of the project in whose heads/ it lies, where it
    says and they are there."""
    known = head.meta.get("cache")
    projects = (work, *([] if head.path is None else [project_of(head.path)])) if known is not None else ()
    found = (known_caches(project).get(str(known)) for project in projects)
    return next(filter(None, found), None)


def known_caches(project: Path) -> dict[str, Path]:
    """The caches of a project, folders and single ``.safetensors``, by what heads know of them."""
    from ltfix.errors import LtfixError
    from ltfix.features.manifest import read_manifest
    from ltfix.features.read import open_cache

    found = dict[str, Path]()
    for path in sorted(project.glob("features/*")):
        with contextlib.suppress(LtfixError):  # no cache, or a damaged one that nobody named
            packed = path.suffix == ".safetensors"
            found.setdefault(open_cache(path).identity if packed else read_manifest(path).fingerprint, path)
    return found


def locate_val(
    given: Path | None,
    train: Path | None,
    work: Path,
    names: ArrayNames = USUAL_NAMES,
    test: FeatureCache | None = None,
) -> FeatureCache | None:
    """The validation cache: given, or the default layout's where the training cache is from there too. Of
    ``test`` itself nothing is said: it will be refused."""
    from ltfix.evaluation.given import is_same

    demand_here(given or Path(), work)
    place = given or (usual(work, "val") if train is None else None)
    cache = None if place is None else open_named(place, names)
    return cache if cache is None or is_same(cache, test) else _told_of_test(cache, work, "val")


def _told_of_test(cache: FeatureCache, work: Path, used: str) -> FeatureCache:
    """The cache, with labels (else InputError); where it is used otherwise than as the test samples, which it
    seems to be, that is said."""
    cache.demand_labels()
    test, manifest, words = usual(work, "test"), cache.manifest, re.split("[^a-z]+", cache.path.stem.lower())
    split = None if manifest is None else manifest.source.get("split")
    is_test = split == "test" or (test is not None and test.samefile(cache.path))
    if used in _ON_TEST and (is_test or (split is None and "test" in words)):
        console.note(f"{cache.path} is {'' if is_test else 'called '}the test split: {_ON_TEST[used]}")
    return cache


def refuse_other_weights(backbone: str | None) -> None:
    """Refuse other weights where the body is a run folder (Unused)."""
    from ltfix import runfile

    if backbone is not None and (Path(backbone) / runfile.NAME).is_file():
        console.refuse_unused(
            ("checkpoint", "checkpoint_key", "ignore_tensors", "pretrained"), f"the run folder {backbone}"
        )
