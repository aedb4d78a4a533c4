"""``parquet:FILE``: a column of paths, or of pictures: bytes, or the hub's structs of bytes and path."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.images.cells import CellPictures, inside_of, opened
from ltfix.images.columns import Row, Rows, files_of, find_columns, open_table, parse
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.places import look_at, names_of

_BATCH = 1 << 14  # rows read together


def open_parquet(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """Open ``FILE``, a pattern, or ``train=F,test=G``.

    Raises:
        UsageError, InputError: as :func:`ltfix.images.columns.open_table`.
        EnvironmentFault: pyarrow is not installed.
    """
    build = functools.partial(_listing, chosen=parse(columns))
    return open_table(
        "parquet", _rows, rest, root=root, split=split, columns=columns, unit="row", build=build
    )


def _rows(file: str, chosen: Mapping[str, str]) -> Iterator[Row]:
    """The rows of one file; those of pictures are called by their number, and a path inside."""
    with opened(file) as parquet:
        (names, classes, inside), number = _layout(parquet.schema_arrow, chosen, file), 0
        wanted = (
            names
            if inside is None
            else [
                *(f"{names[0]}.{key}" for key in inside if key == "path"),
                *(name for name in names[1:] if name != names[0]),
            ]
        )
        for batch in parquet.iter_batches(_BATCH, columns=wanted, use_threads=False):
            table = batch.to_pydict()
            none = [None] * len(batch)
            for path, label, *of in zip(*(table.get(name, none) for name in names), strict=True):
                name = path
                if inside is not None:
                    name = str(number)
                    if own := (path or {}).get("path"):
                        name += f"/{own.rpartition('/')[2]}"
                yield number, name, label if classes is None else classes.get(label), *of
                number += 1


def _listing(rows: Rows, place: str, base: str, bounded: bool, *, chosen: Mapping[str, str]) -> Listing:
    """Rows as pictures of the table, or as files that it names."""
    with opened(place) as parquet:
        names, classes, inside = _layout(parquet.schema_arrow, chosen, place)
    known = None if classes is None else list(classes.values())
    if inside is None:
        return files_of(rows, place, base, bounded, classes=known)
    paths, members, numbers = rows.places()
    files = names_of(paths)
    samples = [f"{files[file]}/{name}" for file, name in zip(members.tolist(), rows.paths, strict=True)]
    pictures = CellPictures(names[0], paths, members, numbers)
    labels = Labels(rows.labels, rows.where, classes=known)
    stamps = np.array([look_at(path)[1] for path in paths], np.int64)[members]
    return Listing(place, samples, labels, pictures, pictures.sizes(), stamps)


def _layout(
    schema: Any, chosen: Mapping[str, str], where: str
) -> tuple[list[str], dict[int, str] | None, tuple[str, ...] | None]:
    """The columns, the declared class names by index, and the fields of a picture that lies in its cell."""
    names = find_columns(schema.names, chosen, where)
    return names, _class_names(schema, names[1]), inside_of(schema.field(names[0]).type)


def _class_names(schema: Any, column: str) -> dict[int, str] | None:
    """The names of a ClassLabel by index, as the hub's metadata of a schema declares them."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])
        names = told["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return dict(enumerate(names)) if whole else None
