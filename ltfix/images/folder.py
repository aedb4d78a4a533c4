"""A folder of class folders, or a folder of split folders of class folders."""

from __future__ import annotations

import collections
import dataclasses
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.decode import FileReader
from ltfix.images.source import SPLITS, bare_name, no_such_split, order_splits
from ltfix.images.split import Split, check_classes, check_name, class_index, look_at

Inode = tuple[int, int]

# the endings that torchvision's ImageFolder reads, and two more that cameras and browsers write
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif", ".gif")
_DEEPEST = 100  # folders in one another
_OFTEN = 100  # ways that links may lead to one folder: a fan of links has more than time to walk them
_OTHER_NAMES = {"val": ("valid", "validation")}


class FolderSource:
    """Splits as folders of class folders; images may lie deeper. Names starting with a dot are skipped.

    Args:
        path: the folder.
        parts: the folder of each split; names in samples are relative to it.
    """

    kind = "folder"

    def __init__(self, path: Path, parts: dict[str, Path]) -> None:
        self.path, self._parts = path, parts
        self.root = path.resolve().name

    def splits(self) -> tuple[str, ...]:
        """The split folders found, or the one name of a bare folder."""
        return order_splits(list(self._parts))

    def classes(self, split: str) -> tuple[str, ...]:
        """The class folders in code-point order, as torchvision's ImageFolder (timm ignores case)."""
        folder = self._folder(split)
        return check_classes(_subfolders(folder), folder)

    def split(self, name: str, classes: Sequence[str] | None = None) -> Split:
        """One split; samples by class folder, then in ImageFolder's order.

        Raises:
            InputError: no such split, an empty class folder, a class that is not in ``classes``.
        """
        folder = self._folder(name)
        own = _subfolders(folder)
        if not own:
            raise InputError("it has no class folders", where=folder)
        names = self.classes(name) if classes is None else tuple(classes)
        known = {label: index for index, label in enumerate(names)}
        rows, others = list[tuple[int, Picture]](), collections.Counter[str]()
        for label in own:
            index = class_index(label, known, folder / label)
            pictures, left_out = _pictures(folder, label)
            rows += [(index, picture) for picture in pictures]
            others += left_out
        rows.sort(key=lambda row: row[0])  # stable: the classes may be in another order than the folders
        return Split(
            name=name,
            samples=[picture.sample for _, picture in rows],
            labels=np.array([index for index, _ in rows], np.int64),
            classes=names,
            sizes=[picture.size for _, picture in rows],
            read=FileReader(folder),
            kind=self.kind,
            root=self.root,
            stamps=np.array([picture.stamp for _, picture in rows], np.int64),
            notes=_left_out(name, others),
        )

    def _folder(self, split: str) -> Path:
        if split not in self._parts:
            raise no_such_split(split, self.splits(), self.path)
        return self._parts[split]


def open_folder(rest: str, *, root: Path | None = None, split: Sequence[str] = ()) -> FolderSource:
    """Open a folder: of split folders where one of train, val, test or ``split`` is there, else bare.

    Raises:
        InputError: there is no such folder.
        UsageError: several splits asked of a bare folder.
    """
    path = Path(rest)
    with files.os_errors(path):
        if path.exists() and not path.is_dir():
            raise InputError("not a folder", where=path, hint="a text file of paths and labels is list:FILE")
        found = _subfolders(path)
    parts: dict[str, Path] = {}
    for name in {**dict.fromkeys(SPLITS), **dict.fromkeys(split)}:
        for candidate in (name, *_OTHER_NAMES.get(name, ())):
            if candidate in found and _subfolders(path / candidate):
                parts.setdefault(name, path / candidate)
    if not parts:
        parts = {bare_name(split, path): path}
    return FolderSource(path, parts)


def _subfolders(folder: Path) -> list[str]:
    with files.os_errors(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_dir(entry) and not entry.name.startswith("."))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """An image file: its name relative to the split's folder, and what `look_at` says of it."""

    sample: str
    size: int
    stamp: int


def _pictures(folder: Path, label: str) -> tuple[list[Picture], collections.Counter[str]]:
    """The pictures of one class, and how many other files lie beside them, by ending.

    The order is ImageFolder's: by the path of the containing folder, then by name, in code points.

    Raises:
        InputError: no picture, a name with a line break, folders without end.
    """
    with files.os_errors(folder / label):
        found, others = _walk(os.fspath(folder / label))
    if not found:
        raise InputError(
            "an empty class folder",
            where=folder / label,
            hint=f"images end in {', '.join(IMAGES)}; else remove it",
        )
    base, pictures = os.fspath(folder), []
    for parent, name in sorted(found):
        check_name(name, parent)
        sample = Path(os.path.relpath(parent, base), name).as_posix()
        pictures.append(Picture(sample, *look_at(os.path.join(parent, name))))  # noqa: PTH118 - many
    return pictures, others


def _walk(top: str) -> tuple[list[tuple[str, str]], collections.Counter[str]]:
    """(folder, name) of every picture below ``top``, links followed, and the endings of all other files."""
    found, others, ways = list[tuple[str, str]](), collections.Counter[str](), collections.Counter[Inode]()
    waiting: list[tuple[str, frozenset[Inode]]] = [(top, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        here = _inode(folder, top)
        if here in above:  # a link back up would never end
            continue
        ways[here] += 1
        if len(above) > _DEEPEST or ways[here] > _OFTEN:
            what = f"more than {_DEEPEST} deep" if len(above) > _DEEPEST else "again and again, by links"
            raise InputError(f"folders lie in one another {what}", where=top)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_dir(entry):
                    waiting.append((entry.path, above | {here}))
                elif entry.name.lower().endswith(IMAGES):
                    found.append((folder, entry.name))
                else:
                    others[Path(entry.name).suffix.lower() or "no ending"] += 1
    return found, others


def _inode(folder: str, top: str) -> Inode:
    try:
        found = os.stat(folder)  # noqa: PTH116 - many
    except OSError as err:
        if err.errno == errno.ENAMETOOLONG:
            raise InputError("folders lie too deep in one another for the system", where=top) from err
        raise
    return found.st_dev, found.st_ino


def _left_out(split: str, others: collections.Counter[str]) -> tuple[str, ...]:
    if not others:
        return ()
    shown = [f"{n:,} {ending}" for ending, n in others.most_common(5)]
    more = ["…"] if len(others) > len(shown) else []
    return (
        f"{others.total():,} files of {split} do not end as pictures do and are left out: "
        + ", ".join(shown + more),
    )
