"""A folder of class folders, or a folder of split folders of class folders."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.pictures import FilePictures
from ltfix.images.source import OTHER_NAMES, SOURCES, SPLITS, bare_name
from ltfix.images.walk import IMAGES, left_out, walk


def open_folder(rest: str, *, root: str | None = None, split: Sequence[str] = ()) -> ListingSource:
    """Open a folder: of split folders where one of train, val, test or ``split`` is there, else bare.

    Images may lie deeper than in their class's folder. Names that start with a dot are skipped.

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
    parts = {name: path / folder for name, folder in folders.items()} or {bare_name(split, path): path}
    tables = {name: functools.partial(_read, folder, name) for name, folder in parts.items()}
    return ListingSource("folder", path.resolve().name, tables, path)


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


def _read(folder: Path, split: str) -> Listing:
    """The pictures of class folders; how many other files lie beside them is noted, by ending.

    The order is ImageFolder's: by class in code points (timm ignores case), by the path of the containing
    folder, then by name.

    Raises:
        InputError: no class folder, one without pictures, a name with a line break, folders without end.
    """
    samples, written, others = list[str](), list[str](), collections.Counter[str]()
    looked = list[np.ndarray]()
    for label in _subfolders(folder):
        with files.os_errors(folder / label):
            found = walk(os.fspath(folder), label, others)
        if not found:
            hint = f"images end in {', '.join(IMAGES)}; else remove it"
            raise InputError("an empty class folder", where=folder / label, hint=hint)
        for parent in sorted(found):
            names, *numbers = zip(*sorted(found[parent]), strict=True)
            samples += [f"{parent}/{name}" for name in names]
            written += [label] * len(names)
            looked.append(np.array(numbers, np.int64))
    if not samples:
        raise InputError("it has no class folders", where=folder)
    labels = Labels(written, lambda row: f"{folder / written[row]}", names=True)
    pictures, (sizes, stamps) = FilePictures(folder, samples), np.concatenate(looked, axis=1)
    notes = left_out(split, others)
    return Listing(f"{folder}", samples, labels, pictures, sizes, stamps, notes, by_class=True)
