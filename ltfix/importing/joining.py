"""Feature caches of one backbone joined into one: pictures that came later, without extracting all anew."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, Unused, UsageError, nearest
from ltfix.features import manifest as manifests
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import CachePlan, differences
from ltfix.features.manifest import Manifest
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.images.source import read_classes
from ltfix.importing.request import ImportRequest
from ltfix.importing.writing import write
from ltfix.numerals import counted, whole_number
from ltfix.progress import Progress

_MAY_DIFFER = {"timm", "torch", "weights", "run", "pillow", manifests.DEPTHS}
"""Of what manifests say of backbone and preprocessing: versions, names of what has a hash, and remarks."""
_NAMED = ("folder", "tar", "zip", manifests.JOINED)
"""Sources whose classes are called as they are; elsewhere 0 to K - 1 may stand for names that nobody gave."""
_BLOCK = 1024


def join(sources: Sequence[Path], out: Path, request: ImportRequest, progress: Progress) -> FeatureCache:
    """Caches of one backbone as one, in their order; see :func:`ltfix.import_features`.

    Raises:
        UsageError: options that caches have no use for, or ``out`` is one of them.
        InputError: they are not of one backbone, number classes otherwise, or share a picture.
    """
    for name in ("features", "labels", "head_from"):
        if getattr(request, name) is not None:
            raise Unused("a feature cache has its own", where=name)
    caches = [open_cache(path) for path in sources]
    if any(out.exists() and out.samefile(path) for path in sources):
        hint = "choose another by out=DIR, or join anew what it was joined of and what came since"
        raise UsageError("it is one of those that are joined", where=out, hint=hint)
    made = _origin(caches, progress)  # now all are unlabelled, or none
    if caches[0].unlabelled and request.classes is not None:
        raise Unused("the samples have no labels", where="classes")
    classes = () if caches[0].unlabelled else _classes(caches, request)
    numbers = [np.arange(1) if one.unlabelled else _numbers(one, classes, progress) for one in caches]
    labels = np.concatenate([own[cache.labels] for own, cache in zip(numbers, caches, strict=True)])
    samples = [cache.samples or [f"{cache.path.name}:{row}" for row in range(cache.n)] for cache in caches]
    for pair in itertools.combinations(zip(caches, samples, strict=True), 2):
        _refuse_twice(*pair, progress)
    plan = CachePlan(
        samples=list(itertools.chain(*samples)),
        labels=labels,
        classes=classes,
        dim=caches[0].dim,
        views=caches[0].views,
        dtype=request.dtype or max(shard.dtype.name for cache in caches for shard in cache.shards),
        backbone={} if made is None else made.backbone,
        preprocess={} if made is None else _with_depths(made, caches),
        source=_source(caches),
        decides={},
        run={},
        shard_rows=request.shard_rows,
        kept=_columns(caches),
        skipped=[name for cache in caches if cache.manifest is not None for name in cache.manifest.skipped],
    )
    head, shards = _head(caches, numbers, plan, progress), [shard for c in caches for shard in c.shards]
    return write(out, plan, shards, head, out, overwrite=request.overwrite, progress=progress)


def _origin(caches: Sequence[FeatureCache], progress: Progress) -> Manifest | None:
    """The first manifest that says what made the features, if any; InputError where others differ."""
    known = [cache for cache in caches if cache.manifest is not None and cache.manifest.backbone]
    first = (known or caches)[0]
    for cache in caches:
        if not all(one.unlabelled for one in caches):
            cache.demand_labels()
        theirs = _made(cache)
        ours = {name: value for name, value in _made(first).items() if name in theirs}
        if ours != theirs:
            what = f"{first.path} and {cache.path} are of different features; {differences(ours, theirs)}"
            raise InputError(what, hint="extract with the backbone, preprocessing and views of the first")
        if known and cache not in known:
            progress.note(f"{cache.path} does not say what made its features: taken for the same backbone")
    return known[0].manifest if known else None


def _made(cache: FeatureCache) -> dict[str, Any]:
    """What features must have in common: shape and, where it is known, what made them."""
    manifest, found = cache.manifest, dict[str, Any](views=cache.views, dim=cache.dim)
    if manifest is not None and manifest.backbone:
        for name, record in (("backbone", manifest.backbone), ("preprocess", manifest.preprocess)):
            found[name] = {key: value for key, value in record.items() if key not in _MAY_DIFFER}
    return found


def _may_be_numbers(cache: FeatureCache) -> bool:
    """Whether its classes are 0 to K - 1 and nothing says that folders are called so."""
    kind = None if cache.manifest is None else cache.manifest.source.get("kind")
    return cache.classes is None or (kind not in _NAMED and cache.classes == counted(cache.n_classes))


def _whole(names: Iterable[str]) -> bool:
    return all(whole_number(name) is not None for name in names)


def _classes(caches: Sequence[FeatureCache], request: ImportRequest) -> tuple[str, ...]:
    """Those that are asked for, else all names as they come: the first cache keeps its numbers."""
    if request.classes is not None:
        given = request.classes
        return read_classes(given) if isinstance(given, str | Path) else tuple(given)
    named = [cache for cache in caches if not _may_be_numbers(cache)]
    if _whole(name for cache in named for name in cache.classes or ()):  # so are names that may be numbers
        named = [cache for cache in caches if cache.classes is not None]
    names = dict.fromkeys(name for cache in named for name in cache.classes or ())
    return tuple(names) or counted(max(cache.n_classes for cache in caches))


def _numbers(cache: FeatureCache, classes: tuple[str, ...], progress: Progress) -> np.ndarray:
    """What each of its classes is among these (else InputError), [K] int64; numbers for names are told."""
    doubtful, strange = _may_be_numbers(cache), set(cache.classes or ()) - set(classes)
    if cache.classes is None or (strange and doubtful):
        _demand_places(cache, classes)
        if classes[0] != "0":
            progress.note(f"the classes of {cache.path} are numbers: 0 is taken for {classes[0]}")
        return np.arange(cache.n_classes)
    if strange:
        name = min(strange)
        what = f"its class {name!r} is none of the {len(classes)} that are given"
        raise InputError(what, where=cache.path, hint=nearest(name, classes))
    number = {name: index for index, name in enumerate(classes)}
    found = np.array([number[name] for name in cache.classes], np.int64)
    if doubtful and found.tolist() != list(range(cache.n_classes)):
        progress.note(f"the classes of {cache.path} are numbers: taken for the classes that are called so")
    return found


def _demand_places(cache: FeatureCache, classes: tuple[str, ...]) -> None:
    """Refuse to take its numbers for places among these classes where that may be wrong."""
    k, bare = cache.n_classes, cache.manifest is None and cache.head is None
    if _whole(classes) and classes[:k] != counted(k):
        what = f"its classes are numbers, and other numbers are names: {', '.join(classes[:5])}"
    elif k != len(classes) and not (bare and k < len(classes)):  # whose last classes may have no sample
        what = f"its classes are numbers, {k} of them, where the joined cache has {len(classes)} classes"
    else:
        return
    made = "import" if cache.manifest is None else manifests.command_of(cache.manifest.source)
    raise InputError(what, where=cache.path, hint=f"{made} it with classes=FILE, which names them")


def _refuse_twice(
    one: tuple[FeatureCache, Sequence[str]], other: tuple[FeatureCache, Sequence[str]], progress: Progress
) -> None:
    """Refuse a picture that is in both (InputError); of other pictures with the same names it is said."""
    (a, names), (b, theirs) = one, other
    place = {name: row for row, name in enumerate(names)}
    both = np.array([(place[name], row) for row, name in enumerate(theirs) if name in place], np.int64)
    for start in range(0, len(both), _BLOCK):
        rows = both[start : start + _BLOCK]
        x, y = (cache.rows(own).astype(np.float32) for cache, own in zip((a, b), rows.T, strict=True))
        same = np.abs(x - y).sum((1, 2)) <= 0.01 * np.abs(x).sum((1, 2))
        if same.any():
            what = f"{theirs[rows[same.argmax(), 1]]} is in {a.path} and in {b.path}"
            raise InputError(what, hint="join what the first has not")
    if len(both):
        first = theirs[both[0, 1]]
        progress.note(f"names in both {a.path} and {b.path}, of different pictures: {len(both)} ({first}, …)")


def _source(caches: Sequence[FeatureCache]) -> dict[str, Any]:
    """What was joined: name, samples and fingerprint of each, of a bare file its hash."""
    joined = [
        {"name": c.path.name, "n": c.n, "fingerprint": c.fingerprint or files.sha256_file(c.path)}
        for c in caches
    ]
    splits = [cache.manifest.source.get("split") for cache in caches if cache.manifest is not None]
    return {
        "kind": manifests.JOINED,
        "root": " + ".join(cache.path.name for cache in caches),
        "split": next(filter(None, splits), None),
        "digest": files.sha256_json(joined),
        "joined": joined,
    } | ({"unlabelled": True} if caches[0].unlabelled else {})


def _with_depths(made: Manifest, caches: Sequence[FeatureCache]) -> dict[str, Any]:
    """The preprocessing, with how images of more than 8 bits were scaled in any of the caches."""
    found = [c.manifest.preprocess.get(manifests.DEPTHS, ()) for c in caches if c.manifest is not None]
    depths = sorted(set(itertools.chain(*found)))
    return made.preprocess | ({manifests.DEPTHS: depths} if depths else {})


def _columns(caches: Sequence[FeatureCache]) -> list[str] | None:
    """The further columns of every sample, where a cache has any; empty objects of the others."""
    kept = [cache.columns for cache in caches]
    lines = [["{}"] * cache.n if own is None else own for cache, own in zip(caches, kept, strict=True)]
    return None if all(own is None for own in kept) else list(itertools.chain(*lines))


def _head(
    caches: Sequence[FeatureCache], numbers: Sequence[np.ndarray], plan: CachePlan, progress: Progress
) -> Head | None:
    """The stage-1 classifier of the first cache that has one of all these classes."""
    given = [cache for cache in caches if cache.head is not None]
    for cache, own in zip(caches, numbers, strict=True):
        head = cache.head
        if head is not None and np.array_equal(own, np.arange(len(plan.classes))):
            counts = head.counts
            if counts is None or np.array_equal(counts, cache.counts):  # else it is of a test split
                counts = np.bincount(plan.labels, minlength=len(plan.classes))
            return dataclasses.replace(head, classes=tuple(plan.classes), counts=counts)
    if given:
        progress.note(f"the stage-1 classifier of {given[0].path} is of other classes and is left out")
    return None
