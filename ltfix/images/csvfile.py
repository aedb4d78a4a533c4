"""``csv:FILE`` and ``tsv:FILE``: tables of text whose first line names the columns."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping, Sequence

from ltfix.errors import InputError
from ltfix.images.columns import Row, find_columns, open_table
from ltfix.images.listing import ListingSource
from ltfix.images.places import open_text


def open_csv(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """Open ``FILE`` or ``train=F,test=G``, commas between; semicolons where the first line has no comma.

    Raises:
        UsageError, InputError: as :func:`ltfix.images.columns.open_table`.
    """
    return open_table("csv", rest, functools.partial(_rows, ",;"), root=root, split=split, columns=columns)


def open_tsv(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """The same with tabs between."""
    return open_table("tsv", rest, functools.partial(_rows, "\t"), root=root, split=split, columns=columns)


def _rows(delimiters: str, file: str, chosen: Mapping[str, str]) -> Iterator[Row]:
    with open_text(file, newline="") as text:
        first = text.readline()
        between = next((each for each in delimiters if each in first), delimiters[0])
        line = 1
        try:
            names = next(csv.reader([first], delimiter=between, strict=True), [])
            at = [names.index(name) for name in find_columns(names, chosen, file)]
            reader = csv.reader(text, delimiter=between, strict=True)
            for cells in reader:
                line = reader.line_num + 1
                if len(cells) == len(names):
                    yield line, *(cells[place] for place in at)
                elif cells:
                    what = f"the row has {len(cells)} columns, the first line has {len(names)}"
                    raise InputError(what, where=f"{file}, line {line}")
        except csv.Error as err:
            raise InputError(f"not a table: {err}", where=f"{file}, line {line}") from err
