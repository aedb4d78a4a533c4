"""``table:FILE``: rows of numbers for networks that take no pictures, in a ``.csv`` or a ``.npz``."""

from __future__ import annotations

import csv
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.images.columns import NAMES, parse, split_name
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.parts import open_parts, split_parts
from ltfix.images.places import delimiter_of, name_of, open_binary, open_text
from ltfix.images.source import bare_name
from ltfix.images.split import Split
from ltfix.tensorfile import read_npz

LABELS = (*NAMES["label"], "y", "labels")
_ARRAYS = ("x", "features", "data")
_PICTURES = "a table of pictures is csv:FILE"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The rows of a table in the place of pictures.

    Attributes:
        place: the file.
        columns: their d names.
        values: [N, d] float64.
    """

    place: str
    columns: tuple[str, ...]
    values: np.ndarray

    def read(self, row: int) -> NoReturn:
        """Refuse to be a picture."""
        raise InputError("a row of numbers is no picture", where=self.where(row), hint=_PICTURES)

    def where(self, row: int) -> str:
        """The file and the row, from 1."""
        return f"{self.place}, row {row + 1}"


_Read = tuple[Numbers, list[str], list[str]]
"""Rows, with the label of each and its split, or "", as they are written."""


def numbers_of(split: Split) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The columns' names and the rows [N, d] float64 of a split of a table; None where it is of pictures."""
    table = split.pictures
    if not isinstance(table, Numbers):
        return None
    return table.columns, table.values if split.rows is None else table.values[split.rows]


def open_numbers(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """Open ``FILE`` or ``train=F,test=G``; one file may have a column, or an array, ``split``.

    All columns of a ``.csv`` but the label's and the split's are numbers; a ``.npz`` has ``X`` and ``y``.

    Raises:
        UsageError: several files for a split, ``columns`` of a path or of what to keep, or as
            :func:`ltfix.images.parts.open_parts`.
        InputError: no labels, or a cell that is no finite number; the row and the column are named.
    """
    chosen, tables, place = parse(columns), dict[str, Listing](), ""
    for name in chosen.keys() - {"label", "split"}:
        what = f"of a table of numbers, the label and the split are named, not {name}"
        raise UsageError(what, where="columns", hint=f"leave {name}=… out")
    apart = split_parts(rest, kind="table") is not None
    for name, (path, *more) in open_parts("table", rest, split[:1]).items():
        if more:
            raise UsageError(f"{name} is {1 + len(more)} files, and a table is one", where=f"table:{rest}")
        numbers, labels, splits = _read(path, chosen)
        place = place or path
        for of in [""] if apart else sorted(set(splits)):
            rows = [row for row, each in enumerate(splits) if apart or each == of]
            tables[of or name] = _listing(numbers, labels, rows)
    if len(tables) == 1:
        bare_name(split, f"table:{rest}")
    return ListingSource("table", name_of(place), tables)


def _listing(table: Numbers, labels: list[str], rows: list[int]) -> Listing:
    """Some rows of a table; in the place of a picture's size stands a sum of its numbers."""
    numbers = dataclasses.replace(table, values=table.values[rows])
    written = Labels((labels[row] for row in rows), lambda at: table.where(rows[at]))
    sums = np.fromiter(map(zlib.crc32, numbers.values), np.int64, len(rows))
    names = [f"row {row + 1:06}" for row in rows]
    return Listing(table.place, names, written, numbers, sums, None)


def _read(path: str, chosen: Mapping[str, str]) -> _Read:
    numbers, labels, splits = (_arrays if path.endswith(".npz") else _cells)(path, chosen)
    if not labels:
        raise InputError("it has no rows", where=path)
    wrong = np.argwhere(~np.isfinite(numbers.values))
    if len(wrong):
        row, column = wrong[0].tolist()
        what = f"{numbers.columns[column]} is {numbers.values[row, column]:g}"
        raise InputError(what, where=numbers.where(row), hint="fill what is missing, or leave it out")
    return numbers, labels, [of and split_name(of, numbers.where(row)) for row, of in enumerate(splits)]


def _arrays(path: str, chosen: Mapping[str, str]) -> _Read:
    """The arrays of a ``.npz``."""

    def wanted(found: set[str]) -> dict[str, str]:
        names = sorted(found)
        split = _split_column(names, chosen, path)
        return ({} if split is None else {"split": split}) | {
            "x": _column("numbers", names, _ARRAYS, None, path),
            "y": _column("label", names, LABELS, chosen.get("label"), path),
        }

    with open_binary(path) as handle:
        arrays = read_npz(path, wanted, handle)
    x, y = arrays["x"], arrays["y"]
    if x.ndim != 2 or x.dtype.kind not in "fiub" or y.shape != (len(x),):
        what = f"X is {x.dtype} {list(x.shape)}, y {list(y.shape)}: numbers [N, d] and labels [N] are needed"
        raise InputError(what, where=path)
    splits = arrays.get("split", np.full(len(x), "")).astype(str)
    if splits.shape != (len(x),):
        raise InputError(f"it has {len(x)} rows and {splits.size} names of splits", where=path)
    numbers = Numbers(path, tuple(map(str, range(x.shape[1]))), x.astype(np.float64))
    return numbers, y.astype(str).tolist(), splits.tolist()


def _cells(path: str, chosen: Mapping[str, str]) -> _Read:
    """The cells of a ``.csv``."""
    with open_text(path, newline="") as text:
        first = text.readline()
        try:
            reader = csv.reader([first, *text], delimiter=delimiter_of(first), strict=True)
            names, *rows = filter(None, reader)
        except (csv.Error, ValueError) as err:
            raise InputError(f"not a table: {err}", where=path) from err
    label = names.index(_column("label", names, LABELS, chosen.get("label"), path))
    of_split = _split_column(names, chosen, path)
    split = None if of_split is None else names.index(of_split)
    at = [i for i in range(len(names)) if i not in (label, split)]
    numbers = Numbers(path, tuple(names[i] for i in at), np.empty((len(rows), len(at))))
    for row, cells in enumerate(rows):
        if len(cells) != len(names):
            what = f"the row has {len(cells)} columns, the first line has {len(names)}"
            raise InputError(what, where=numbers.where(row))
        for place, column in enumerate(at):
            try:
                numbers.values[row, place] = cells[column].strip() or np.nan
            except ValueError:
                what = f"{names[column]} is {cells[column]!r:.40}, no number"
                raise InputError(what, where=numbers.where(row), hint=_PICTURES) from None
    splits = [""] * len(rows) if split is None else [cells[split] for cells in rows]
    return numbers, [cells[label].strip() for cells in rows], splits


def _split_column(names: Sequence[str], chosen: Mapping[str, str], path: str) -> str | None:
    said = chosen.get("split")
    return _column("split", names, NAMES["split"], said, path) if said or "split" in names else None


def _column(meaning: str, names: Sequence[str], usual: Sequence[str], said: str | None, path: str) -> str:
    """The name of the labels, or of the array of numbers."""
    lower = {name.strip().lower(): name for name in names}
    found = said or next((lower[each] for each in usual if each in lower), None)
    if found is None or found not in names:
        what = f"there is no column {said!r}" if said else f"none of its columns is called as a {meaning} is"
        which = f"columns={meaning}=NAME says which" if meaning in NAMES else f"it may be {', '.join(usual)}"
        raise InputError(what, where=path, hint=f"{which}; it has {', '.join(names[:20])}")
    return found
