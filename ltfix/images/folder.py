"""A folder of class folders, or of split folders of such; and every picture below a folder, by links too."""

from __future__ import annotations

import collections
import errno
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
from ltfix.images.places import stamped
from ltfix.images.remote import ABSENT
from ltfix.images.source import OTHER_NAMES, SOURCES, SPLITS, bare_name

Inode = tuple[int, int]
Picture = tuple[str, int, int]  # its name, its size and its stamp

# the endings that torchvision's ImageFolder reads, and two more that cameras and browsers write
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif", ".gif")
CLASSLESS = "`ltfix predict` and `ltfix.extract(..., unlabelled=True)` take pictures without classes"
_DEEPEST = 100  # folders in one another
_OFTEN = 100  # ways that links may lead to one folder: a fan of links has more than time to walk them


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
    if not folders and len(found) == 1:  # one class is none to train on
        inside = split_folders(_subfolders(path / found[0]).__contains__, split)
        if "train" in inside:
            told = f"its only folder, {found[0]}, has {' and '.join(inside.values())}"
            raise InputError(told, where=path, hint=f"did you mean {path / found[0]}?")
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
            beside = any(one.name.lower().endswith(IMAGES) for one in folder.iterdir())
            hint = CLASSLESS if beside else f"images end in {', '.join(IMAGES)}; else remove it"
            raise InputError("an empty class folder", where=folder / label, hint=hint)
        for parent in sorted(found):
            names, *numbers = zip(*sorted(found[parent]), strict=True)
            samples += [f"{parent}/{name}" for name in names]
            written += [label] * len(names)
            looked.append(np.array(numbers, np.int64))
    if not samples:
        raise InputError("it has no class folders", where=folder, hint=CLASSLESS)
    labels = Labels(written, lambda row: f"{folder / written[row]}", names=True)
    pictures, (sizes, stamps) = FilePictures(folder, samples), np.concatenate(looked, axis=1)
    notes = (*_told_of_name(folder, split), *left_out(split, others))
    return Listing(f"{folder}", samples, labels, pictures, sizes, stamps, notes, by_class=True)


def _told_of_name(folder: Path, split: str) -> tuple[str, ...]:
    """A note where a folder that is taken for the training split is called as another."""
    names = {name: of for of in SPLITS for name in (of, *OTHER_NAMES.get(of, ()))}
    called = names.get(folder.name.lower(), split)
    return (
        (f"{folder} is taken for the split train: split={called} says otherwise",)
        if called != split == "train"
        else ()
    )


def walk(base: str, label: str, others: collections.Counter[str]) -> dict[str, list[Picture]]:
    """Name and status of every picture below a folder, links followed, by the folder that holds it,
    relative to ``base`` with ``/`` between."""
    found, ways = dict[str, list[Picture]](), collections.Counter[Inode]()
    waiting: list[tuple[str, frozenset[Inode]]] = [(label, frozenset())]
    top = f"{base}/{label}"
    while waiting:
        folder, above = waiting.pop()
        here = _inode(f"{base}/{folder}", top)
        if here in above:  # a link back up would never end
            continue
        ways[here] += 1
        if len(above) > _DEEPEST or ways[here] > _OFTEN:
            what = f"more than {_DEEPEST} deep" if len(above) > _DEEPEST else "again and again, by links"
            raise InputError(f"folders lie in one another {what}", where=top)
        pictures = list[Picture]()
        with os.scandir(f"{base}/{folder}") as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        waiting.append((f"{folder}/{name}", above | {here}))
                        continue
                    looked = stamped(entry.stat())
                except OSError:  # a broken link, a link to itself
                    looked = ABSENT, 0
                if name.lower().endswith(IMAGES):
                    pictures.append((name, *looked))
                else:
                    others[Path(name).suffix.lower() or "no ending"] += 1
        if pictures:
            found[folder] = pictures
    return found


def _inode(folder: str, top: str) -> Inode:
    try:
        found = os.stat(folder)  # noqa: PTH116 - many
    except OSError as err:
        if err.errno == errno.ENAMETOOLONG:
            raise InputError("folders lie too deep in one another for the system", where=top) from err
        raise
    return found.st_dev, found.st_ino


def left_out(split: str, others: collections.Counter[str]) -> tuple[str, ...]:
    """A note of how many files, by ending, are no pictures."""
    if not others:
        return ()
    do, are, s = ("does", "is", "") if others.total() == 1 else ("do", "are", "s")
    shown = [f"{n:,} {ending}" for ending, n in others.most_common(5)]
    more = ["…"] if len(others) > len(shown) else []
    return (
        f"{others.total():,} file{s} of {split} {do} not end as pictures do and {are} left out: "
        + ", ".join(shown + more),
    )
