"""The manifest of a feature cache: what it holds and what made it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ltfix import files
from ltfix.errors import InputError
from ltfix.records import Count, Positive, Record, read_record

FORMAT = "ltfix-features/1"
NAME = "manifest.json"
PARTIAL = "partial.json"
SAMPLES = "samples.txt"
COLUMNS = "samples.jsonl"
HEAD = "head.safetensors"
PROBE = "probe.safetensors"
FIRST_SHARD = "shard-00000.safetensors"
DEPTHS = "depths"  # in ``preprocess``: how images of more than 8 bits were scaled, if there were any
SEEN = "seen"  # in a joined source: its backbone was trained on a part, whose classifier is left out
JOINED = "joined"  # the ``kind`` of a source that is several caches
_OF_SOURCE = ("kind", "root", "split", "digest", "columns")  # all else there was asked for
_MAY_LACK = ("columns", "shard_rows")
_ANEW = "restore it, or make the cache anew: `ltfix.extract(..., split={!r}, overwrite=True)`"
_SHARD_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the features of a cache are and how they came to be, planned or written.

    Attributes:
        dim, views: D and V. dtype: "float16" or "float32".
        backbone, preprocess, source: as `extract` resolved them; JSON values, paths in them are relative.
    """

    dim: Positive
    views: Positive
    dtype: Annotated[str, msgspec.Meta(pattern=r"\Afloat(16|32)\Z")]
    backbone: dict[str, Any]
    preprocess: dict[str, Any]
    source: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard of a finished cache: its file, which lies in the cache's folder, its samples and its hash."""

    file: str
    n: Count
    sha256: str

    def __post_init__(self) -> None:
        if not _SHARD_FILE.fullmatch(self.file):
            raise ValueError(f"it names a shard outside its folder: {self.file!r}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Contents):
    """The content of ``manifest.json`` (docs/format.md).

    Attributes:
        n: samples. classes: class names in index order, or None. counts: samples per class in this cache.
        shards: in order; empty in a single file.
        fingerprint: SHA-256 of all that decides the bytes.
        created_by: the program and its version.
        skipped: source-relative paths that could not be read and were left out.
        columns: SHA-256 of ``samples.jsonl``, or None where there is none.
        shard_rows: samples a shard as planned, or None where that is the usual number.
    """

    n: Positive
    classes: list[str] | None
    counts: list[Count]
    shards: list[ShardEntry]
    fingerprint: str
    created_by: str
    skipped: list[str] = dataclasses.field(default_factory=list)
    columns: str | None = None
    shard_rows: Positive | None = None

    @property
    def tested_views(self) -> int:
        """How many of the views are not random; all where none is, or nothing else."""
        drawn = self.preprocess.get("random_views", 0)
        return self.views - drawn if isinstance(drawn, int) and 0 < drawn < self.views else self.views

    def anew(self, folder: Path) -> str:
        """What to do about a finished cache that is damaged."""
        if command_of(self.source) == "import":
            sources = str(self.source.get("root")).split(" + ")
            call = f"import_features({sources}, out={str(folder)!r}, overwrite=True)"
            return f"`ltfix.{call}` makes it anew"
        if not self.backbone:
            return f"what made it does so anew: {self.created_by}"
        split = str(self.source.get("split", folder.name))
        return (
            f"your own command for it, `ltfix.extract(..., split={split!r}, overwrite=True)`, makes it anew"
        )

    @property
    def asked(self) -> dict[str, Any]:
        """The options of `extract` that a cache tells of; of preprocessing what the model has, too."""
        source, run, weights = self.source, self.backbone.get("run"), str(self.backbone.get("weights"))
        pixels = {} if "columns" in self.preprocess else self.preprocess
        kind = "" if source.get("kind", "folder") == "folder" else f"{source['kind']}:"
        found: dict[str, Any] = {"data": f"{kind}{source.get('root')}"}
        found["backbone"] = str(self.backbone.get("name")) if run is None else f"runs/{run}"
        if run is None and weights == "random":
            found["pretrained"] = False
        if run is None and "." in weights:  # a file, not "pretrained" or "random"
            found["checkpoint"] = weights
        found |= {name: pixels.get(name) for name in ("image_size", "crop_pct", "interpolation")}
        found |= {name: ",".join(map(str, pixels[name])) for name in ("mean", "std") if name in pixels}
        found |= {"views": self.preprocess.get("views"), "augment": pixels.get("augment")}
        found |= {"decoder": str(pixels.get("decoder", "")).partition(" ")[0] or None, "dtype": self.dtype}
        found |= {"on_error": "skip" if self.skipped else None, "shard_rows": self.shard_rows}
        found |= {name: value for name, value in source.items() if name not in _OF_SOURCE}
        usual = {"views": "center", "dtype": "float16", "pretrained": None}
        return {k: v for k, v in found.items() if v not in (None, usual.get(k, False))}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The K class names, or None."""
        return None if self.classes is None else tuple(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, with ``format``."""
        found = {"format": FORMAT, **dataclasses.asdict(self)}
        return {key: value for key, value in found.items() if key not in _MAY_LACK or value is not None}

    def __post_init__(self) -> None:
        if sum(self.counts) != self.n:
            raise ValueError("its counts do not add up to its n")
        if self.classes is not None and len(self.classes) != len(self.counts):
            raise ValueError("its classes and counts differ in length")
        if self.shards and sum(shard.n for shard in self.shards) != self.n:
            raise ValueError("its shards do not add up to its n")


@dataclasses.dataclass(frozen=True, slots=True)
class Unfinished:
    """The content of ``partial.json``, which an unfinished cache begins with.

    Attributes:
        fingerprint: of the plan. decides: what it is taken of.
        run: what the first start had resolved and a resumed run takes over.
    """

    fingerprint: str
    decides: dict[str, Any]
    run: dict[str, Any]

    @property
    def shard_rows(self) -> int | None:
        """Samples a shard, if it says so."""
        match self.decides.get("features"):
            case [_, _, _, int(rows)] if rows > 0:
                return rows
        return None

    @property
    def next(self) -> str:
        """What to do about it."""
        return f"run the same `ltfix {command_of(self.decides.get('source'))}` again to finish it"


def is_cache(folder: Path) -> bool:
    """Whether a folder is a feature cache: finished, unfinished, or one whose manifest is gone."""
    left = all((folder / name).exists() for name in (SAMPLES, FIRST_SHARD))  # pictures may have such a list
    return left or any((folder / name).exists() for name in (NAME, PARTIAL))


def command_of(source: Any) -> str:
    """The command that makes caches of such a source."""
    kind = source.get("kind") if isinstance(source, dict) else None
    return "import" if kind in ("import", JOINED) else "extract"


def read_partial(folder: Path) -> Unfinished:
    """The content of an unfinished cache's partial.json; InputError where no writer wrote it."""
    return _read(Unfinished, folder / PARTIAL)


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` of a cache folder (InputError: unfinished, foreign, or a wrong one)."""
    path = folder / NAME
    with files.os_errors(folder):
        if not path.exists():
            raise _no_manifest(folder)
    return _read(Manifest, path, FORMAT)


def _read(kind: type[Record], path: Path, format: str | None = None) -> Record:
    try:
        return read_record(kind, path, format)
    except InputError as err:
        raise InputError(err.what, where=err.where, hint=err.hint or _ANEW.format(path.parent.name)) from err


def _no_manifest(folder: Path) -> InputError:
    if (folder / PARTIAL).exists():
        return InputError("an unfinished feature cache", where=folder, hint=read_partial(folder).next)
    if (folder / SAMPLES).exists():
        return InputError(
            "a feature cache whose manifest.json is gone", where=folder, hint=_ANEW.format(folder.name)
        )
    found = [path.parent for path in sorted(folder.glob(f"*/{NAME}"))]
    found += [file for end in files.ENDINGS if (file := Path(f"{folder}{end}")).exists()]  # which it hides
    meant = f"did you mean {', '.join(map(str, found[:5]))}?" if found else None
    return InputError("not a feature cache: it has no manifest.json", where=folder, hint=meant)
