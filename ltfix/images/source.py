"""Where images come from: the ``Source`` protocol and the table from a prefix to its module.

A new source is one file and one line in ``SOURCES``; other packages add theirs as entry points of the
group ``ltfix.sources`` (name: the prefix, value: a function like :func:`ltfix.images.folder.open_folder`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

from ltfix import files
from ltfix.errors import InputError, UsageError, nearest
from ltfix.images.split import Split, check_classes

__all__ = ["SOURCES", "SPLITS", "Opener", "Source", "Split", "open_source", "read_classes"]

SOURCES = {
    "folder": "ltfix.images.folder:open_folder",
    "list": "ltfix.images.listfile:open_lists",
}
SPLITS = ("train", "val", "test")


class Source(Protocol):
    """A data set of one or more splits.

    Attributes:
        kind: the prefix that opens it.
        root: the name of its root folder or file, no path.
    """

    kind: str
    root: str

    def splits(self) -> tuple[str, ...]:
        """The names of the splits that it has: train, val, test first, in that order."""

    def classes(self, split: str) -> tuple[str, ...]:
        """The class names that a split shows by itself, in index order."""

    def split(self, name: str, classes: Sequence[str] | None = None) -> Split:
        """One split, its labels indices into ``classes`` (default: those it shows by itself).

        Raises:
            InputError: there is no such split, it is empty, or a label is not among the classes.
        """


Opener = Callable[..., Source]


def open_source(spec: str | Path, *, root: Path | str | None = None, split: Sequence[str] = ()) -> Source:
    """Open images: a folder, ``list:FILE``, ``list:train=F,test=G`` or another ``prefix:rest``.

    Args:
        spec: what to open.
        root: the folder that a list's paths start from (default: the list's own).
        split: the splits asked for. A bare source, which has no split names of its own, is the one
            asked for, or "train".

    Raises:
        UsageError: unknown prefix, or several splits asked of a bare source.
        InputError: nothing is there, or it is no data set.
    """
    if "\0" in f"{spec}{root}":
        raise InputError("no such file or folder", where=repr(str(spec)))
    prefix, rest = _prefix(str(spec))
    return _opener(prefix)(rest, root=None if root is None else Path(root), split=tuple(split))


def _prefix(spec: str) -> tuple[str, str]:
    match = re.match(r"([a-z][a-z0-9_+-]+):(?!//)", spec)  # two letters at least: C:\photos is a path
    if match is None or is_there(spec):
        return "folder", spec
    return match[1], spec[match.end() :]


def is_there(path: str) -> bool:
    """Whether a path exists; False, too, for what is no path, as a long ``list:`` is not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long


def _opener(prefix: str) -> Opener:
    if prefix in SOURCES:
        module, _, function = SOURCES[prefix].partition(":")
        return cast(Opener, getattr(importlib.import_module(module), function))
    for point in importlib.metadata.entry_points(group="ltfix.sources", name=prefix):
        return cast(Opener, point.load())
    raise UsageError("unknown kind of source", where=f"{prefix}:", hint=nearest(prefix, SOURCES))


def order_splits(names: Sequence[str]) -> tuple[str, ...]:
    """train, val, test first, then the rest by name."""
    known = [name for name in SPLITS if name in names]
    return (*known, *sorted(set(names) - set(known)))


def bare_name(split: Sequence[str], where: object) -> str:
    """What the one split of a bare source is called.

    Raises:
        UsageError: several were asked for.
    """
    if len(split) > 1:
        raise UsageError(
            f"it is one split and cannot be {' and '.join(split)}",
            where=where,
            hint="give a folder with split folders, or list:train=F,test=G",
        )
    return split[0] if split else "train"


def no_such_split(name: str, known: Sequence[str], where: object) -> InputError:
    """The error for a split that the source does not have."""
    return InputError(f"there is no split {name!r}", where=where, hint="it has " + ", ".join(known))


def read_classes(path: Path | str) -> tuple[str, ...]:
    """The class names of a text file, one a line, in index order.

    Raises:
        InputError: missing, not text, fewer than two names, or one twice.
    """
    lines = [line.strip() for line in read_lines(Path(path))]
    return check_classes([line for line in lines if line], path)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file.

    Raises:
        InputError: missing, no regular file, or not text.
    """
    files.demand_regular(path)
    with files.os_errors(path):
        return decode_lines(path.read_bytes(), path)


def decode_lines(raw: bytes, where: object) -> list[str]:
    """The lines of UTF-8 text, without byte-order marks (files that were joined have several).

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return [line.removeprefix("\ufeff") for line in raw.decode("utf-8").split("\n")]
    except UnicodeDecodeError as err:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        hint = "it is UTF-16: save it as UTF-8" if utf16 else None
        raise InputError("not a UTF-8 text file", where=where, hint=hint) from err
