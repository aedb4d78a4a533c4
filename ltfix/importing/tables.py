"""Tables: parquet with a column of lists, and CSV with a column a dimension."""

from __future__ import annotations

import csv
import fnmatch
import itertools
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError, cut, nearest
from ltfix.images.cells import opened
from ltfix.images.places import delimiter_of
from ltfix.importing.found import CALLED, Found, choose, pick, text_of
from ltfix.importing.request import ImportRequest

_ASIDE = {*CALLED["labels"], *CALLED["samples"], "id", "index", "split"} - {"y"}
"""What columns of a CSV are called that are no features, unless they are asked for; y may be a coordinate."""
_CHOOSE = (
    "leave such a row out; features=f0,f1 or features='f*' chooses columns, labels=NAME that of the classes"
)
_SHOWN = 6


def parquet(path: Path, request: ImportRequest) -> Found:
    """Features from a column of lists of equal length."""
    found = columns(path, request)
    import pyarrow

    with opened(str(path)) as file:
        name = pick(file.schema_arrow.names, request.features, path)
        column = file.read([name]).column(0).combine_chunks()
    if not isinstance(column, pyarrow.ListArray | pyarrow.LargeListArray | pyarrow.FixedSizeListArray):
        raise InputError(f"the column {name} is not one of lists", where=path)
    values = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count or not len(column) or len(values) % len(column):
        raise InputError(f"the lists of {name} are not all of one length", where=path)
    return Found([values.reshape(len(column), -1)], found.labels, found.samples)


def columns(path: Path, request: ImportRequest) -> Found:
    """Labels and names alone."""
    with opened(str(path)) as file:
        known = file.schema_arrow.names
        labels, samples = choose(known, request.labels, "labels", path), choose(known, None, "samples", path)
        found, named = (
            None if name is None else file.read([name]).column(0).to_pylist() for name in (labels, samples)
        )
    return Found([], None if found is None else np.asarray(found), named and list(map(text_of, named)))


def text(path: Path, request: ImportRequest) -> Found:
    """A header; a number in each column of features, perhaps a column of labels and one of names."""
    files.demand_regular(path)
    with files.os_errors(path), path.open(encoding="utf-8-sig", newline="") as handle:
        first = handle.readline()
        rows = csv.reader(itertools.chain([first], handle), delimiter=delimiter_of(first), strict=True)
        try:
            header = next(rows, [])
            labels = choose(header, request.labels, "labels", path)
            samples = choose(header, None, "samples", path)
            aside = [None if name is None else header.index(name) for name in (labels, samples)]
            numbers = _places(header, request.features, aside, path)
            if request.features is None:
                _demand_names([header[i] for i in numbers], path)
            table = [
                (_numbers(row, numbers, header), *(i is None or row[i] for i in aside), rows.line_num)
                for row in rows
                if row
            ]
        except (csv.Error, UnicodeDecodeError, ValueError, IndexError) as err:
            hint = _CHOOSE if type(err) is ValueError else None
            hint = hint if len(header) > 1 else "commas, semicolons or tabs stand between columns"
            place = f"{path}, line {rows.line_num}"
            raise InputError(f"not a table of numbers: {err}", where=place, hint=hint) from err
    if not table or not numbers:
        raise InputError("it has no rows of numbers", where=path)
    features, written, named, lines = zip(*table, strict=True)
    return Found(
        [np.stack(features)],
        None if labels is None else np.asarray(written),
        samples and list(named),
        notes=(_told(header, numbers, aside),),
        lines=lines,
    )


def _places(header: list[str], asked: str | None, taken: list[int | None], where: Path) -> list[int]:
    """Which columns are features: those that names or patterns choose, else all that have no other use."""
    named = {i: name for i, name in enumerate(header) if name.strip() and i not in taken}
    if asked is None:
        return [i for i, name in named.items() if name.strip().lower() not in _ASIDE]
    chosen = set[int]()
    for pattern in [asked] if asked in header else [part.strip() for part in asked.split(",")]:
        found = {i for i, name in named.items() if fnmatch.fnmatchcase(name, pattern) or name == pattern}
        if not found:
            hint = nearest(pattern, named.values())
            raise InputError(f"no column of features is called {pattern!r}", where=where, hint=hint)
        chosen |= found
    return sorted(chosen)


def _demand_names(columns: list[str], where: Path) -> None:
    """Refuse names of columns that are the numbers of a sample (InputError); whole ones may be names."""
    try:
        values = [float(name) for name in columns]
    except ValueError:
        return
    if len(set(values)) < len(values) or not all(value.is_integer() for value in values):
        hint = "put a line of names above it, as f0,f1,label; numbers that are names: features='*'"
        raise InputError("the first line is numbers, where names belong", where=where, hint=hint)


def _told(header: list[str], numbers: list[int], aside: list[int | None]) -> str:
    names = [header[i] for i in numbers]
    shown = f"{names[0]} … {names[-1]}" if len(names) > _SHOWN else ", ".join(names)
    others = [name or "one without a name" for i, name in enumerate(header) if i not in {*numbers, *aside}]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    line = f"{len(names)} feature columns: {shown}"
    line += "" if aside[0] is None else f"; labels: {header[aside[0]]}"
    return line + (f"; left out: {', '.join(others[:_SHOWN])}{more}" if others else "")


def _numbers(row: list[str], places: list[int], header: list[str]) -> np.ndarray:
    cells = [row[place] for place in places]
    try:
        found = np.array(cells, np.float32)
        wrong = np.flatnonzero(~np.isfinite(found))
    except ValueError:
        wrong = np.flatnonzero([not _is_number(cell) for cell in cells])
    if len(wrong):
        raise ValueError(f"the column {cut(header[places[wrong[0]]])} holds {cut(cells[wrong[0]])}")
    return found


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(np.float32(cell)))
    except ValueError:
        return False
