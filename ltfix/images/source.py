"""Where images come from: the ``Source`` protocol and the table from a prefix to its module.

A new source is one file and one line in ``SOURCES``; other packages add theirs as entry points of the
group ``ltfix.sources`` (name: the prefix, value: a function like :func:`ltfix.images.folder.open_folder`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

from ltfix.errors import InputError, UsageError, nearest
from ltfix.images.index import Indexes
from ltfix.images.places import is_remote, is_there, open_text
from ltfix.images.split import Split, check_classes

__all__ = ["SOURCES", "SPLITS", "Opener", "Source", "Split", "open_source", "read_classes"]

SOURCES = {
    "folder": "ltfix.images.folder:open_folder",
    "list": "ltfix.images.listfile:open_lists",
    "csv": "ltfix.images.texttables:open_csv",
    "tsv": "ltfix.images.texttables:open_tsv",
    "jsonl": "ltfix.images.texttables:open_jsonl",
    "parquet": "ltfix.images.parquet:open_parquet",
    "tar": "ltfix.images.tar:open_tar",
    "wds": "ltfix.images.wds:open_wds",
    "cifar10": "ltfix.images.cifar:open_cifar10",
    "cifar100": "ltfix.images.cifar:open_cifar100",
    "hf": "ltfix.images.hub:open_hub",
    "zip": "ltfix.images.zip:open_zip",
    "table": "ltfix.images.table:open_numbers",
}
SPLITS = ("train", "val", "test")
OTHER_NAMES = {"val": ("valid", "validation")}


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


def open_source(
    spec: str | Path,
    *,
    root: Path | str | None = None,
    split: Sequence[str] = (),
    columns: str | None = None,
    index: Indexes | None = None,
) -> Source:
    """Open images: a folder, ``list:FILE``, ``list:train=F,test=G`` or another ``prefix:rest``.

    Args:
        spec: what to open.
        root: the folder that a list's paths start from (default: the list's own).
        split: the splits asked for. A bare source, which has no split names of its own, is the one
            asked for, or "train".
        columns: which columns of a table are path, label and split.
        index: where what tars hold is kept.

    Raises:
        UsageError: unknown prefix, or several splits asked of a bare source.
        InputError: nothing is there, or it is no data set.
    """
    if "\0" in f"{spec}{root}":
        raise InputError("no such file or folder", where=repr(str(spec)))
    prefix, rest = kind_of(str(spec))
    if is_remote(rest) and prefix == "folder":
        hint = f"say what it is: one of {', '.join(f'{kind}:' for kind in SOURCES if kind != 'folder')}"
        raise UsageError("a folder behind a URL is no source", where=spec, hint=hint)
    opener = _opener(prefix)
    takes = inspect.signature(opener).parameters
    if columns is not None and "columns" not in takes:
        raise UsageError(f"a source of kind {prefix!r} has no columns", where="columns")
    given = {"columns": columns, "index": index}
    more = {name: value for name, value in given.items() if name in takes and value is not None}
    return opener(rest, root=None if root is None else str(root), split=tuple(split), **more)


def kind_of(spec: str) -> tuple[str, str]:
    """The kind of a source, and what stands behind its prefix."""
    match = re.match(r"([a-z][a-z0-9_+-]+):(?!//)", spec)  # two letters at least: C:\photos is a path
    if match is None or is_there(spec):
        return "table" if re.search(r"\.(npz|csv)$", spec) and Path(spec).is_file() else "folder", spec
    return match[1], spec[match.end() :]


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
    """What the one split of a bare source is called; UsageError where several were asked for."""
    if len(split) > 1:
        hint = "give a folder with split folders, or list:train=F,test=G"
        raise UsageError(f"it is one split and cannot be {' and '.join(split)}", where=where, hint=hint)
    return split[0] if split else "train"


def no_such_split(name: str, known: Sequence[str], where: object) -> InputError:
    """The error for a split that the source does not have."""
    return InputError(f"there is no split {name!r}", where=where, hint="it has " + ", ".join(known))


def read_classes(path: Path | str) -> tuple[str, ...]:
    """The class names in a text file, one a line, in order: two at least, each once (else InputError)."""
    with open_text(str(path)) as text:
        lines = [line.strip("\ufeff \t\r\n") for line in text]
    return check_classes([line for line in lines if line], path)
