"""A folder of class folders, or a folder of split folders of class folders."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.pictures import FilePictures
from ltfix.images.source import OTHER_NAMES, SOURCES, SPLITS, bare_name, no_such_split, order_splits
from ltfix.images.split import Split, check_classes, check_name, class_index
from ltfix.images.walk import IMAGES, left_out, walk

Listed = tuple[list[str], np.ndarray]  # names relative to the split's folder, sizes and stamps [2, n] int64

_BREAK = re.compile(r"[\r\n]")


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
        found, others = list[tuple[int, Listed]](), collections.Counter[str]()
        for label in own:
            index = class_index(label, known, folder / label)
            found.append((index, _pictures(folder, label, others)))
        found.sort(key=lambda each: each[0])  # the classes may be in another order than the folders
        samples = [sample for _, (of_class, _) in found for sample in of_class]
        sizes, stamps = np.concatenate([looked for _, (_, looked) in found], axis=1)
        return Split(
            name=name,
            samples=samples,
            labels=np.repeat([index for index, _ in found], [len(of_class) for _, (of_class, _) in found]),
            classes=names,
            sizes=sizes,
            pictures=FilePictures(folder, samples),
            kind=self.kind,
            root=self.root,
            stamps=stamps,
            notes=left_out(name, others),
        )

    def _folder(self, split: str) -> Path:
        if split not in self._parts:
            raise no_such_split(split, self.splits(), self.path)
        return self._parts[split]


def open_folder(rest: str, *, root: str | None = None, split: Sequence[str] = ()) -> FolderSource:
    """Open a folder: of split folders where one of train, val, test or ``split`` is there, else bare.

    Raises:
        InputError: there is no such folder.
        UsageError: several splits asked of a bare folder.
    """
    path = Path(rest)
    with files.os_errors(path):
        if path.exists() and not path.is_dir():
            raise InputError("not a folder", where=path, hint=_hint(path))
        found = _subfolders(path)
    folders = split_folders(lambda name: name in found and bool(_subfolders(path / name)), split)
    parts = {name: path / folder for name, folder in folders.items()}
    return FolderSource(path, parts or {bare_name(split, path): path})


def split_folders(is_there: Callable[[str], bool], split: Sequence[str]) -> dict[str, str]:
    """Which of the folders that are there is each split: train, val, test and those asked for."""
    parts: dict[str, str] = {}
    for name in (*SPLITS, *split):
        for candidate in (name, *OTHER_NAMES.get(name, ())):
            if name not in parts and is_there(candidate):
                parts[name] = candidate
    return parts


def _hint(path: Path) -> str:
    kind = path.suffix.removeprefix(".").lower()
    if kind in SOURCES:
        return f"{kind}:{path} reads it"
    return "a text file of paths and labels is list:FILE; tables and archives have such words, too"


def _subfolders(folder: Path) -> list[str]:
    with files.os_errors(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if os.path.isdir(entry)]  # noqa: PTH112 - a link to itself is none
    return sorted(name for name in names if not name.startswith("."))


def _pictures(folder: Path, label: str, others: collections.Counter[str]) -> Listed:
    """The pictures of one class; how many other files lie beside them is counted, by ending.

    The order is ImageFolder's: by the path of the containing folder, then by name, in code points.

    Raises:
        InputError: no picture, a name with a line break, folders without end.
    """
    with files.os_errors(folder / label):
        found = walk(os.fspath(folder), label, others)
    if not found:
        raise InputError(
            "an empty class folder",
            where=folder / label,
            hint=f"images end in {', '.join(IMAGES)}; else remove it",
        )
    samples, looked = list[str](), list[np.ndarray]()
    for parent in sorted(found):
        names, *numbers = zip(*sorted(found[parent]), strict=True)
        if _BREAK.search("/".join(names)):
            for name in names:
                check_name(name, parent)
        samples += [f"{parent}/{name}" for name in names]
        looked.append(np.array(numbers, np.int64))
    return samples, np.concatenate(looked, axis=1)
