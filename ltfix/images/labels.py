"""What the labels of a list are: class indices or class names, by one rule for all lists of a data set.

And the order of class names that the data itself shows: of text, or of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.images.split import class_index
from ltfix.numerals import MOST_CLASSES, missing, no_label, whole_number

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Labels:
    """The labels of one split as they are written: many rows, few texts.

    Args:
        written: the text of each row; with ``codes`` each text once.
        where: a row to its place, for messages.
        names: all are class names, even where they look like numbers (folders, declared classes).
        classes: K names in index order, where the source declares them.
        codes: the text of each row, where that is known.

    Attributes:
        codes: [N] int64, the text of each row.
        texts: each text once, in the order in which they first appear.
    """

    def __init__(
        self,
        written: Iterable[str],
        where: Callable[[int], str],
        *,
        names: bool = False,
        classes: Sequence[str] | None = None,
        codes: np.ndarray | None = None,
    ) -> None:
        found = dict[str, int]()
        told = np.fromiter((found.setdefault(text, len(found)) for text in written), np.int64)
        self.codes = told if codes is None else codes
        self.texts, self.classes = list(found), classes
        self.names = names or classes is not None
        self.row_where = where

    def text(self, row: int) -> str:
        """The label of a row."""
        return self.texts[int(self.codes[row])]

    def where(self, code: int) -> str:
        """The place of the first row with a text."""
        return self.row_where(int(np.argmax(self.codes == code)))

    def name_codes(self) -> list[int]:
        """The texts that are no whole numbers."""
        return [code for code, text in enumerate(self.texts) if whole_number(text) is None]


def are_indices(lists: Mapping[str, Labels], named: Container[str] = ()) -> bool:
    """Whether the labels of a data set are class indices: every label of every list is a whole number.

    Args:
        named: the classes that are known by name.

    Raises:
        InputError: a row has no label; one list has only whole numbers and another has not, or all are
            numbers, but not whole.
    """
    if any(labels.names for labels in lists.values()):
        return False
    for labels in lists.values():
        if (code := missing(labels.texts, named)) is not None:
            what, hint = no_label(labels.texts[code], "classes=FILE names all")
            raise InputError(what, where=labels.where(code), hint=hint)
    names = {split: labels.name_codes() for split, labels in lists.items()}
    if not any(names.values()):
        return True
    first, code = next((lists[split], codes[0]) for split, codes in names.items() if codes)
    if all(_NUMBER.fullmatch(text) for labels in lists.values() for text in labels.texts):
        what = f"label {first.texts[code]} is no class index"
        raise InputError(what, where=first.where(code), hint="indices are whole")
    for split, codes in names.items():
        if not codes:
            raise InputError(
                f"label {first.texts[code]!r} makes the labels of its list names, "
                f"and those of {split} are numbers",
                where=first.where(code),
                hint="write both lists with names, or both with class indices from 0",
            )
    return False


def told_as_names(labels: Labels) -> str | None:
    """A note where labels are read as names although some are numbers."""
    names = [] if labels.names else labels.name_codes()
    if not names or len(names) == len(labels.texts):
        return None
    return f"labels are class names, for {labels.texts[names[0]]!r} is no number ({labels.where(names[0])})"


def told_as_several(labels: Labels) -> str | None:
    """A note where labels are others with commas between: of pictures that have several, perhaps."""
    known = set(labels.texts)
    found = [
        code
        for code, text in enumerate(labels.texts)
        if "," in text and known.issuperset(part.strip() for part in text.split(","))
    ]
    if not found:
        return None
    first = labels.texts[found[0]]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"multi-label? {first!r}{more} ({labels.where(found[0])}): other labels with commas between; "
        "each is taken as one class more"
    )


def largest_index(labels: Labels) -> int:
    """The largest class index; InputError where it is too large to be one."""
    top, code = max((_index(text), -code) for code, text in enumerate(labels.texts))
    if top >= MOST_CLASSES:
        raise InputError(f"label {labels.texts[-code][:20]} is no class index", where=labels.where(-code))
    return top


def indices(labels: Labels, classes: Sequence[str], *, numbers: bool, known: bool) -> np.ndarray:
    """[N] int64, the class index of every row.

    Args:
        labels: of one list.
        classes: K names in index order.
        numbers: whether the labels are class indices.
        known: whether its numbers may be names of classes, too.

    Raises:
        InputError: a label that is no class; a number that is one class as an index and another as a name.
    """
    by_name = {name: index for index, name in enumerate(classes)}
    found = []
    for code, text in enumerate(labels.texts):
        if not numbers:
            if text not in by_name:  # the place of a text takes a look at all rows
                class_index(text, by_name, labels.where(code))
            found.append(by_name[text])
            continue
        index = _index(text)
        if not 0 <= index < len(classes):
            wrong = "is negative" if index < 0 else f"is not below K = {len(classes)}"
            hint = "a number in a list is a class index, from 0, not a name" if known else None
            raise InputError(f"label {text[:20]} {wrong}", where=labels.where(code), hint=hint)
        if known and by_name.get(str(index), index) != index:
            raise InputError(
                f"label {text} is class {classes[index]!r} by its index and class {str(index)!r} by its name",
                where=labels.where(code),
                hint="classes_order=numeric puts such names into the order of their numbers",
            )
        found.append(index)
    return np.array(found, np.int64)[labels.codes]


def _index(text: str) -> int:
    value = whole_number(text)
    return -1 if value is None else value


def order_classes(names: Sequence[str], order: str, where: object) -> tuple[str, ...]:
    """Class names in the order of ``text`` or the ``numeric`` one (UsageError: one is no whole number)."""
    if order == "text":
        return tuple(names)
    for name in names:
        if whole_number(name) is None:
            raise UsageError(f"class {name!r} of {where} is no whole number", where="classes_order=numeric")
    return tuple(sorted(names, key=lambda name: (whole_number(name), name)))


def told_as_text(names: Sequence[str]) -> str | None:
    """A note where all names are whole numbers and do not stand in the order of those."""
    if any(whole_number(name) is None for name in names):
        return None
    if tuple(names) == order_classes(names, "numeric", ""):
        return None
    shown = ", ".join(names[:5])
    return (
        f"the {len(names)} class names are whole numbers in the order of text ({shown}, …); "
        "timm's reader orders them as numbers, and so does classes_order=numeric"
    )
