"""The manifest of a feature cache: what it holds and what made it."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import InputError

FORMAT = "ltfix-features/1"
NAME = "manifest.json"
PARTIAL = "partial.json"
SAMPLES = "samples.txt"
HEAD = "head.safetensors"
PROBE = "probe.safetensors"
DEPTHS = "depths"  # in ``preprocess``: how images of more than 8 bits were scaled, if there were any
_SHARD_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the features of a cache are and how they came to be, planned or written.

    Attributes:
        dim, views: D and V. dtype: "float16" or "float32".
        backbone, preprocess, source: as `extract` resolved them; JSON values, paths in them are relative.
    """

    dim: int
    views: int
    dtype: str
    backbone: dict[str, Any]
    preprocess: dict[str, Any]
    source: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Contents):
    """The content of ``manifest.json`` (docs/format.md).

    Attributes:
        n: samples. classes: class names in index order, or None. counts: samples per class in this cache.
        shards: ``{"file", "n", "sha256"}`` each, in order; empty in a single file.
        fingerprint: SHA-256 of all that decides the bytes.
        created_by: the program and its version.
        skipped: source-relative paths that could not be read and were left out.
    """

    n: int
    classes: list[str] | None
    counts: list[int]
    shards: list[dict[str, Any]]
    fingerprint: str
    created_by: str
    skipped: list[str] = dataclasses.field(default_factory=list)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The K class names, or None."""
        return None if self.classes is None else tuple(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, with ``format``."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, value: Any, where: object) -> Manifest:
        """Check a JSON object and build the manifest.

        Raises:
            InputError: another or a newer format, missing keys, values of the wrong kind.
        """
        if not isinstance(value, dict):
            raise InputError("the manifest is not a JSON object", where=where)
        files.check_format(value.get("format"), FORMAT, where)
        kinds = typing.get_type_hints(cls)
        missing = [name for name in kinds if name not in value and name != "skipped"]
        if missing:
            raise InputError(f"the manifest lacks {', '.join(missing)}", where=where)
        known = {name: value[name] for name in kinds if name in value}
        for name, entry in known.items():
            if not _is_of(entry, kinds[name]):
                raise InputError(f"the manifest's {name} is of the wrong kind", where=where)
        manifest = cls(**known)
        manifest._check(where)
        return manifest

    def _check(self, where: object) -> None:
        if self.dtype not in ("float16", "float32"):
            raise InputError(
                f"the manifest's dtype {self.dtype!r} is neither float16 nor float32", where=where
            )
        if min(self.n, self.dim, self.views) < 1:
            raise InputError("the manifest's n, dim and views must be positive", where=where)
        if not all(_is_count(n) for n in self.counts) or sum(self.counts) != self.n:
            raise InputError("the manifest's counts do not add up to its n", where=where)
        if not all(isinstance(name, str) for name in (*(self.classes or ()), *self.skipped)):
            raise InputError("the manifest's class or sample names are not text", where=where)
        if self.classes is not None and len(self.classes) != len(self.counts):
            raise InputError("the manifest's classes and counts differ in length", where=where)
        for shard in self.shards:
            _check_shard(shard, where)
        if self.shards and sum(shard["n"] for shard in self.shards) != self.n:
            raise InputError("the manifest's shards do not add up to its n", where=where)


def _is_of(value: object, kind: Any) -> bool:
    """Whether a JSON value is of an annotated kind; what a list or an object holds is not looked at."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return type(value) in [typing.get_origin(k) or k for k in kinds]


def _check_shard(shard: Any, where: object) -> None:
    name = shard.get("file") if isinstance(shard, dict) else None
    if not isinstance(name, str) or not _is_count(shard.get("n")) or not isinstance(shard.get("sha256"), str):
        raise InputError("a shard of the manifest lacks its file, n or sha256", where=where)
    if not _SHARD_FILE.fullmatch(name):
        raise InputError(f"the manifest names a shard outside its folder: {name!r}", where=where)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` of a cache folder.

    Raises:
        InputError: none (an unfinished or foreign folder), or a wrong one.
    """
    path = folder / NAME
    with files.os_errors(folder):
        if not path.exists():
            raise _no_manifest(folder)
    return Manifest.from_dict(files.read_json(path), path)


def _no_manifest(folder: Path) -> InputError:
    if (folder / PARTIAL).exists():
        hint = "run the same `ltfix extract` again to finish it"
        return InputError("an unfinished feature cache", where=folder, hint=hint)
    below = sorted(path.parent.name for path in folder.glob(f"*/{NAME}"))
    inside = f"one of the folders in it? {', '.join(below[:5])}" if below else None
    return InputError("not a feature cache: it has no manifest.json", where=folder, hint=inside)
