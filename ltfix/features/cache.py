"""The feature cache as its readers see it, whatever files it came from."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltfix import files, notebook
from ltfix.errors import InputError, LtfixError
from ltfix.features import manifest as manifests
from ltfix.features.arrays import GIVEN, first_not_finite, gather
from ltfix.features.foreign import demand_numbers, number_labels
from ltfix.features.manifest import Manifest
from ltfix.filemap import release
from ltfix.heads.arrays import TRANSPOSED
from ltfix.heads.head import Head, load_head
from ltfix.numerals import MOST_CLASSES

_CHECK_ROWS = 2048


class FeatureCache:
    """Features and labels of one split, memory-mapped.

    >>> import numpy as np, ltfix
    >>> np.savez("train.npz", features=np.ones((5, 2, 8), np.float16), labels=[0, 0, 0, 1, 2])
    >>> cache = ltfix.open_cache("train.npz")
    >>> [(rows, features.shape) for rows, features in cache.blocks(3)]
    [(slice(0, 3, None), (3, 2, 8)), (slice(3, 5, None), (2, 2, 8))]

    Attributes:
        path: the folder or file.
        n, views, dim: N samples, V views of each, D dimensions.
        tested_views: how many of the views are tested with, the first ones: random ones are trained on alone.
        labels: [N] int64 in 0..K-1.
        counts: [K] int64 samples per class in this cache.
        n_classes: K.
        classes: class names in index order (a manifest's, where there is one), or None.
        head: the stage-1 classifier that came along (its ``counts`` are the training counts, its
            ``path`` is None), or None.
        fingerprint: what decided the bytes, or None for a bare file.
        manifest: the whole manifest, or None for a bare file.
        own_order: whether its labels were names that it numbered itself, in the order of text.
        shards: memory-mapped [n_i, V, D] arrays, float16 or float32, in order.

    Raises:
        InputError: no samples, a label out of range (its row is named), or a manifest, class names
            and classifier that do not fit each other.
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
        own_order: bool = False,
    ) -> None:
        self.path, self.shards, self.head, self.manifest = path, shards, head, manifest
        self.own_order = own_order
        self.classes = classes if manifest is None else manifest.class_names
        if not len(labels):
            raise InputError("the cache has no samples", where=path)
        self.labels = labels
        self.n, self.views, self.dim = len(labels), int(shards[0].shape[1]), int(shards[0].shape[2])
        self.tested_views = self.views if manifest is None else manifest.tested_views
        if head is not None and head.dim != self.dim:
            what = f"its classifier has D = {head.dim}, its features D = {self.dim}"
            raise InputError(what, where=path, hint=TRANSPOSED if head.n_classes == self.dim else None)
        said = _said_classes(path, self.classes, head, manifest)
        self.n_classes = min(int(labels.max()) + 1, MOST_CLASSES) if said is None else said
        _check_labels(path, labels, self.n_classes)
        self.counts: np.ndarray = np.bincount(labels, minlength=self.n_classes).astype(np.int64)
        if manifest is not None and self.counts.tolist() != manifest.counts:
            k = int(np.flatnonzero(self.counts != manifest.counts)[0])
            told = f"class {k} has {self.counts[k]} samples, the manifest says {manifest.counts[k]}"
            raise InputError(told, where=path)
        self.fingerprint = None if manifest is None else manifest.fingerprint
        self._starts = np.concatenate([[0], np.cumsum([len(shard) for shard in shards])])
        self._checked = [False] * len(shards)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        shape = f"n={self.n}, views={self.views}, dim={self.dim}, K={self.n_classes}"
        return f"FeatureCache({str(self.path)!r}, {shape})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        kind = f"{self.views} × {self.dim} {self.shards[0].dtype}"
        known = {"samples": self.n, "features": kind, "K": self.n_classes, "stage-1 classifier": self.head}
        known["samples a class"] = f"{self.counts.max()} … {self.counts.min()}"
        return notebook.facts(f"FeatureCache {self.path}", known)

    def numbered(self, classes: Sequence[str]) -> FeatureCache:
        """The same with its classes numbered so, if labels came as names that are all among these.

        Raises:
            InputError: one knows names, and the other, a bare file or arrays, numbers alone; or other names.
        """
        if self.classes is None and self.manifest is None:
            demand_numbers(classes, self.path)
        own = () if self.classes is None or self.manifest is not None else self.classes
        fitting = self.own_order or set(own) <= set(classes)
        if not own or own == tuple(classes) or not fitting:
            return self
        labels, known = number_labels(np.array(own)[self.labels], self.path, classes)
        head = self.head
        if head is not None and len(classes) == len(own):  # its rows are in the own order
            rows = [own.index(name) for name in classes]
            head = dataclasses.replace(head, weight=head.weight[rows], bias=head.bias[rows])
        return FeatureCache(self.path, self.shards, labels, classes=known, head=head)

    @functools.cached_property
    def identity(self) -> str:
        """What the same samples have again: the fingerprint, or a hash of labels and the first features."""
        first = np.asarray(self.shards[0][0], "<f4").tobytes()
        return self.fingerprint or files.sha256_bytes(self.labels.astype("<i8").tobytes() + first)

    @property
    def unlabelled(self) -> bool:
        """Whether its samples have no labels: all of ``labels`` are 0 then."""
        return self.manifest is not None and self.manifest.source.get("unlabelled") is True

    def demand_labels(self) -> None:
        """Refuse a cache that was extracted without labels (InputError)."""
        if self.unlabelled:
            hint = "`ltfix predict` says what they are"
            raise InputError("its samples have no labels: extracted so", where=self.path, hint=hint)

    @functools.cached_property
    def samples(self) -> tuple[str, ...] | None:
        """The source-relative path of every sample, in order; None for a single file.

        Raises:
            InputError: samples.txt is missing or has another number of lines than the cache samples.
        """
        return self._lines(manifests.SAMPLES) if self.path.is_dir() else None

    @property
    def columns(self) -> tuple[str, ...] | None:
        """What was kept of every sample besides, a JSON object each; None where nothing was.

        Raises:
            InputError: samples.jsonl is missing or not what the manifest recorded.
        """
        if self.manifest is None or self.manifest.columns is None or not self.path.is_dir():
            return None
        self._demand_hash(manifests.COLUMNS, self.manifest.columns)
        return self._lines(manifests.COLUMNS)

    def _lines(self, name: str) -> tuple[str, ...]:
        path = self.path / name
        files.demand_regular(path)
        with files.os_errors(path):
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        lines = tuple(text.removesuffix("\n").split("\n"))
        if len(lines) != self.n:
            raise InputError(f"it has {len(lines)} lines for {self.n} samples", where=path)
        return lines

    def kept_probe(self) -> Head | None:
        """The linear probe of these features that a fit left in the folder (its ``meta["solved"]`` says how).

        None where there is none, or where it cannot be read or is of other features.
        """
        if self.fingerprint is None or not self.path.is_dir():
            return None
        with contextlib.suppress(LtfixError):
            found = load_head(self.path / manifests.PROBE)
            if found.meta.get("cache") == self.fingerprint and found.dim == self.dim:
                return found
        return None

    @functools.cached_property
    def features(self) -> np.ndarray:
        """All features, [N, V, D]: the map itself where there is one shard, else read into memory.

        Raises:
            InputError: a value is not finite; its row is named.
        """
        self.check()
        return self.shards[0] if len(self.shards) == 1 else np.concatenate(self.shards)

    def blocks(self, rows: int = 4096) -> Iterator[tuple[slice, np.ndarray]]:
        """Consecutive blocks ``(slice of samples, [m, V, D])``, m <= ``rows``, never across shards.

        The memory of a block that lies in a map is given back when the next one is taken.

        Raises:
            InputError: a value is not finite; its row is named.
        """
        for index in range(len(self.shards)):
            yield from self._blocks_of(index, rows)

    def _blocks_of(self, index: int, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The blocks of one shard, each checked unless the whole shard was."""
        shard, made = self.shards[index], self.manifest
        for start in range(0, len(shard), rows):
            block, row = shard[start : start + rows], int(self._starts[index]) + start
            bad = None if self._checked[index] else first_not_finite(block)
            if bad is not None:
                what = f"feature row {row + bad}{self.sample_name(row + bad)} holds NaN or Inf"
                hint = made.anew(self.path) if made and made.backbone and self.path.is_dir() else GIVEN
                raise InputError(what, where=self.path, hint=hint)
            yield slice(row, row + len(block)), block
            release(shard)
        self._checked[index] = True

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Gather samples ``index`` [m], each in 0..N-1, as [m, V, D]; only their pages are read.

        Raises:
            IndexError: an index out of range.
            InputError: a value is not finite; its row is named.
        """
        index = np.asarray(index, np.int64)
        if len(index) and not 0 <= index.min() <= index.max() < self.n:
            raise IndexError(f"samples are 0 to {self.n - 1}, asked for {index.min()} to {index.max()}")
        for shard in np.unique(np.searchsorted(self._starts, index, side="right") - 1):
            self._check(int(shard))
        return gather(self.shards, index)

    def check(self) -> None:
        """Read every value once and refuse one that is not finite (InputError); none stays in memory."""
        for index in range(len(self.shards)):
            self._check(index)

    def verify(self) -> int:
        """Read everything: every value, and the SHA-256 of every file beside the manifest's.

        Returns:
            How many hashes were compared: 0 for a single file, which records none.

        Raises:
            InputError: a shard that differs, a value that is not finite, samples.txt too short.
        """
        self.check()
        manifest = self.manifest if self.path.is_dir() else None
        hashes = {shard.file: shard.sha256 for shard in manifest.shards} if manifest is not None else {}
        if manifest is not None and manifest.columns is not None:
            hashes[manifests.COLUMNS] = manifest.columns
        for name, sha256 in hashes.items():
            self._demand_hash(name, sha256)
        if hashes:
            _ = self.samples
        return len(hashes)

    def _demand_hash(self, name: str, sha256: str) -> None:
        path = self.path / name
        files.demand_regular(path)
        if files.sha256_file(path) != sha256:
            what = "its bytes are not those the manifest recorded"
            raise InputError(
                what, where=path, hint=None if self.manifest is None else self.manifest.anew(self.path)
            )

    def _check(self, index: int) -> None:
        if not self._checked[index]:
            for _ in self._blocks_of(index, _CHECK_ROWS):
                pass

    def sample_name(self, row: int) -> str:
        """A sample's name as a message has it behind its number; empty where there is none."""
        with contextlib.suppress(InputError):
            return "" if self.samples is None else f", {self.samples[row]},"
        return ""


def _said_classes(
    path: Path, classes: tuple[str, ...] | None, head: Head | None, manifest: Manifest | None
) -> int | None:
    """K, on which class names, manifest and classifier agree; None where there is none of them."""
    said = {
        "class names": None if classes is None else len(classes),
        "manifest": None if manifest is None else len(manifest.counts),
        "classifier": None if head is None else head.n_classes,
    }
    known = {name: k for name, k in said.items() if k is not None}
    if len(set(known.values())) > 1:
        told = ", ".join(f"{name} K = {k}" for name, k in known.items())
        raise InputError(f"its parts disagree on the number of classes: {told}", where=path)
    return next(iter(known.values()), None)


def _check_labels(path: Path, labels: np.ndarray, n_classes: int) -> None:
    for bad, what in ((labels < 0, "is negative"), (labels >= n_classes, f"is not below K = {n_classes}")):
        if bad.any():
            told = f"label {int(labels[bad][0])} of row {int(bad.argmax())} {what}"
            hint = "labels count from 0, and K is that of its class names, manifest or classifier"
            raise InputError(told, where=path, hint=hint)
