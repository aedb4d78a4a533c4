"""Tables: parquet with a column of lists, and CSV with a column a dimension."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.cells import opened
from ltfix.importing.found import Found, choose, pick, text_of
from ltfix.importing.request import ImportRequest


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
    """A header; perhaps a column of labels and one of names, and a number in every other."""
    files.demand_regular(path)
    with files.os_errors(path), path.open(encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, strict=True)
        try:
            header = next(rows, [])
            labels = choose(header, request.labels, "labels", path)
            samples = choose(header, None, "samples", path)
            aside = [None if name is None else header.index(name) for name in (labels, samples)]
            numbers = [i for i, name in enumerate(header) if i not in aside and name.strip()]
            table = [(_numbers(row, numbers), *(i is None or row[i] for i in aside)) for row in rows if row]
        except (csv.Error, UnicodeDecodeError, ValueError, IndexError) as err:
            raise InputError(f"not a table of numbers: {err}", where=f"{path}, line {rows.line_num}") from err
    if not table or not numbers:
        raise InputError("it has no rows of numbers", where=path)
    features, written, named = zip(*table, strict=True)
    return Found(
        [np.stack(features)], None if labels is None else np.asarray(written), samples and list(named)
    )


def _numbers(row: list[str], places: list[int]) -> np.ndarray:
    return np.array([row[place] for place in places], np.float32)
