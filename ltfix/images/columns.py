"""Which columns of a table are the path, the label and the split of a picture; its rows, by split."""

from __future__ import annotations

import bisect
import dataclasses
import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource, keep_inside
from ltfix.images.parts import base_of, open_parts, split_parts
from ltfix.images.pictures import below
from ltfix.images.places import name_of
from ltfix.images.source import OTHER_NAMES, bare_name

Row = tuple[Any, ...]  # its number, path, label, its split where there is a column of them, what is kept
Reader = Callable[..., Iterable[Row]]  # of a file and the columns ``chosen``

_HALF = re.compile("[\ud800-\udfff]")

# what columns are called, the first that a table has is taken
NAMES = {
    "path": ("path", "file", "image", "filename", "file_name", "filepath", "image_path"),
    "label": ("label", "class", "category", "target", "class_name", "category_name"),
    "split": ("split",),
}


def find_columns(names: Sequence[str], chosen: Mapping[str, str], where: object) -> list[str]:
    """The columns of the path, of the label, if there is one, of the split, and those to be kept.

    Args:
        names: all that the table has.
        chosen: as :func:`parse` reads them; where labels are not looked at, the path stands for the label.
        where: the table, for messages.

    Raises:
        InputError: no path or no label among them, or not one that was named.
    """
    known = "it has " + ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = list[str]()
    for meaning, usual in NAMES.items():
        if meaning == "label" and not wants_labels(chosen):
            found.append(found[0])
            continue
        name = chosen.get(meaning) or next((lower[each] for each in usual if each in lower), None)
        if name is not None and name not in names:
            raise InputError(f"there is no column {name!r}", where=where, hint=known)
        if name is not None:
            found.append(name)
        elif meaning != "split":
            hint = f"columns={meaning}=NAME says which; {known}"
            raise InputError(f"none of its columns is called as a {meaning} is", where=where, hint=hint)
    for name in kept(chosen):
        if name not in names:
            raise InputError(f"there is no column {name!r}", where=where, hint=known)
    return [*found, *kept(chosen)]


def kept(chosen: Mapping[str, str]) -> list[str]:
    """The columns that go into the cache beside the features."""
    return chosen["keep"].split(",") if "keep" in chosen else []


def wants_labels(chosen: Mapping[str, str]) -> bool:
    """Whether labels are looked at: ``label=`` says that they are not, and that no column need have them."""
    return chosen.get("label") != ""


def parse(text: str | None) -> dict[str, str]:
    """The columns that were named, as ``path=file,label=species,keep=place,date`` (else UsageError)."""
    found = dict[str, str]()
    for part in re.split(rf",(?=(?:{'|'.join((*NAMES, 'keep'))})=)", text) if text else ():
        meaning, _, name = part.partition("=")
        if meaning not in (*NAMES, "keep") or meaning in found or not (name or meaning == "label"):
            what = f"columns={text!r} is not path=NAME,label=NAME,split=NAME,keep=NAME,NAME"
            raise UsageError(what, where="columns")
        found[meaning] = name
    return found


class Rows:
    """Rows with a path and a label as they are read from files; messages call a row a ``unit``."""

    def __init__(self, unit: str = "line") -> None:
        self.paths, self.labels, self.kept = list[str](), list[str](), list[str]()
        self._unit, self._numbers, self._known = unit, array("l"), dict[str, str]()
        self._files, self._starts = list[str](), list[int]()

    def begin(self, file: str) -> None:
        """What is added from now on comes from this file."""
        self._files.append(file)
        self._starts.append(len(self.paths))

    def add(self, number: int, path: object, label: object) -> None:
        """One row more; a label is kept once. InputError: a path or label empty, or no text or number."""
        self._numbers.append(number)
        texts = self.text(path, "path"), self.text(label, "label")
        self.paths.append(texts[0])
        self.labels.append(self._known.setdefault(texts[1], texts[1]))

    def keep(self, values: Mapping[str, object]) -> None:
        """What is kept of the row that was added last; InputError where JSON has no such value."""
        try:
            self.kept.append(msgspec.json.encode(values).decode())
        except (TypeError, ValueError) as err:
            raise InputError(f"what is kept is not JSON: {err}", where=self.where(len(self.kept))) from err

    def text(self, value: object, meaning: str) -> str:
        """What stands in a cell of the row that is being added."""
        if isinstance(value, str) and (value := value.strip()):
            if value.isascii() or not _HALF.search(value):
                return value
            what = f"the {meaning} {value!r:.40} holds half of a surrogate pair, which no text does"
            raise InputError(what, where=self.where(len(self.paths)))
        if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
            return str(value)
        where = self.where(len(self.paths))
        if value is None or isinstance(value, str | float):
            raise InputError(f"the row has no {meaning}", where=where)
        hint = "multi-label? a row has one label" if meaning == "label" else None
        raise InputError(f"the {meaning} is {value!r:.40}, not text or a number", where=where, hint=hint)

    def drop_first(self) -> None:
        """Without the first row, a header."""
        del self.paths[0], self.labels[0], self._numbers[0]
        self._starts = [max(start - 1, 0) for start in self._starts]

    def where(self, row: int) -> str:
        """The file and the number of a row."""
        file = self._files[bisect.bisect_right(self._starts, row) - 1]
        return f"{file}, {self._unit} {self._numbers[row]}"

    def places(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The files, which of them each row is in, and its number there."""
        ends = [*self._starts[1:], len(self.paths)]
        lengths = [end - start for start, end in zip(self._starts, ends, strict=True)]
        return self._files, np.repeat(np.arange(len(lengths)), lengths), np.array(self._numbers, np.int64)


def files_of(
    rows: Rows,
    place: str,
    base: str,
    bounded: bool,
    *,
    classes: Sequence[str] | None = None,
    notes: tuple[str, ...] = (),
) -> Listing:
    """Rows whose pictures are files.

    Args:
        rows: their paths; those that are absolute become relative to ``base``, as caches hold none.
        place: what messages call the table.
        base: the folder or URL that they start from.
        bounded: whether none may lead out of ``base``.
        classes: K names in index order, where the table declares them.
        notes: of the table.

    Raises:
        InputError: a path leads out of a bounded base.
    """
    labels = Labels(rows.labels, rows.where, classes=classes)
    keep_inside(rows.paths, base, bounded, rows.where)
    return Listing(place, rows.paths, labels, *below(base, rows.paths), notes=notes)


def open_table(
    kind: str,
    read: Reader,
    rest: str,
    *,
    root: str | None = None,
    split: Sequence[str] = (),
    columns: str | None = None,
    unit: str = "line",
    build: Callable[[Rows, str, str, bool], Listing] = files_of,
) -> ListingSource:
    """A source of the tables behind ``FILE`` or ``train=F,test=G``; one file may have a column of splits.

    Args:
        kind: the prefix.
        read: the rows of one file: number, path, label, and split where it has such a column.
        rest: what stands behind the prefix.
        root: where paths start from; default: the first file's own folder.
        split: the splits asked for.
        columns: as :func:`parse` reads them.
        unit: what messages call a row.
        build: a listing of the rows, as :func:`files_of` makes one.

    Raises:
        UsageError, InputError: as :func:`parse`, :func:`ltfix.images.parts.open_parts` and ``read``.
    """
    chosen = parse(columns)
    parts = open_parts(kind, rest, split[:1])
    first = next(iter(parts.values()))[0]
    base = base_of(first, root)

    def tables(paths: list[str], by_split: bool) -> dict[str, Listing]:
        found = dict[str, Listing]()
        for of, rows in _gather(paths, read, by_split, unit, chosen).items():
            listing = build(rows, paths[0], base, root is not None)
            found[of] = dataclasses.replace(listing, kept=rows.kept or None)
        return found

    if split_parts(rest, kind=kind) is not None:
        load = {name: lambda paths=paths: tables(paths, False)[""] for name, paths in parts.items()}
        return ListingSource(kind, name_of(root or first), load)
    found = tables(next(iter(parts.values())), True)
    if list(found) == [""]:
        found = {bare_name(split, f"{kind}:{rest}"): found[""]}
    return ListingSource(kind, name_of(root or first), found)


def _gather(
    paths: list[str], read: Reader, by_split: bool, unit: str, chosen: Mapping[str, str]
) -> dict[str, Rows]:
    """The rows of some files, by split or all under one empty name."""
    found, keep = dict[str, Rows](), kept(chosen)
    same = None if wants_labels(chosen) else "0"
    for path in paths:
        for rows in found.values():
            rows.begin(path)
        for number, name, label, *more in read(path, chosen=chosen):
            of_split = by_split and len(more) > len(keep)
            part = split_name(more[0], f"{path}, {unit} {number}") if of_split else ""
            if part not in found:
                found[part] = Rows(unit)
                found[part].begin(path)
            found[part].add(number, name, same or label)
            if keep:
                found[part].keep(dict(zip(keep, more[-len(keep) :], strict=True)))
    if not found:
        raise InputError("it has no rows", where=paths[0])
    return found


def split_name(value: object, where: str) -> str:
    """The name of a split in a column of them: ``validation`` is ``val``. Caches are called by it."""
    name = str(value or "").strip()
    if not re.fullmatch(r"\w[\w.-]*", name):
        what = f"{name!r} is no name of a split" if name else "the row has no split"
        raise InputError(what, where=where)
    return next((known for known, others in OTHER_NAMES.items() if name in others), name)
