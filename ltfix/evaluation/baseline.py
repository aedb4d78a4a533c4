"""An earlier report of ltfix, which heads may be held against."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, nearest
from ltfix.evaluation.gate import LOWER_IS_BETTER, held_rows
from ltfix.evaluation.given import in_folder, told_apart
from ltfix.evaluation.report import FORMAT
from ltfix.evaluation.shots import SHOTS

OTHER_CLASSES = "the baseline has other classes in the shots"
_NONE = "not a report of ltfix evaluate"
_WRITES = '`ltfix.evaluate(...).render("json")` writes one'


def pack_correct(correct: np.ndarray) -> str:
    """[N] bool, whether each sample was classified right, as text: eight samples a byte, in base64."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpack_correct(text: str, n: int, where: object, what: str) -> np.ndarray:
    """[N] bool of such text; InputError where it is not of so many samples."""
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        packed = np.empty(0, np.uint8)
    if len(packed) != (n + 7) // 8:
        raise InputError(f"`correct` of {what} is torn", where=where)
    return np.unpackbits(packed, count=n).astype(bool)


def samples_id(labels: np.ndarray) -> str:
    """By which two reports know that they are of the same samples: the SHA-256 of their labels [N]."""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """A report as it was written.

    Attributes:
        path: its file.
        heads: its rows by name.
        labels: the ``labels_sha256`` of what it was measured on.
        shots: the rule of the shots.
        tested: classes with a test sample, per shot; empty where the report does not say.
    """

    path: Path
    heads: dict[str, dict[str, Any]]
    labels: Any
    shots: Any
    tested: dict[str, int]

    def row(self, name: str, path: str | None = None, *, alone: bool) -> dict[str, Any]:
        """The row of a head by its name, and where one report alone has several files of that name, by its
        path or folder (else InputError); where both reports have ``alone`` one fitted head, that."""
        rows = list(self.heads.values())
        fitted = held_rows(rows)
        if name in self.heads:
            return self.heads[name]
        same = [row for row in rows if path and _place(row) == path]
        longer = in_folder(name, path or "")
        same = same or [
            row for row in rows if row["name"] == longer or in_folder(row["name"], _place(row)) == name
        ]
        if path and len(same) == 1:
            return same[0]
        if alone and len(fitted) == 1:
            return dict(fitted[0])
        hint = f"name the heads to hold, those of the baseline ({nearest(name, self.heads)})"
        raise InputError(f"the baseline has no head {name}", where=self.path, hint=hint)

    def value(self, row: Mapping[str, Any], name: str) -> float:
        """A score of a row (InputError: the report does not say)."""
        found = row.get(name)
        if not isinstance(found, int | float) or isinstance(found, bool):
            least = 100 if name in LOWER_IS_BETTER else 0
            call = f'ltfix.evaluate(..., fail_under="{name}={least}").render("json")'
            hint = f"take it away, and `{call}` writes one with it"
            raise InputError(f"the baseline has no {name} of {row['name']}", where=self.path, hint=hint)
        return float(found)

    def demand_bounds(self, shots: Mapping[str, Any]) -> None:
        """Demand that Many and Few mean the same as here (InputError)."""
        for name in ("many", "few"):
            if isinstance(self.shots, dict) and self.shots.get(name, shots[name]) != shots[name]:
                what = f"the baseline is of {name} = {self.shots[name]}, not {shots[name]}"
                raise InputError(
                    what, where=self.path, hint="give the same bounds, or take it away and write it again"
                )

    def demand_classes(self, held: Iterable[str], tested: Mapping[str, int], labels: np.ndarray) -> None:
        """Demand of other samples that each held score is a mean over as many classes (InputError)."""
        for name in held if self.tested and self.labels != samples_id(labels) else ():
            shots = [name] if name in tested else list(tested)
            was, now = (sum(of.get(shot, 0) for shot in shots) for of in (self.tested, tested))
            if was != now:
                what = f"{name} of the baseline is of {was} tested classes, here of {now}"
                hint = f"give the samples that it is of; for others take it away, {_WRITES}"
                raise InputError(what, where=self.path, hint=hint)

    def why_unpaired(
        self, row: Mapping[str, Any], name: str, labels: np.ndarray, tested: Mapping[str, int]
    ) -> str:
        """Why a score of a row cannot be compared sample by sample with these; empty where it can.

        Args:
            tested: how many classes of each shot have a sample. Of as many the shot may still be of others,
                which its score tells.
        """
        if self.labels != samples_id(labels):
            return "the baseline is of other samples"
        if name in SHOTS and self.tested.get(name) != tested[name]:
            return OTHER_CLASSES
        return "" if isinstance(row.get("correct"), str) else "the baseline has no `correct`"

    def correct(self, row: Mapping[str, Any], n: int) -> np.ndarray:
        """[N] bool, which samples a row got right (InputError: what it says is torn)."""
        return unpack_correct(row["correct"], n, self.path, row["name"])


def _place(row: Mapping[str, Any]) -> str:
    """The path of its file; empty where it says none."""
    return row["path"] if isinstance(row.get("path"), str) else ""


def read_baseline(path: Path | str) -> Baseline:
    """An earlier report in JSON (InputError: missing, torn, or something else)."""
    try:
        found = files.read_json(Path(path))
    except InputError as err:
        what = _NONE if err.what.startswith("not JSON") else err.what
        hint = _WRITES if Path(path).exists() else f"a first build has no baseline; {_WRITES}"
        raise InputError(what, where=path, hint=hint) from err
    form = str(found.get("format", "")) if isinstance(found, dict) else ""
    if form != FORMAT:
        ours = form.startswith(FORMAT.rstrip("0123456789"))
        what = f"a report of a version that this ltfix cannot read: {form}" if ours else _NONE
        raise InputError(what, where=path, hint=_WRITES)
    rows, cache = found.get("heads"), found.get("cache")
    if not isinstance(rows, list) or not isinstance(cache, dict):
        raise InputError("a report without heads or cache", where=path, hint=_WRITES)
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]
    told = told_apart([(row["name"], _place(row)) for row in named])
    heads = {name: {"method": None, **row, "name": name} for name, row in zip(told, named, strict=True)}
    said = found.get("tested")
    tested = said if isinstance(said, dict) and all(isinstance(n, int) for n in said.values()) else {}
    return Baseline(Path(path), heads, cache.get("labels_sha256"), found.get("shots"), tested)
