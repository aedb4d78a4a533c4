"""``list:FILE`` and ``list:train=F,test=G``: text files with a path and a label a line.

The published ImageNet_LT, Places_LT and iNaturalist18 files are read as they are.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.images import labels
from ltfix.images.decode import FileReader
from ltfix.images.folder import IMAGES
from ltfix.images.labels import Row
from ltfix.images.source import (
    bare_name,
    decode_lines,
    is_there,
    no_such_split,
    order_splits,
    read_lines,
)
from ltfix.images.split import ABSENT, Split, check_classes, check_name, look_at

# the user names these as streams: standard input, and what a shell puts for <(command)
_STREAMS = re.compile(r"-|/dev/stdin|(/dev|/proc/self)/fd/\d+")


class ListSource:
    """Splits as text files. Labels that are whole numbers in all of them are class indices, else class names.

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
        self._headers: dict[str, str] = {}

    def splits(self) -> tuple[str, ...]:
        """The splits that have a file."""
        return order_splits(list(self._parts))

    def classes(self, split: str) -> tuple[str, ...]:
        """Names in code-point order; for indices, their decimal numbers up to the largest."""
        rows, file = self._read(split), self._parts[split]
        if not self._indexed():
            return check_classes(sorted({row.label for row in rows}), file)
        return check_classes([str(index) for index in range(labels.largest_index(rows) + 1)], file)

    def split(self, name: str, classes: Sequence[str] | None = None) -> Split:
        """One split in the file's order.

        Raises:
            InputError: no such split, an empty file, a line without label, an index that is negative
                or not below K, a class name that is not in ``classes``, a number that may be both; file and
                line are named.
        """
        rows, base = self._read(name), self._base(self._parts[name])
        names = self.classes(name) if classes is None else tuple(classes)
        found = [look_at(base / row.path) for row in rows]
        return Split(
            name=name,
            samples=[row.path for row in rows],
            labels=np.array(self._indices(rows, names), np.int64),
            classes=names,
            sizes=[size for size, _ in found],
            read=FileReader(base),
            kind=self.kind,
            root=self.root,
            stamps=np.array([stamp for _, stamp in found], np.int64),
            notes=tuple(filter(None, (self._headers.get(name), labels.told_as_names(rows)))),
        )

    def _indices(self, rows: list[Row], classes: tuple[str, ...]) -> list[int]:
        numbers, names = self._indexed(), set(classes)
        known = numbers and all(str(row.index) in names for split in self._parts for row in self._read(split))
        return labels.indices(rows, classes, numbers=numbers, known=known)

    def _indexed(self) -> bool:
        return labels.are_indices({split: self._read(split) for split in self._parts})

    def _base(self, file: Path) -> Path:
        return self._root if self._root is not None else Path() if _is_stream(file) else file.parent

    def _read(self, name: str) -> list[Row]:
        if name not in self._parts:
            raise no_such_split(name, self.splits(), "list:")
        if name not in self._rows:
            file = self._parts[name]
            base = self._base(file)
            rows = _parse(_lines(file), file, base)
            if _is_header(rows, base):
                self._headers[name] = f"taken for a header: {rows[0].path} {rows[0].label} ({rows[0].where})"
                del rows[0]
            self._rows[name] = rows
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
    parts = split_lists(rest)
    if parts is None:
        parts = {bare_name(split, f"list:{rest}"): rest}
    for file in parts.values():
        if not _is_stream(file):
            files.demand_regular(file)
    return ListSource({name: Path(file) for name, file in parts.items()}, root)


def split_lists(rest: str, folder: Path = Path()) -> dict[str, str] | None:
    """The file of each split in ``train=F,test=G``; None where it is one file.

    Commas and equal signs may be part of a path: another split begins only where the path before it is that
    of a file and would be none if it went on.

    Args:
        rest: what stands behind ``list:``.
        folder: where its paths start from.

    Raises:
        UsageError: a split is given twice or without a file.
    """

    def can_be_read(path: str) -> bool:
        return _is_stream(path) or is_there(os.path.join(folder, path))  # noqa: PTH118 - it may be no path

    if can_be_read(rest) or not re.match(r"[\w-]+=", rest):
        return None
    parts = _cut(rest, lambda path, longer: can_be_read(path) and not can_be_read(longer))
    if not all(map(can_be_read, parts.values())):  # a file is missing: name that one
        parts = _cut(rest, lambda path, longer: True)
        if any("," in path for path in parts.values()):
            raise UsageError("expected list:train=F,test=G", where=f"list:{rest}")
    return parts


def _cut(rest: str, ends: Callable[[str, str], bool]) -> dict[str, str]:
    """``name=path`` between commas; ``ends`` tells of a path, and of it with the next part, if it ends."""
    parts: dict[str, str] = {}
    name = ""
    for item in rest.split(","):
        split, equals, path = item.partition("=")
        longer = f"{parts.get(name)},{item}"
        if name and not (equals and re.fullmatch(r"[\w-]+", split) and ends(parts[name], longer)):
            parts[name] = longer
            continue
        if not path or split in parts:
            raise UsageError("expected list:train=F,test=G", where=f"list:{rest}")
        name = split
        parts[name] = path
    return parts


def _is_stream(file: Path | str) -> bool:
    return _STREAMS.fullmatch(str(file)) is not None


def _lines(file: Path) -> list[str]:
    if str(file) == "-":
        raw = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        return decode_lines(raw, "standard input")
    if _is_stream(file):
        with files.os_errors(file):
            return decode_lines(file.read_bytes(), file)
    return read_lines(file)


def _is_header(rows: list[Row], base: Path) -> bool:
    """Whether the first line names columns: it does not end as a picture does, and is unlike all others."""
    first, rest = rows[0], rows[1:]
    if first.path.lower().endswith(IMAGES) or look_at(base / first.path)[0] != ABSENT:
        return False
    return all(row.label != first.label for row in rest) and bool(rest)


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
        rows.append(Row(f"{file}, line {number}", _relative(path, base), label))
    if not rows:
        raise InputError("the list is empty", where=file)
    return rows


def _relative(path: str, base: Path) -> str:
    """Caches hold no absolute paths: those of a list become relative to its root."""
    if not Path(path).is_absolute():
        return path
    return Path(os.path.relpath(path, base.resolve())).as_posix()
