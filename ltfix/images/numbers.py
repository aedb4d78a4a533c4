"""Rows of numbers with a label each, in a ``.csv`` or a ``.npz``."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from ltfix.errors import InputError
from ltfix.images.columns import NAMES, split_name
from ltfix.images.places import delimiter_of, open_binary, open_text
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


TableOfNumbers = tuple[Numbers, list[str], list[str]]
"""Rows, with the label of each and its split, or "", as they are written."""


def numbers_of(split: Split) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The columns' names and the rows [N, d] float64 of a split of a table; None where it is of pictures."""
    table = split.pictures
    if not isinstance(table, Numbers):
        return None
    return table.columns, table.values if split.rows is None else table.values[split.rows]


def read_numbers(path: str, chosen: Mapping[str, str]) -> TableOfNumbers:
    """The rows of a file, by its ending; ``chosen``: the columns that were named.

    Raises:
        InputError: no rows, no labels, or a cell that is no finite number; the row and the column are named.
    """
    numbers, labels, splits = (_arrays if path.endswith(".npz") else _cells)(path, chosen)
    if not labels:
        raise InputError("it has no rows", where=path)
    wrong = np.argwhere(~np.isfinite(numbers.values))
    if len(wrong):
        row, column = wrong[0].tolist()
        what = f"{numbers.columns[column]} is {numbers.values[row, column]:g}"
        raise InputError(what, where=numbers.where(row), hint="fill what is missing, or leave it out")
    return numbers, labels, [of and split_name(of, numbers.where(row)) for row, of in enumerate(splits)]


def _arrays(path: str, chosen: Mapping[str, str]) -> TableOfNumbers:
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


def _cells(path: str, chosen: Mapping[str, str]) -> TableOfNumbers:
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
