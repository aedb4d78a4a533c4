"""``table:FILE``: rows of numbers for networks that take no pictures, in a ``.csv`` or a ``.npz``."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np

from ltfix.errors import UsageError
from ltfix.images.columns import parse
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.numbers import Numbers, read_numbers
from ltfix.images.parts import open_parts, split_parts
from ltfix.images.places import name_of
from ltfix.images.source import bare_name


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
        numbers, labels, splits = read_numbers(path, chosen)
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
