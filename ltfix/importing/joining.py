"""Feature caches of one backbone joined into one: pictures that came later, without extracting all anew."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError, nearest
from ltfix.features import manifest as manifests
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import CachePlan, differences
from ltfix.features.manifest import Manifest
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.images.source import read_classes
from ltfix.importing.request import ImportRequest
from ltfix.importing.writing import write
from ltfix.progress import Progress

_MAY_DIFFER = {"timm", "torch", "weights", "run", "pillow", manifests.DEPTHS}
"""Of what manifests say of backbone and preprocessing: versions, names of what has a hash, and remarks."""
_BLOCK = 1024


def is_cache(path: Path) -> bool:
    """Whether a folder is a feature cache, finished or not."""
    return any((path / name).exists() for name in (manifests.NAME, manifests.PARTIAL))


def join(sources: Sequence[Path], out: Path, request: ImportRequest, progress: Progress) -> FeatureCache:
    """Caches of one backbone as one, in their order; see :func:`ltfix.import_features`.

    Raises:
        UsageError: options that caches have no use for, or ``out`` is one of them.
        InputError: they are not of one backbone, number classes otherwise, or share a picture.
    """
    for name in ("features", "labels", "head_from"):
        if getattr(request, name) is not None:
            raise UsageError("a feature cache has its own", where=name, hint="leave it out")
    caches = [open_cache(path) for path in sources]
    if any(out.exists() and out.samefile(path) for path in sources):
        raise UsageError("it is one of those that are joined", where=out, hint="choose another by out=DIR")
    made, dtypes = _origin(caches, progress), [c.manifest.dtype for c in caches if c.manifest is not None]
    classes = _classes(caches, request)
    labels = np.concatenate([_labels(cache, classes) for cache in caches])
    samples = [cache.samples or [f"{cache.path.name}:{row}" for row in range(cache.n)] for cache in caches]
    for pair in itertools.combinations(zip(caches, samples, strict=True), 2):
        _refuse_twice(*pair, progress)
    plan = CachePlan(
        samples=list(itertools.chain(*samples)),
        labels=labels,
        classes=classes,
        dim=caches[0].dim,
        views=caches[0].views,
        dtype=request.dtype or max(dtypes, default="float16"),
        backbone={} if made is None else made.backbone,
        preprocess={} if made is None else made.preprocess,
        source=_source(caches),
        decides={},
        run={},
        shard_rows=request.shard_rows,
        kept=_columns(caches),
    )
    head, shards = _head(caches, plan, progress), [shard for cache in caches for shard in cache.shards]
    return write(out, plan, shards, head, out, overwrite=request.overwrite, progress=progress)


def _origin(caches: Sequence[FeatureCache], progress: Progress) -> Manifest | None:
    """The first manifest that says what made the features, if there is one.

    Raises:
        InputError: they have another shape or origin, or no labels; both caches are named.
    """
    known = [cache for cache in caches if cache.manifest is not None and cache.manifest.backbone]
    first = (known or caches)[0]
    for cache in caches:
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


def _names(cache: FeatureCache) -> tuple[str, ...] | None:
    """The names of its classes; None where they are numbers alone."""
    numbers = tuple(map(str, range(cache.n_classes)))
    return None if cache.classes == numbers else cache.classes


def _classes(caches: Sequence[FeatureCache], request: ImportRequest) -> tuple[str, ...]:
    """Those that are asked for, else all names as they come: the first cache keeps its numbers."""
    if request.classes is not None:
        given = request.classes
        return read_classes(given) if isinstance(given, str | Path) else tuple(given)
    named = dict.fromkeys(name for cache in caches for name in _names(cache) or ())
    return tuple(named or map(str, range(max(cache.n_classes for cache in caches))))


def _labels(cache: FeatureCache, classes: tuple[str, ...]) -> np.ndarray:
    """Labels [n] as numbers of these classes."""
    names, k = _names(cache), len(classes)
    if names is None:
        bare = cache.manifest is None and cache.head is None  # its last classes may have no sample in it
        if cache.n_classes == k or (bare and cache.n_classes < k):
            return cache.labels
        what = f"its classes are numbers, {cache.n_classes} of them, where the joined cache has {k} classes"
        raise InputError(what, where=cache.path, hint="import it with classes=FILE, which names them")
    strange = next((name for name in names if name not in classes), None)
    if strange is not None:
        what = f"its class {strange!r} is none of the {k} that are given"
        raise InputError(what, where=cache.path, hint=nearest(strange, classes))
    number = {name: index for index, name in enumerate(classes)}
    labels: np.ndarray = np.array([number[name] for name in names], np.int64)[cache.labels]
    return labels


def _refuse_twice(
    one: tuple[FeatureCache, Sequence[str]], other: tuple[FeatureCache, Sequence[str]], progress: Progress
) -> None:
    """A picture in both would count twice; of other pictures with the same names it is said.

    Raises:
        InputError: features by the same name are the same but for rounding.
    """
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
    }


def _columns(caches: Sequence[FeatureCache]) -> list[str] | None:
    """The further columns of every sample, where a cache has any; empty objects of the others."""
    kept = [cache.manifest is not None and cache.manifest.columns is not None for cache in caches]
    lines = [
        (cache.path / manifests.COLUMNS).read_text(encoding="utf-8").splitlines() if own else ["{}"] * cache.n
        for cache, own in zip(caches, kept, strict=True)
    ]
    return list(itertools.chain(*lines)) if any(kept) else None


def _head(caches: Sequence[FeatureCache], plan: CachePlan, progress: Progress) -> Head | None:
    """The stage-1 classifier of the first cache that has one of all these classes."""
    given = [cache for cache in caches if cache.head is not None]
    for cache in given:
        head = cache.head
        if head is not None and (_names(cache) or plan.classes) == plan.classes:
            counts = head.counts
            if counts is None or np.array_equal(counts, cache.counts):  # else it is of a test split
                counts = np.bincount(plan.labels, minlength=len(plan.classes))
            return dataclasses.replace(head, classes=tuple(plan.classes), counts=counts)
    if given:
        progress.note(f"the stage-1 classifier of {given[0].path} is of other classes and is left out")
    return None
