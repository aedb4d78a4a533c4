"""``jsonl:FILE``: a JSON object a line; the keys of the first are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ltfix.errors import InputError
from ltfix.images.columns import Row, find_columns, open_table
from ltfix.images.listing import ListingSource
from ltfix.images.places import open_text


def open_jsonl(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """Open ``FILE`` or ``train=F,test=G``.

    Raises:
        UsageError, InputError: as :func:`ltfix.images.columns.open_table`.
    """
    return open_table("jsonl", rest, _rows, root=root, split=split, columns=columns)


def _rows(file: str, chosen: Mapping[str, str]) -> Iterator[Row]:
    names: list[str] | None = None
    with open_text(file) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as err:
                raise InputError(f"not JSON: {err}", where=f"{file}, line {number}") from err
            if not isinstance(found, dict):
                raise InputError("not a JSON object", where=f"{file}, line {number}")
            if names is None:
                names = find_columns(list(found), chosen, file)
            yield number, *(found.get(name) for name in names)
