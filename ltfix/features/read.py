"""Opening a feature cache: a folder of shards, one safetensors file, or an ``.npz``."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.features import foreign
from ltfix.features import manifest as manifests
from ltfix.features.cache import FeatureCache
from ltfix.features.manifest import Manifest, read_manifest
from ltfix.heads.head import FORMAT as HEAD_FORMAT
from ltfix.heads.head import STAGE1, Head, head_of, load_head
from ltfix.public import public
from ltfix.records import record_of
from ltfix.tensorfile import load_tensors, ltfix_metadata

__all__ = ["CacheLike", "FeatureCache", "assemble", "open_cache"]
CacheLike = FeatureCache | Path | str | tuple[Any, Any]
"""A cache, the path of one, or features and labels in memory: ``(X, y)``."""
ARRAYS = Path("(X, y)")


@public
def open_cache(
    path: CacheLike,
    classes: Sequence[str] | None = None,
    *,
    features_key: str | None = None,
    labels_key: str | None = None,
) -> FeatureCache:
    """Open a feature cache folder, a ``.safetensors`` file, an ``.npz``, or arrays; an open cache stays.

    A file needs ``features`` (or ``X``) [n, D] or [n, V, D] (float16, float32 or float64) and ``labels``
    (or ``y``) [n], class numbers (as text, too) or names; ``head.weight`` [K, D] and ``head.bias`` [K] are
    taken as the stage-1 classifier. Arrays ``(X, y)`` are the same in memory: numpy, tensors, data frames or
    lists.

    >>> import numpy as np, ltfix
    >>> np.savez("train.npz", features=np.eye(3, 8)[[0, 0, 0, 1, 2]], labels=[0, 0, 0, 1, 2])
    >>> cache = ltfix.open_cache("train.npz")
    >>> cache
    FeatureCache('train.npz', n=5, views=1, dim=8, K=3)
    >>> cache.counts
    array([3, 1, 1])
    >>> ltfix.open_cache((np.eye(3, 8), ["cat", "owl", "cat"])).classes
    ('cat', 'owl')

    Args:
        path: what to open; a file's name may lack its ending.
        classes: the names in the order of their numbers, where the labels are names; None: sorted. Without
            any, names are refused: what the cache is held against knows numbers alone; with names, numbers.
        features_key, labels_key: what the two arrays are called in a file, where that is unusual.

    Raises:
        InputError: missing, unfinished, torn, of a newer format, or with shapes, dtypes or labels that
            do not fit; the file, and where it applies the row, is named.
        EnvironmentFault: no permission to read it.
    """
    if isinstance(path, FeatureCache):
        return path if classes is None else path.numbered(classes)
    keys = {"features": features_key, "labels": labels_key}
    if isinstance(path, tuple) and len(path) == 2:
        return _open_tensors(ARRAYS, foreign.of_arrays(*path, ARRAYS), {}, classes)
    if not isinstance(path, str | Path):
        hint = "a path, a FeatureCache, or a tuple (X, y)"
        raise InputError(f"not a feature cache but of type {type(path).__name__}", hint=hint)
    with files.os_errors(path):
        path = files.completed(path)
        if not path.exists():
            raise _no_cache(path)
        if path.is_dir():
            return assemble(path, read_manifest(path))
    if path.suffix == ".npz":
        return _open_tensors(path, foreign.load_npz(path, keys), {}, classes)
    if path.suffix == ".safetensors":
        return _open_tensors(path, *load_tensors(path), classes, keys)
    hint = "a cache is a folder, or a file *.safetensors or *.npz; `ltfix import` makes one of others"
    raise InputError("not a feature cache", where=path, hint=hint)


def _no_cache(path: Path) -> InputError:
    """Offers the caches called alike that are beside it, or in features/ there or beside its folder."""
    folders = {path.parent, path.parent / "features", path.parent.parent / "features"}
    found = sorted(p for folder in folders for p in folder.glob("*"))
    known = [p for p in found if p.suffix in files.ENDINGS or (p / manifests.NAME).exists()]
    close = difflib.get_close_matches(path.stem, {p.stem for p in known})
    near = [str(p) for p in known if p.stem in close]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "`ltfix extract` makes one from images"
    if not near and path.suffix in files.ENDINGS:  # a file that the user has
        hint = f"no {path.suffix} beside it is called alike"
    return InputError("no such feature cache", where=path, hint=hint)


def assemble(path: Path, manifest: Manifest) -> FeatureCache:
    """The cache in folder ``path`` that ``manifest`` describes, each shard held against it.

    Raises:
        InputError: as :func:`open_cache`.
    """
    if not manifest.shards:
        raise InputError("the manifest lists no shard", where=path / manifests.NAME)
    parts = []
    for entry in manifest.shards:
        try:
            parts.append(_shard(path / entry.file, manifest, entry.n))
        except InputError as err:
            raise InputError(err.what, where=err.where, hint=manifest.anew(path)) from err
    head_file = path / manifests.HEAD
    with files.os_errors(head_file):
        head = load_head(head_file) if head_file.exists() else None
    return _cache(path, parts, head, manifest)


def _shard(file: Path, manifest: Manifest, n: int) -> tuple[np.ndarray, np.ndarray]:
    tensors, metadata = load_tensors(file)
    if ltfix_metadata(metadata, file).get("fingerprint", manifest.fingerprint) != manifest.fingerprint:
        raise InputError("the shard belongs to another extraction", where=file)
    return _samples(tensors, file, manifest, n)


def _samples(
    tensors: Mapping[str, np.ndarray],
    file: Path,
    manifest: Manifest | None,
    n: int,
    keys: foreign.Keys = foreign.AS_USUAL,
) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, V, D] and labels [n] of one file, held against the manifest where there is one."""
    features, labels = foreign.features_and_labels(tensors, file, keys)
    if manifest is None:
        return features, labels
    said = f"{manifest.dtype} {[n, manifest.views, manifest.dim]}"
    found = f"{features.dtype} {list(features.shape)}"
    if said != found:
        raise InputError(f"the manifest says {said}, the file holds {found}", where=file)
    return features, labels


def _cache(
    path: Path,
    parts: list[tuple[np.ndarray, np.ndarray]],
    head: Head | None,
    manifest: Manifest | None,
    known: Sequence[str] | None = None,
) -> FeatureCache:
    shards, found = zip(*parts, strict=True)
    head = None if head is None else dataclasses.replace(head, path=None)  # named by its method, not its file
    k = 0 if head is None else head.n_classes
    labels, classes = foreign.number_labels(np.concatenate(found), path, known, k)
    own = known is None and classes is not None
    cache = FeatureCache(
        path, list(shards), labels, classes=classes, head=head, manifest=manifest, own_order=own
    )
    return cache if known is None else cache.numbered(known)


def _open_tensors(
    path: Path,
    tensors: dict[str, np.ndarray],
    metadata: Mapping[str, str],
    known: Sequence[str] | None,
    keys: foreign.Keys = foreign.AS_USUAL,
) -> FeatureCache:
    manifest, head = None, None
    if "ltfix" in metadata:
        value = ltfix_metadata(metadata, path)
        if "fingerprint" in value and "format" not in value:
            raise InputError("one shard of a feature cache", where=path, hint=f"open {path.parent}")
        manifest = record_of(Manifest, value, path, manifests.FORMAT)
    parts = [_samples(tensors, path, manifest, 0 if manifest is None else manifest.n, keys)]
    if "head.weight" in tensors:
        own = {name.removeprefix("head."): tensors[name] for name in tensors if name.startswith("head.")}
        classes = None if manifest is None else manifest.class_names
        head = head_of(own, {"format": HEAD_FORMAT, "method": STAGE1, "classes": classes}, path)
    return _cache(path, parts, head, manifest, known)
