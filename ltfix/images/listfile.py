"""``list:FILE`` and ``list:train=F,test=G``: text files with a path and a label a line.

The published ImageNet_LT, Places_LT and iNaturalist18 files are read as they are.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.images.decode import FileReader
from ltfix.images.source import bare_name, no_such_split, order_splits, read_lines
from ltfix.images.split import ABSENT, Split, check_classes, check_name, class_index

_MOST_CLASSES = 10_000_000  # a larger label is no class index, and naming so many takes the memory


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line: its number, the path relative to the root, the label as written."""

    line: int
    path: str
    label: str


class ListSource:
    """Splits as text files. Labels that are all whole numbers are class indices, else class names.

    Args:
        parts: the file of each split (``-`` is standard input).
        root: the folder that paths start from; default: each file's own folder.
    """

    kind = "list"

    def __init__(self, parts: dict[str, Path], root: Path | None) -> None:
        self._parts, self._root = parts, root
        first = next(iter(parts.values()))
        self.root = (root or first).resolve().name
        self._rows: dict[str, list[Row]] = {}

    def splits(self) -> tuple[str, ...]:
        """The splits that have a file."""
        return order_splits(list(self._parts))

    def classes(self, split: str) -> tuple[str, ...]:
        """Names in code-point order; for indices, their decimal numbers up to the largest."""
        rows, file = self._read(split), self._parts[split]
        if not self._indexed(split):
            return check_classes(sorted({row.label for row in rows}), file)
        top = max(rows, key=lambda row: _index(row.label))
        largest = _index(top.label)
        if largest >= _MOST_CLASSES:
            raise InputError(f"label {top.label[:20]} is no class index", where=f"{file}, line {top.line}")
        return check_classes([str(index) for index in range(largest + 1)], file)

    def split(self, name: str, classes: Sequence[str] | None = None) -> Split:
        """One split in the file's order.

        Raises:
            InputError: no such split, an empty file, a line without label, an index that is negative
                or not below K, a class name that is not in ``classes``; file and line are named.
        """
        rows, file = self._read(name), self._parts[name]
        names = self.classes(name) if classes is None else tuple(classes)
        labels = self._indices(name, names)
        base = self._base(file)
        return Split(
            name=name,
            samples=[row.path for row in rows],
            labels=np.array(labels, np.int64),
            classes=names,
            sizes=[_size(base / row.path) for row in rows],
            read=FileReader(base),
            kind=self.kind,
            root=self.root,
        )

    def _indices(self, name: str, classes: tuple[str, ...]) -> list[int]:
        rows, file = self._read(name), self._parts[name]
        if not self._indexed(name):
            known = {label: index for index, label in enumerate(classes)}
            return [class_index(row.label, known, f"{file}, line {row.line}") for row in rows]
        for row in rows:
            if not 0 <= _index(row.label) < len(classes):
                wrong = "is negative" if _index(row.label) < 0 else f"is not below K = {len(classes)}"
                raise InputError(f"label {row.label} {wrong}", where=f"{file}, line {row.line}")
        return [_index(row.label) for row in rows]

    def _indexed(self, name: str) -> bool:
        return all(re.fullmatch(r"[+-]?\d+", row.label) for row in self._read(name))

    def _base(self, file: Path) -> Path:
        return self._root if self._root is not None else Path() if str(file) == "-" else file.parent

    def _read(self, name: str) -> list[Row]:
        if name not in self._parts:
            raise no_such_split(name, self.splits(), "list:")
        if name not in self._rows:
            file = self._parts[name]
            self._rows[name] = _parse(_lines(file), file, self._base(file))
        return self._rows[name]


def open_lists(rest: str, *, root: Path | None = None, split: Sequence[str] = ()) -> ListSource:
    """Open ``FILE`` or ``train=F,test=G``.

    Raises:
        UsageError: a split is given twice or without a file, or several are asked of a bare list.
        InputError: a file or the root is missing.
    """
    if root is not None and not root.is_dir():
        raise InputError(
            "no such folder", where=root, hint="root=DIR is the folder that the list's paths start from"
        )
    if not re.match(r"[\w-]+=", rest):
        parts = {bare_name(split, f"list:{rest}"): Path(rest)}
    else:
        parts = {}
        for item in rest.split(","):
            name, equals, path = item.partition("=")
            if not equals or not path or name in parts:
                raise UsageError("expected list:train=F,test=G", where=f"list:{rest}")
            parts[name] = Path(path)
    for file in parts.values():
        if str(file) != "-":
            with files.os_errors(file):
                file.stat()
    return ListSource(parts, root)


def _index(label: str) -> int:
    try:
        return int(label)
    except ValueError:  # more digits than Python takes for a number
        return _MOST_CLASSES


def _lines(file: Path) -> list[str]:
    if str(file) == "-":
        return sys.stdin.read().split("\n")
    return read_lines(file)


def _parse(lines: list[str], file: Path, base: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # a path may hold spaces; where a tab separates, the label may, too
        parts = line.strip().rsplit("\t", 1) if "\t" in line.strip() else line.rsplit(None, 1)
        if len(parts) != 2:
            raise InputError(
                f"expected a path and a label, found {line.strip()!r}", where=f"{file}, line {number}"
            )
        path, label = parts[0].strip(), parts[1].strip()
        check_name(path, f"{file}, line {number}")
        rows.append(Row(number, _relative(path, base), label))
    if not rows:
        raise InputError("the list is empty", where=file)
    return rows


def _relative(path: str, base: Path) -> str:
    """Caches hold no absolute paths: those of a list become relative to its root."""
    if not Path(path).is_absolute():
        return path
    return Path(os.path.relpath(path, base.resolve())).as_posix()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return ABSENT
