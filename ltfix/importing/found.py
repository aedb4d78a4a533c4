"""What a file of another tool holds, as every format's reader gives it, and how its parts are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import InputError, nearest
from ltfix.features.foreign import HEAD, USUAL, layer_among
from ltfix.images.places import open_text
from ltfix.importing.request import ImportRequest

CALLED = {
    **USUAL,
    "samples": ("samples", "filenames", "file_names", "filename", "path", "image_path", "paths", "key"),
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Features of another tool, not read yet where they may be large.

    Attributes:
        parts: [n_i, D] or [n_i, V, D] each, what a slice of rows can be taken of.
        labels: N texts or numbers; None: the file has none.
        samples: N names, or None.
        head: ``weight`` [K, D] and perhaps ``bias`` [K] of the classifier that came along, or nothing.
        lines: N, where labels are lines of a text file.
        notes: what of the file was taken, where that is a choice, one line each.
    """

    parts: Sequence[Any]
    labels: np.ndarray | None
    samples: Sequence[str] | None = None
    head: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lines: Sequence[int] = ()

    def place(self, row: int) -> str:
        """Which line or row it is, for messages."""
        return f"line {self.lines[row]}" if self.lines else f"row {row}"


def pick(names: Iterable[str], asked: str | None, where: object) -> str:
    """What features are called among these names, as asked for or as usual; InputError: none is."""
    found = choose(names, asked, "features", where)
    if found is None:
        hint = f"features=NAME says which; it has {', '.join(list(names)[:8]) or 'nothing'}"
        raise InputError("nothing in it is called as features are", where=where, hint=hint)
    return found


def choose(names: Iterable[str], asked: str | None, what: str, where: object) -> str | None:
    """The name asked for (else InputError), or the first of the usual ones that is there, else None."""
    known = list(names)
    if asked is not None and asked not in known:
        raise InputError(f"there is no {asked!r} in it", where=where, hint=nearest(asked, known))
    return asked or next((name for name in CALLED[what] if name in known), None)


def from_arrays(arrays: Mapping[str, Any], request: ImportRequest, where: Path) -> Found:
    """Features and labels by name among arrays, or the one array that there is."""
    only = next(iter(arrays)) if len(arrays) == 1 else None
    features = pick(arrays, request.features or only, where)
    labels = choose(arrays, request.labels, "labels", where)
    samples = choose(arrays, None, "samples", where)
    file, layer = head_place(request.head_from or "")
    own = [f"{layer}.{part}".lstrip(".") for part in ("weight", "bias")] if Path(file) == where else []
    others = [name for name in arrays if name not in (features, labels, samples, *HEAD, *own)]
    return Found(
        [arrays[features]],
        None if labels is None else np.asarray(arrays[labels]),
        None if samples is None else list(map(text_of, np.asarray(arrays[samples]))),
        {name.removeprefix("head."): np.asarray(arrays[name]) for name in HEAD if name in arrays},
        (_told(features, labels, others, where if request.head_from is None else None),)
        if others or [features, labels or "labels"] != [*USUAL]
        else (),
    )


def _told(features: str, labels: str | None, others: Sequence[str], where: Path | None) -> str:
    """Which arrays were taken, and which were not; where one of these may be the classifier (None: it is
    known), how it would be."""
    line = f"features: {features}" + (f"; labels: {labels}" if labels else "")
    line += f"; left out: {', '.join(others[:8])}{' …' * (len(others) > 8)}" if others else ""
    layer = layer_among(others)
    if where is None or layer is None or where.suffix in (".h5", ".hdf5"):  # of which head_from reads none
        return line
    return f"{line}; head_from={where}:{layer} makes {layer} the stage-1 classifier"


def head_place(text: str) -> tuple[str, str]:
    """The file of ``FILE:NAME``, and the layer's name; of ``FILE`` alone it is empty."""
    file, _, name = text.rpartition(":")
    return (file, name) if file and not Path(text).is_file() else (text, "")


def text_of(value: Any) -> str:
    """A label or a name, as arrays hold it: text, a number, or bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_lines(path: Path) -> dict[int, str]:
    """The lines of a text file that are not empty, by number from 1; InputError where it is no text."""
    with open_text(str(path)) as lines:
        return {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
