"""Reading a feature cache: a folder of shards, one safetensors file, or an ``.npz``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.features import foreign
from ltfix.features.manifest import Manifest, read_manifest
from ltfix.heads.head import Head, head_of, load_head
from ltfix.tensorfile import load_tensors


class FeatureCache:
    """Features and labels of one split, memory-mapped.

    Attributes:
        path: the folder or file.
        n, views, dim: N samples, V views of each, D dimensions.
        labels: [N] int64 in 0..K-1.
        counts: [K] int64 samples per class in this cache.
        n_classes: K.
        classes: class names in index order, or None.
        head: the stage-1 classifier that came along (its ``counts`` are the training counts), or None.
        fingerprint: what decided the bytes, or None for a bare file.
        manifest: the whole manifest, or None for a bare file.
        shards: memory-mapped [n_i, V, D] arrays, float16 or float32, in order.
    """

    def __init__(
        self,
        path: Path,
        shards: list[np.ndarray],
        labels: np.ndarray,
        *,
        classes: tuple[str, ...] | None = None,
        head: Head | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        self.path, self.shards, self.classes, self.head, self.manifest = path, shards, classes, head, manifest
        self.labels = labels
        self.n, self.views, self.dim = len(labels), int(shards[0].shape[1]), int(shards[0].shape[2])
        self.n_classes = _class_count(path, labels, classes, head)
        self.counts: np.ndarray = np.bincount(labels, minlength=self.n_classes).astype(np.int64)
        self.fingerprint = None if manifest is None else manifest.fingerprint
        self._starts = np.concatenate([[0], np.cumsum([len(shard) for shard in shards])])
        self._checked = [False] * len(shards)
        if head is not None and head.dim != self.dim:
            raise InputError(f"its classifier has D = {head.dim}, its features D = {self.dim}", where=path)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        shape = f"n={self.n}, views={self.views}, dim={self.dim}, K={self.n_classes}"
        return f"FeatureCache({str(self.path)!r}, {shape})"

    @functools.cached_property
    def features(self) -> np.ndarray:
        """All features, [N, V, D]: the map itself where there is one shard, else read into memory.

        Raises:
            InputError: a value is not finite; its row is named.
        """
        for index in range(len(self.shards)):
            self._check(index)
        return self.shards[0] if len(self.shards) == 1 else np.concatenate(self.shards)

    def blocks(self, rows: int = 4096) -> Iterator[tuple[slice, np.ndarray]]:
        """Consecutive blocks ``(slice of samples, [m, V, D])``, m <= ``rows``, never across shards.

        Raises:
            InputError: a value is not finite; its row is named.
        """
        for index, shard in enumerate(self.shards):
            self._check(index)
            first = int(self._starts[index])
            for start in range(0, len(shard), rows):
                block = shard[start : start + rows]
                yield slice(first + start, first + start + len(block)), block

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Gather samples ``index`` [m] as [m, V, D]; only their pages are read.

        Raises:
            InputError: a value is not finite; its row is named.
        """
        index = np.asarray(index, np.int64)
        out = np.empty((len(index), self.views, self.dim), self.shards[0].dtype)
        owner = np.searchsorted(self._starts, index, side="right") - 1
        for shard in np.unique(owner):
            self._check(int(shard))
            mine = owner == shard
            out[mine] = self.shards[shard][index[mine] - self._starts[shard]]
        return out

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest's.

        Raises:
            InputError: a shard that differs; nothing to verify is no error.
        """
        for shard in () if self.manifest is None else self.manifest.shards:
            path = self.path / shard["file"]
            if files.sha256_file(path) != shard["sha256"]:
                raise InputError(
                    "its bytes are not those the manifest recorded", where=path, hint="extract again"
                )

    def _check(self, index: int) -> None:
        if self._checked[index]:
            return
        shard = self.shards[index]
        for start in range(0, len(shard), 8192):
            bad = _not_finite(shard[start : start + 8192])
            if bad is not None:
                row = int(self._starts[index]) + start + bad
                raise InputError(
                    f"feature row {row} holds NaN or Inf", where=self.path, hint="extract it again"
                )
        self._checked[index] = True


def _not_finite(block: np.ndarray) -> int | None:
    """The first row of [m, V, D] with a NaN or Inf."""
    if block.dtype == np.float16:  # numpy's float16 arithmetic is slow; all exponent bits set says the same
        bits = (
            block.view(np.uint16) if block.flags.c_contiguous else np.ascontiguousarray(block).view(np.uint16)
        )
        bad = (bits & 0x7C00) == 0x7C00
    else:
        bad = ~np.isfinite(block)
    if not bad.any():
        return None
    return int(np.flatnonzero(bad.reshape(len(block), -1).any(1))[0])


def _class_count(path: Path, labels: np.ndarray, classes: tuple[str, ...] | None, head: Head | None) -> int:
    if not len(labels):
        raise InputError("the cache has no samples", where=path)
    largest = int(labels.max()) + 1
    known = len(classes) if classes is not None else head.n_classes if head is not None else largest
    if int(labels.min()) < 0:
        row = int(np.flatnonzero(labels < 0)[0])
        raise InputError(f"label {int(labels[row])} of row {row} is negative", where=path)
    if largest > known:
        row = int(np.flatnonzero(labels >= known)[0])
        raise InputError(f"label {int(labels[row])} of row {row} is not below K = {known}", where=path)
    if head is not None and classes is not None and head.n_classes != len(classes):
        raise InputError(
            f"its classifier has K = {head.n_classes}, its classes are {len(classes)}", where=path
        )
    return known


def open_cache(path: Path | str) -> FeatureCache:
    """Open a feature cache folder, a single ``.safetensors`` file or an ``.npz`` for reading.

    A file needs ``features`` [n, D] or [n, V, D] (float16, float32 or float64) and integer ``labels``
    [n]; ``head.weight`` [K, D] and ``head.bias`` [K] are taken as the stage-1 classifier.

    Raises:
        InputError: missing, unfinished, torn, of a newer format, or with shapes, dtypes or labels that
            do not fit; the file, and where it applies the row, is named.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    with files.os_errors(path):
        path.stat()
    if path.suffix == ".npz":
        return _open_tensors(path, foreign.load_npz(path), {})
    if path.suffix == ".safetensors":
        return _open_tensors(path, *load_tensors(path))
    raise InputError(
        "not a feature cache", where=path, hint="a cache is a folder, a .safetensors file or an .npz"
    )


def _open_folder(path: Path) -> FeatureCache:
    manifest = read_manifest(path)
    shards, labels = [], []
    for entry in manifest.shards:
        file = path / entry["file"]
        tensors, _ = load_tensors(file)
        features, label = foreign.features_and_labels(tensors, file)
        expected = (int(entry["n"]), manifest.views, manifest.dim)
        if features.shape != expected or str(features.dtype) != manifest.dtype:
            raise InputError(
                f"the manifest says {manifest.dtype} {list(expected)}, the shard holds "
                f"{features.dtype} {list(features.shape)}",
                where=file,
            )
        shards.append(features)
        labels.append(label)
    if not shards:
        raise InputError("the cache has no samples", where=path)
    head_file = path / "head.safetensors"
    return FeatureCache(
        path,
        shards,
        np.concatenate(labels),
        classes=None if manifest.classes is None else tuple(manifest.classes),
        head=load_head(head_file) if head_file.exists() else None,
        manifest=manifest,
    )


def _open_tensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> FeatureCache:
    features, labels = foreign.features_and_labels(tensors, path)
    manifest = None
    if "ltfix" in metadata:
        manifest = Manifest.from_dict(files.parse_json(metadata["ltfix"], path), path)
    classes = tuple(manifest.classes) if manifest is not None and manifest.classes is not None else None
    head = None
    if "head.weight" in tensors:
        head = head_of(
            {
                name.removeprefix("head."): value
                for name, value in tensors.items()
                if name.startswith("head.")
            },
            {"format": "ltfix-head/1", "method": "stage-1", "classes": classes},
            path,
        )
        if len(labels) and int(labels.max()) >= head.n_classes:
            row = int(np.flatnonzero(labels >= head.n_classes)[0])
            raise InputError(
                f"label {int(labels[row])} of row {row} is not below K = {head.n_classes}", where=path
            )
    return FeatureCache(path, [features], labels, classes=classes, head=head, manifest=manifest)
