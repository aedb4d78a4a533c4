"""The manifest of a feature cache: what it holds and what made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import InputError
from ltfix.heads.head import check_format

FORMAT = "ltfix-features/1"
NAME = "manifest.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json`` (docs/format.md); paths in it are relative.

    Attributes:
        n: samples. dim: D. views: V. dtype: "float16" or "float32".
        classes: class names in index order, or None. counts: samples per class in this cache.
        shards: ``{"file", "n", "sha256"}`` each, in order.
        backbone, preprocess, source: provenance, as `extract` resolved it.
        fingerprint: SHA-256 of all that decides the bytes.
        skipped: source-relative paths left out with ``--on-error skip``.
    """

    n: int
    dim: int
    views: int
    dtype: str
    classes: list[str] | None
    counts: list[int]
    shards: list[dict[str, Any]]
    backbone: dict[str, Any]
    preprocess: dict[str, Any]
    source: dict[str, Any]
    fingerprint: str
    created_by: str
    skipped: list[str] = dataclasses.field(default_factory=list)

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
        check_format(str(value.get("format", "")), FORMAT, where)
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in value and name != "skipped"]
        if missing:
            raise InputError(f"the manifest lacks {', '.join(missing)}", where=where)
        manifest = cls(**{name: value[name] for name in names if name in value})
        manifest._check(where)
        return manifest

    def _check(self, where: object) -> None:
        if self.dtype not in ("float16", "float32"):
            raise InputError(
                f"the manifest's dtype {self.dtype!r} is neither float16 nor float32", where=where
            )
        for shard in self.shards:
            name = str(shard.get("file", ""))
            if not name or Path(name).name != name:
                raise InputError(f"the manifest names a shard outside its folder: {name!r}", where=where)
        if sum(int(shard["n"]) for shard in self.shards) != self.n:
            raise InputError("the manifest's shards do not add up to its n", where=where)
        if self.classes is not None and len(self.classes) != len(self.counts):
            raise InputError("the manifest's classes and counts differ in length", where=where)


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` of a cache folder.

    Raises:
        InputError: none (an unfinished or foreign folder), or a wrong one.
    """
    path = folder / NAME
    if not path.exists():
        unfinished = (folder / "partial.json").exists()
        raise InputError(
            "an unfinished feature cache" if unfinished else "not a feature cache: it has no manifest.json",
            where=folder,
            hint="run the same `ltfix extract` again to finish it" if unfinished else None,
        )
    return Manifest.from_dict(files.read_json(path), path)
