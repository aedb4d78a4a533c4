"""``csv:FILE`` and ``tsv:FILE``, whose first line names the columns; ``jsonl:FILE``, an object a line."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator, Mapping

from ltfix.errors import InputError
from ltfix.images.columns import Row, find_columns, open_table
from ltfix.images.places import delimiter_of, open_text


def _lines(delimiters: str, file: str, chosen: Mapping[str, str]) -> Iterator[Row]:
    """The lines of a table; of two delimiters the first one that its first line has."""
    with open_text(file, newline="") as text:
        first = text.readline()
        between = delimiter_of(first, delimiters)
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


def _objects(file: str, chosen: Mapping[str, str]) -> Iterator[Row]:
    """The JSON objects of a file, one a line."""
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


open_csv = functools.partial(open_table, "csv", functools.partial(_lines, ",;"))
open_tsv = functools.partial(open_table, "tsv", functools.partial(_lines, "\t"))
open_jsonl = functools.partial(open_table, "jsonl", _objects)
