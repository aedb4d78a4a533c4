"""Feature caches of one backbone joined into one: pictures that came later, without extracting all anew."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, LtfixError, Unused, UsageError, nearest
from ltfix.features import manifest as manifests
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import CachePlan, differences
from ltfix.features.manifest import Manifest
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.images.source import read_classes
from ltfix.importing.moved import tell_moved
from ltfix.importing.overlap import Share, leave_out, made_up, tell_tested
from ltfix.importing.request import ImportRequest
from ltfix.importing.writing import write
from ltfix.numerals import counted, whole_number
from ltfix.progress import Progress

_MAY_DIFFER = {"timm", "torch", "weights", "run", "pillow", manifests.DEPTHS}
"""Of what manifests say of backbone and preprocessing: versions, names of what has a hash, and remarks."""
_NAMED = ("folder", "tar", "zip", manifests.JOINED)
"""Sources whose classes are called as they are; elsewhere 0 to K - 1 may stand for names that nobody gave."""


def join(sources: Sequence[Path], out: Path, request: ImportRequest, progress: Progress) -> FeatureCache:
    """Caches of one backbone as one, in their order; see :func:`ltfix.import_features`.

    Raises:
        UsageError: options that caches have no use for, or ``out`` is one of them.
        InputError: they are not of one backbone, number classes otherwise, or label a picture differently.
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
    shares = [_share(cache, own) for cache, own in zip(caches, numbers, strict=True)]
    leave_out(shares, classes, progress)
    if classes:
        tell_moved(shares, progress)
    test = out.parent / "test"
    if test.is_dir() and test.resolve() not in [path.resolve() for path in (*sources, out)]:
        with contextlib.suppress(LtfixError):  # no cache, or a damaged one, which is not asked for here
            tell_tested(shares, open_cache(test), progress)
    plan = CachePlan(
        samples=_kept(shares, [one.samples for one in shares]),
        labels=np.concatenate([one.labels[one.kept] for one in shares]),
        classes=classes,
        dim=caches[0].dim,
        views=caches[0].views,
        dtype=request.dtype or max(shard.dtype.name for cache in caches for shard in cache.shards),
        backbone={} if made is None else made.backbone,
        preprocess={} if made is None else _with_depths(made, caches),
        source=_source(shares, lost=_whose_head(caches, numbers, len(classes)) is None),
        decides={},
        run={},
        shard_rows=request.shard_rows,
        kept=_columns(shares),
        skipped=[*dict.fromkeys(name for c in caches if c.manifest for name in c.manifest.skipped)],
    )
    head, parts = _head(caches, numbers, plan, progress), [part for one in shares for part in one.shards()]
    return write(out, plan, parts, head, out, overwrite=request.overwrite, progress=progress)


def _share(cache: FeatureCache, numbers: np.ndarray) -> Share:
    names = cache.samples or [made_up(cache.path.name, row) for row in range(cache.n)]
    return Share(cache, names, numbers[cache.labels], np.ones(cache.n, bool))


def _kept(shares: Iterable[Share], lines: Iterable[Sequence[str]]) -> list[str]:
    """Of every cache's lines those of the rows that are kept, one after the other."""
    kept = (itertools.compress(own, one.kept) for one, own in zip(shares, lines, strict=True))
    return list(itertools.chain(*kept))


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


def _source(shares: Sequence[Share], *, lost: bool) -> dict[str, Any]:
    """What was joined: name, samples taken and fingerprint of each, of a bare file its hash.

    Args:
        lost: whether no stage-1 classifier stays, where there is one.
    """
    joined, caches = list[dict[str, Any]](), [one.cache for one in shares]
    for c, n in zip(caches, (int(one.kept.sum()) for one in shares), strict=True):
        fingerprint = c.fingerprint or files.sha256_file(c.path)
        left_out = {"left_out": c.n - n} if n < c.n else {}
        joined.append({"name": c.path.name, "n": n, "fingerprint": fingerprint} | left_out)
    known = [cache.manifest.source for cache in caches if cache.manifest is not None]
    seen = (lost and any(c.head is not None for c in caches)) or any(manifests.SEEN in one for one in known)
    splits = [cache.manifest.source.get("split") for cache in caches if cache.manifest is not None]
    return {
        "kind": manifests.JOINED,
        "root": " + ".join(cache.path.name for cache in caches),
        "split": next(filter(None, splits), None),
        "digest": files.sha256_json(joined),
        "joined": joined,
    } | {
        name: True for name, holds in (("unlabelled", caches[0].unlabelled), (manifests.SEEN, seen)) if holds
    }


def _with_depths(made: Manifest, caches: Sequence[FeatureCache]) -> dict[str, Any]:
    """The preprocessing, with how images of more than 8 bits were scaled in any of the caches."""
    found = [c.manifest.preprocess.get(manifests.DEPTHS, ()) for c in caches if c.manifest is not None]
    depths = sorted(set(itertools.chain(*found)))
    return made.preprocess | ({manifests.DEPTHS: depths} if depths else {})


def _columns(shares: Sequence[Share]) -> list[str] | None:
    """The further columns of every sample, where a cache has any; empty objects of the others."""
    columns = [one.cache.columns for one in shares]
    lines = [["{}"] * one.cache.n if own is None else own for one, own in zip(shares, columns, strict=True)]
    return None if all(own is None for own in columns) else _kept(shares, lines)


def _head(
    caches: Sequence[FeatureCache], numbers: Sequence[np.ndarray], plan: CachePlan, progress: Progress
) -> Head | None:
    """The stage-1 classifier of the first cache that has one of all these classes."""
    given = [cache for cache in caches if cache.head is not None]
    cache = _whose_head(caches, numbers, len(plan.classes))
    if cache is not None and cache.head is not None:
        counts = cache.head.counts
        if counts is None or np.array_equal(counts, cache.counts):  # else it is of a test split
            counts = np.bincount(plan.labels, minlength=len(plan.classes))
        return dataclasses.replace(cache.head, classes=tuple(plan.classes), counts=counts)
    if given:
        progress.note(f"the stage-1 classifier of {given[0].path} is of other classes and is left out")
    return None


def _whose_head(caches: Sequence[FeatureCache], numbers: Sequence[np.ndarray], k: int) -> FeatureCache | None:
    """The first cache that has a stage-1 classifier of all ``k`` classes."""
    every = np.arange(k)
    pairs = zip(caches, numbers, strict=True)
    return next((c for c, own in pairs if c.head is not None and np.array_equal(own, every)), None)
