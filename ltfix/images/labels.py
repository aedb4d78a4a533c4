"""What the labels of a list are: class indices or class names, by one rule for all lists of a data set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from ltfix.errors import InputError
from ltfix.images.split import class_index

MOST_CLASSES = 10_000_000  # a larger label is no class index, and naming so many takes the memory
_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def whole_number(text: str) -> int | None:
    """What a text like ``7``, ``+7`` or ``7.0`` counts, or None where it is no whole number."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        return None
    try:
        return int(match[1])
    except ValueError:  # more digits than Python takes for a number
        return MOST_CLASSES


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of a list.

    Attributes:
        where: the file and the line, for messages.
        path: relative to the root.
        label: as written.
    """

    where: str
    path: str
    label: str

    @property
    def index(self) -> int | None:
        """The label as a whole number, or None where it is none."""
        return whole_number(self.label)


def are_indices(lists: Mapping[str, Sequence[Row]]) -> bool:
    """Whether the labels of a data set are class indices: every label of every list is a whole number.

    Raises:
        InputError: one list has only whole numbers and another has not, or all are numbers, but not whole.
    """
    names = {split: [row for row in rows if row.index is None] for split, rows in lists.items()}
    if not any(names.values()):
        return True
    first = next(rows[0] for rows in names.values() if rows)
    if all(_NUMBER.fullmatch(row.label) for rows in lists.values() for row in rows):
        raise InputError(
            f"label {first.label} is no class index", where=first.where, hint="indices are whole"
        )
    for split, rows in names.items():
        if not rows:
            raise InputError(
                f"label {first.label!r} makes the labels of its list names, and those of {split} are numbers",
                where=first.where,
                hint="write both lists with names, or both with class indices from 0",
            )
    return False


def told_as_names(rows: Sequence[Row]) -> str | None:
    """A note where labels are read as names although some are numbers."""
    names = [row for row in rows if row.index is None]
    if not names or len(names) == len(rows):
        return None
    return f"labels are class names, for {names[0].label!r} is no number ({names[0].where})"


def largest_index(rows: Sequence[Row]) -> int:
    """The largest class index.

    Raises:
        InputError: it is too large to be one.
    """
    top = max(rows, key=_index)
    if _index(top) >= MOST_CLASSES:
        raise InputError(f"label {top.label[:20]} is no class index", where=top.where)
    return _index(top)


def indices(rows: Sequence[Row], classes: Sequence[str], *, numbers: bool, known: bool) -> list[int]:
    """The class index of every row.

    Args:
        rows: the lines of a list.
        classes: K names in index order.
        numbers: whether the labels are class indices.
        known: whether every number of the data set, read as a name, is a class too.

    Raises:
        InputError: a label that is no class; a number that is one class as an index and another as a name.
    """
    by_name = {name: index for index, name in enumerate(classes)}
    if not numbers:
        return [class_index(row.label, by_name, row.where) for row in rows]
    for row in rows:
        index = _index(row)
        if not 0 <= index < len(classes):
            wrong = "is negative" if index < 0 else f"is not below K = {len(classes)}"
            hint = "a number in a list is a class index, from 0, not a name" if known else None
            raise InputError(f"label {row.label[:20]} {wrong}", where=row.where, hint=hint)
        if known and by_name[str(index)] != index:
            by_index = classes[index]
            raise InputError(
                f"label {row.label} is class {by_index!r} by its index and class {str(index)!r} by its name",
                where=row.where,
                hint="classes_order=numeric puts such names into the order of their numbers",
            )
    return [_index(row) for row in rows]


def _index(row: Row) -> int:
    return row.index if row.index is not None else -1
