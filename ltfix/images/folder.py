"""A folder of class folders, or a folder of split folders of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.decode import FileReader
from ltfix.images.source import SPLITS, bare_name, no_such_split, order_splits
from ltfix.images.split import Split, check_classes, check_name, class_index

# the endings that torchvision's ImageFolder reads
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
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
        rows = []
        for label in own:
            index = class_index(label, known, folder / label)
            rows += [(index, *image) for image in _images(folder, label)]
        rows.sort(key=lambda row: row[0])  # stable: --classes may order the classes differently
        return Split(
            name=name,
            samples=[sample for _, sample, _ in rows],
            labels=np.array([index for index, _, _ in rows], np.int64),
            classes=names,
            sizes=[size for _, _, size in rows],
            read=FileReader(folder),
            kind=self.kind,
            root=self.root,
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
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path, label: str) -> list[tuple[str, int]]:
    """(name relative to ``folder``, bytes) of every image of one class.

    The order is ImageFolder's: by the path of the containing folder, then by name, in code points.
    """
    with files.os_errors(folder / label):
        found = sorted(_walk(os.fspath(folder / label), frozenset()))
    if not found:
        raise InputError(
            "an empty class folder",
            where=folder / label,
            hint=f"images end in {', '.join(IMAGES)}; else remove it",
        )
    for parent, name, _ in found:
        check_name(name, parent)
    base = os.fspath(folder)
    return [(Path(os.path.relpath(parent, base), name).as_posix(), size) for parent, name, size in found]


def _walk(folder: str, above: frozenset[str]) -> Iterator[tuple[str, str, int]]:
    real = os.path.realpath(folder)
    if real in above:  # a link back up would never end
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, above | {real})
            elif entry.name.lower().endswith(IMAGES):
                yield folder, entry.name, entry.stat().st_size
