"""What a cache is going to be: decided before the first feature, fingerprinted, compared on resume."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.manifest import Contents

SHARD_ROWS = 1024
# decisions that may change while a cache is unfinished: each shard knows what of them it was made from
LOOSE = frozenset({"samples", "labels", "source.digest", "on_error"})


_SHAPE = ("dim", "views", "dtype", "shard_rows")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CachePlan(Contents):
    """All that is known of a cache before its first feature.

    Attributes:
        samples: N source-relative paths in order. labels: [N] int64. classes: class names.
        decides: every further choice that decides the bytes; with the above it makes the fingerprint.
        run: choices that a resumed run takes over (resolved batch size, threads, device kind, precision).
        shard_rows: samples a shard.
        kept: N JSON objects of what is known of the samples besides, for ``samples.jsonl``; None: nothing.
        skipped: paths that were left out before, besides those that the writer leaves out.
        stamps: [N, …] numbers that change when a sample's image is replaced; not part of the cache, and
            None where they are not known.
    """

    samples: Sequence[str]
    labels: np.ndarray
    classes: Sequence[str]
    decides: dict[str, Any]
    run: dict[str, Any]
    shard_rows: int = SHARD_ROWS
    kept: Sequence[str] | None = None
    skipped: Sequence[str] = ()
    stamps: np.ndarray | None = None

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the bytes."""
        return files.sha256_json(self.decisions)

    @functools.cached_property
    def decisions(self) -> dict[str, Any]:
        """What the fingerprint is taken of, by name, so that a difference can be named."""
        return {
            "samples": files.sha256_texts(self.samples),
            "labels": files.sha256_bytes(np.ascontiguousarray(self.labels, np.int64).tobytes()),
            "classes": files.sha256_json(list(self.classes)),
            "features": [self.dim, self.views, self.dtype, self.shard_rows],
            "backbone": self.backbone,
            "preprocess": self.preprocess,
            "source": self.source,
            **self.decides,
        }

    def inputs(self, shard: Shard, skipped: bool) -> str:
        """SHA-256 of all that the features and labels of one shard are made from.

        Args:
            shard: which.
            skipped: whether images of it were left out, which another way with errors would not have done.
        """
        rows = slice(shard.start, shard.stop)
        return files.sha256_json(
            {
                "samples": list(self.samples[rows]),
                "labels": np.asarray(self.labels)[rows],
                "images": self.source if self.stamps is None else self.stamps[rows],
                "features": [self.dim, self.views, self.dtype],
                "backbone": self.backbone,
                "preprocess": self.preprocess,
                "decides": {k: v for k, v in self.decides.items() if skipped or k not in LOOSE},
            }
        )

    def shards(self) -> list[Shard]:
        """The N samples in consecutive runs of ``shard_rows``."""
        n, rows = len(self.samples), self.shard_rows
        return [Shard(i, start, min(start + rows, n)) for i, start in enumerate(range(0, n, rows))]

    def check(self) -> None:
        """Refuse a name with a line break, since a line of samples.txt is a sample (InputError)."""
        for sample in self.samples:
            if "\n" in sample:
                raise InputError("a file name holds a line break", where=repr(sample), hint="rename it")


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """Samples ``start``..``stop`` of the plan, one file."""

    index: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"shard-{self.index:05d}.safetensors"

    @property
    def record(self) -> str:
        """The file name of what an unfinished cache remembers of the shard."""
        return f"partial-{self.index:05d}.json"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two sets of decisions: old and new value by key, nested keys joined by dots.

    Both may hold tuples and numpy's numbers.
    """
    old, new = (dict(_flatten(json.loads(files.to_json(decided)))) for decided in (before, now))
    return {k: (old.get(k), new.get(k)) for k in sorted({*old, *new}) if old.get(k) != new.get(k)}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In words, what differs between two sets of decisions: of an unfinished cache or training, say."""
    changed = changes(before, now)
    told = [_difference(key, *values) for key, values in list(changed.items())[:4]]
    return ", ".join(told) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, dict):
            yield from _flatten(entry, f"{prefix}{key}.")
        elif key == "features" and not prefix:
            yield from zip(_SHAPE, entry, strict=False)
        else:
            yield f"{prefix}{key}", entry


def _difference(key: str, before: Any, now: Any) -> str:
    shown = [files.to_json(value) for value in (before, now)]
    if max(map(len, shown)) > 40:  # a digest or a list says nothing to a reader
        return f"{key} differs"
    return f"{key} was {shown[0]}, is {shown[1]}"
