"""Finished heads with their scores in a folder, so that what was interrupted goes on.

Each run is two files, ``NAME.json`` and ``NAME.safetensors``. The record is written first, without scores: it
claims the name. Then the head, then the record with scores and the hash of the head as it was handed to the
disk. Whatever kills the writer, a run is either finished or fitted again, and a head that something else
wrote is never replaced. One writer at a time holds the folder.

A budget of time is turned into passes by a clock, which says something else each time. ``budget.json`` keeps
what it left to try at first, by the request, so that the same request goes on with the same settings.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, cast

import msgspec
import numpy as np

from ltfix import files
from ltfix._version import __version__
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.filemap import release
from ltfix.heads.head import Head, load_head
from ltfix.records import Record, record_of
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.method import find_start
from ltfix.stage2.methods.parts import Part
from ltfix.stage2.methods.values import Values
from ltfix.stage2.tuning.candidates import COARSE_RATES, DIRECTION_RATES, RATES, SCALES
from ltfix.tensorfile import load_tensors

FORMAT = "ltfix-compare-run/1"
LEVELS, LEVELS_FORMAT = "budget.json", "ltfix-compare-budget/1"
_ROWS = 4096
_ANEW = "overwrite=True makes it anew, and keeps the rows that are whole"
_NO_MATTER = ("device", "no_cache", "average", "budget")  # options that change no head that is kept
_SCORING = {"caches", "options", "test", "shots", "kept", "seed", "chosen"}  # that change no head
_CHOOSING = {"val", "choices_by_seed", "searched", "tried", "tune", "val_fraction", "val_per_class"}
_APART = {  # what heads are called that differ in a setting
    "train": "of other features",
    "version": "of another version of ltfix",
    "method": "whose method or loss was another then",
    "values": "with other values",
    "given": "for which other values were given",
    "val": "chosen on other samples",
    "searched": "tuned on {}",  # what their budget left
    "tried": "tuned by a search that tries other rates or scales",
    "choices_by_seed": "chosen with another seed",
}
TRIED = [RATES, DIRECTION_RATES, COARSE_RATES, SCALES]  # beside a method's grid what ``chosen`` counts among
_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Level = tuple[Annotated[int, msgspec.Meta(ge=1)], _Fraction, _Fraction]
"""Of a search: cuts, share of the samples, share of the settings."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """One finished head: its scores as fractions, and its share of the fit's seconds.

    ``worst`` names its worst class; ``correct`` says which samples it got right (see
    ``evaluation.baseline.pack_correct``). ``chosen`` is which of its candidates tuning took.
    """

    scores: Mapping[str, float | None]
    seconds: float
    worst: str
    correct: str
    chosen: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The folder.

    Attributes:
        folder: where the runs lie; None keeps nothing.
        overwrite: replace heads of the same name that something else wrote.
    """

    folder: Path | None
    overwrite: bool = False

    def find(self, name: str, settings: Mapping[str, Any]) -> Finished | None:
        """The finished run of that name, if it was made with exactly these settings.

        Raises:
            UsageError: a file of that name is there that no comparison wrote, or another finished head.
            InputError: one of its files is torn.
        """
        if self.folder is None:
            return None
        record, head = _files(self.folder, name)
        found = self._record(_Kept, record, FORMAT)
        if found is None:
            self._refuse(record)
            self._refuse(head)
        elif found.scores is not None and head.exists():
            if files.sha256_file(head) != found.head_sha256:
                self._refuse(head)
            elif found.key == files.sha256_json(settings):
                scores = cast("dict[str, float | None]", found.scores)
                return Finished(scores, found.seconds, found.worst, found.correct, found.chosen)
            self.refuse_others({name: settings})
        return None

    def refuse_others(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse finished heads of these names that are others than these settings give (UsageError)."""
        if self.folder is None or self.overwrite:
            return
        others = dict[str, str]()
        for name, settings in wanted.items():
            record, head = _files(self.folder, name)
            found = self._record(_Kept, record, FORMAT)
            told = _apart(found.settings, settings) if found and found.scores and head.exists() else None
            others |= {name: told} if told is not None else {}
        if others:
            told, names = next(iter(others.values())), ", ".join([*others][:3]) + ", …" * (len(others) > 3)
            hint = f"name another folder by folder=DIR, or overwrite=True replaces {names} alone"
            raise UsageError(f"finished heads {told} are there", where=self.folder, hint=hint)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """A block in which no other comparison writes into the folder (else EnvironmentFault)."""
        return contextlib.nullcontext() if self.folder is None else files.lock(self.folder)

    def _refuse(self, path: Path) -> None:
        if path.exists() and not self.overwrite:
            try:
                _ = files.read_json(path) if path.suffix == ".json" else load_tensors(path)
            except InputError as err:
                what = err.what if "torn" in err.what else f"torn: {err.what}"
                raise InputError(what, where=path, hint=_ANEW) from err
            hint = "name another folder, or overwrite=True replaces it"
            raise UsageError("already there, and not from a comparison", where=path, hint=hint)

    def save(self, name: str, settings: Mapping[str, Any], head: Head, run: Finished) -> None:
        """Keep a finished run; EnvironmentFault where it cannot be, which is no fault of the method's."""
        if self.folder is None:
            return
        claim = {"format": FORMAT, "key": files.sha256_json(settings), "settings": settings}
        record, tensors = _files(self.folder, name)
        replace = self.overwrite or self._record(_Kept, record, FORMAT) is not None
        try:
            files.write_json(record, claim, overwrite=replace)
            sha256 = head.save(tensors, overwrite=replace)
            files.write_json(record, {**claim, **dataclasses.asdict(run), "head_sha256": sha256})
        except (InputError, UsageError) as err:
            raise EnvironmentFault(err.what, where=err.where, hint=err.hint) from err

    def level(self, request: str) -> Level | None:
        """What the budget of this request left to try when it was begun here.

        Raises:
            InputError: the record is wrong. UsageError: another program's file has its name.
        """
        return self._levels().get(request)

    def begin(self, request: str, level: Level) -> None:
        """Keep what the budget of a request leaves to try."""
        if self.folder is not None:
            levels = {**self._levels(), request: level}
            files.write_json(self.folder / LEVELS, {"format": LEVELS_FORMAT, "levels": levels})

    def _levels(self) -> dict[str, Level]:
        path = (self.folder or Path()) / LEVELS
        if self.folder is None or not path.exists():
            return {}
        found = self._record(_Levels, path, LEVELS_FORMAT)
        if found is None:
            self._refuse(path)
        return {} if found is None else found.levels

    def _record(self, kind: type[Record], path: Path, form: str) -> Record | None:
        """A record of this module, None where there is none or another's file; a damaged one: InputError."""
        found = _ours(path, form)
        with contextlib.suppress(*[InputError] if self.overwrite else []):
            return None if found is None else record_of(kind, found, path, hint=_ANEW)
        return None

    def head(self, name: str) -> Head:
        """The head of a finished run."""
        return load_head(_files(self.folder or Path(), name)[1])


NOWHERE = Store(None)


def shared_settings(material: Material, keep: bool, **more: Any) -> dict[str, Any]:
    """What decides every fit on one cache; ``keep``: whether a folder will hold them, so caches are read."""
    options = material.options
    caches = {"train": material.train, "val": material.held, **more.pop("caches", {})}
    return {
        "caches": {k: None if c is None else digest(c) for k, c in caches.items()} if keep else {},
        "options": {k: getattr(options, k) for k in options.__dataclass_fields__ if k not in _NO_MATTER}
        | {"init": options.init and find_start(options.init).identity},
        "choices_by_seed": material.seed,
        "version": __version__,
        **({"tried": TRIED} if options.tune else {}),
        **({} if options.budget else {"searched": None}) | more,  # of a budget it is known later
    }


def settings_of(shared: Mapping[str, Any], values: Values, seed: int, chosen: bool = True) -> dict[str, Any]:
    """All that decides one fit and its scores; parts by name, the sampler among the values; ``chosen``:
    whether validation samples choose anything."""
    tuned = chosen and shared.get("options", {}).get("tune", False)
    untold = {"sampler", "summary", "source"} | (set() if tuned else {"grid"})
    method = {
        k: v.identity if isinstance(v, Part) else v for k, v in vars(values.method).items() if k not in untold
    }
    found = {name: value["value"] for name, value in values.record().items()}
    given = [n for n in sorted({"lr", *values.method.grid} & found.keys()) if tuned and not values.is_free(n)]
    return {**shared, "method": method, "values": found, "given": given, "seed": seed, "chosen": chosen}


def _apart(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what finished heads differ from those of these settings, in words; None: in what scored them."""
    theirs, ours = _flat(theirs), _flat(files.parse_json(files.to_json(ours), "settings"))
    same = _SCORING if ours.get("chosen") or theirs.get("chosen", True) else _SCORING | _CHOOSING
    name = next((n for n in ("version", *ours) if n not in same and theirs.get(n) != ours.get(n)), "")
    told = _APART.get(name, f"without {name}" if theirs.get(name) is None else f"with {name}={theirs[name]}")
    return told.replace("{}", f"{theirs.get(name) or 'all cuts and samples'}") if name else None


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, those of caches and options among them."""
    parts = [settings.get("caches"), settings.get("options"), settings]
    return {name: value for part in parts if isinstance(part, Mapping) for name, value in part.items()}


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    """The record and the head of a run."""
    return folder / f"{name}.json", folder / f"{name}.safetensors"


class _Scores(TypedDict):
    all: _Fraction
    many: _Fraction | None
    medium: _Fraction | None
    few: _Fraction | None
    class_mean: NotRequired[_Fraction | None]  # a run of before it was kept has none, and is fitted again
    worst_class: _Fraction | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """A record: the rest is there once the head is."""

    key: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    scores: _Scores | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    worst: str = ""
    correct: str = ""
    chosen: Annotated[int, msgspec.Meta(ge=0)] = 0
    head_sha256: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Levels:
    levels: dict[str, Level]


def _ours(path: Path, form: str) -> dict[str, Any] | None:
    """What a JSON file of this format holds, or None where there is no such file or it is something else."""
    try:
        found = files.read_json(path)
    except InputError:
        return None
    return found if isinstance(found, dict) and found.get("format") == form else None


def digest(cache: FeatureCache) -> str:
    """SHA-256 of what a cache holds, not of its path: features (of a folder as its manifest hashes them, of a
    file all are read), labels, class names, stage-1 classifier with its recipe, by which presets go."""
    parts: dict[str, Any] = {"classes": cache.classes, "k": cache.n_classes}
    if cache.manifest is not None and cache.manifest.shards:
        parts["shards"] = [shard.sha256 for shard in cache.manifest.shards]
    else:
        parts["labels"] = _hash(cache.labels)
        parts["shards"] = [_hash(shard) for shard in cache.shards]
    if cache.head is not None:
        parts["head"] = [_hash(cache.head.weight), _hash(cache.head.bias)]
        parts["counts"] = cache.head.counts
        if "recipe" in cache.head.meta:
            parts["recipe"] = cache.head.meta["recipe"]
    return files.sha256_json(parts)


def _hash(array: np.ndarray) -> str:
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    for start in range(0, len(array), _ROWS):
        found.update(np.ascontiguousarray(array[start : start + _ROWS]).data)
        release(array)
    return found.hexdigest()
