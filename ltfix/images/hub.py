"""``hf:NAME``, ``hf:NAME:CONFIG`` and ``hf:FOLDER``: data sets of the hub, by the library ``datasets``."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import InputError, extra
from ltfix.images.columns import Rows, find_columns, kept, parse, split_name
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.pictures import FilePictures, check_size
from ltfix.images.places import look_at, name_of

_BATCH = 1000  # rows read together


def open_hub(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), columns: str | None = None
) -> ListingSource:
    """Open a data set by its name on the hub, or one that the library saved to a folder.

    Raises:
        UsageError: ``columns`` does not read so.
        InputError: there is no such data set or configuration, or it has no column of pictures.
        EnvironmentFault: datasets is not installed.
    """
    chosen, where = parse(columns), f"hf:{rest}"
    with extra("hf", where):
        import datasets
    try:
        if any((Path(rest) / name).is_file() for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(rest)
        else:
            name, _, config = rest.partition(":")
            found = datasets.load_dataset(name, config or None)
    except Exception as err:  # what it and the hub's client raise has no common name
        told = "; ".join(str(err).split("\n")[:2]) or type(err).__name__  # the second line says what there is
        raise InputError(told, where=where) from err
    if isinstance(found, datasets.Dataset):
        found = {(split or ("train",))[0]: found}
    tables = {
        split_name(of, where): functools.partial(_read, each, chosen, f"{where}, {of}")
        for of, each in found.items()
    }
    return ListingSource("hf", name_of(rest.partition(":")[0]), tables)


def _read(found: Any, chosen: Mapping[str, str], where: str) -> Listing:
    """One split."""
    import datasets

    (image, label, *_), keep = find_columns(found.column_names, chosen, where), kept(chosen)
    if not isinstance(found.features[image], datasets.Image):
        raise InputError(
            f"column {image!r} holds no pictures", where=where, hint="columns=path=NAME says which does"
        )
    names: list[str] | None = getattr(found.features[label], "names", None)
    known = None if names is None else dict(enumerate(names))
    cells = found.select_columns(list(dict.fromkeys((image, label, *keep)))).cast_column(
        image, datasets.Image(decode=False)
    )
    rows, sizes = Rows("row"), list[int]()
    rows.begin(where)
    for batch in cells.with_format("arrow").iter(_BATCH):
        pictures, more = batch.column(image), batch.select(keep).to_pylist()
        for at, text in enumerate(batch.column(label).to_pylist()):
            path, data = pictures[at]["path"].as_py(), pictures[at]["bytes"]
            name = f"{len(sizes)}/{path.rpartition('/')[2]}" if path else str(len(sizes))
            rows.add(len(sizes), name, text if known is None else known.get(text))
            if keep:
                rows.keep(more[at])
            sizes.append(len(data.as_buffer()) if data.is_valid else look_at(path or "")[0])
    stamp = zlib.crc32(found._fingerprint.encode())  # any text: who saved it may have chosen it
    labels = Labels(rows.labels, rows.where, classes=names)
    pictures = HubPictures(cells, image, where)
    stamps = np.full(len(sizes), stamp)
    return Listing(
        where, rows.paths, labels, pictures, np.array(sizes, np.int64), stamps, kept=rows.kept or None
    )


class HubPictures:
    """Pictures of a data set, encoded as it has them, in a column whose cells are not decoded."""

    def __init__(self, cells: Any, column: str, place: str) -> None:
        self.cells, self.column, self.place = cells, column, place

    def read(self, row: int) -> bytes:
        """The bytes of one picture; see :class:`ltfix.images.pictures.Pictures`."""
        cell = self.cells[row][self.column] or {}
        if cell.get("bytes") is not None:
            check_size(len(cell["bytes"]), self.where(row))
            return bytes(cell["bytes"])
        if cell.get("path"):  # a file of the library's own cache
            return FilePictures("", [cell["path"]]).read(0)
        raise InputError("the row has no picture", where=self.where(row))

    def where(self, row: int) -> str:
        """The data set and the row."""
        return f"{self.place}, row {row}"
