"""A folder of class folders, or of split folders of such."""

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
from ltfix.images.tree import IMAGES, left_out, walk

CLASSLESS = "`ltfix predict` and `ltfix.extract(..., unlabelled=True)` take pictures without classes"


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
    meant = None if folders else _source_within(path, found, split)
    if meant is not None and len(found) == 1:  # one class is none to train on
        told = f"its only folder, {found[0]}, has {meant[1]}"
        raise InputError(told, where=path, hint=f"did you mean {meant[0]}?")
    parts = {name: path / folder for name, folder in folders.items()} or {bare_name(split, path): path}
    read = functools.partial(_read, meant=meant and f"{meant[0]}, which has {meant[1]}")
    tables = {name: functools.partial(read, folder, name) for name, folder in parts.items()}
    return ListingSource("folder", path.resolve().name, tables, path)


def _source_within(path: Path, found: Sequence[str], split: Sequence[str]) -> tuple[Path, str] | None:
    """The one of the folders found that seems to be a source, as it has a training split, and its splits."""
    inside = [path / name for name in found if os.path.isdir(path / name / "train")]  # noqa: PTH112 - forbidden is none
    if len(inside) != 1 or (len(found) > 1 and not _subfolders(inside[0] / "train")):
        return None  # of several classes one may be of vehicles, with trains
    return inside[0], " and ".join(split_folders(_subfolders(inside[0]).__contains__, split).values())


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
        names = [one.name for one in entries if one.is_dir(follow_symlinks=False) or os.path.isdir(one)]  # noqa: PTH112 - a link to itself is none
    return sorted(name for name in names if not name.startswith("."))


def _read(folder: Path, split: str, meant: str | None = None) -> Listing:
    """The pictures of class folders; how many other files lie beside them is noted, by ending.

    What may be ``meant`` as the source, since it has splits, is offered where a class is empty, else noted.

    The order is ImageFolder's: by class in code points (timm ignores case), by the path of the containing
    folder, then by name.

    Raises:
        InputError: no class folder, one without pictures, a name with a line break, folders without end.
    """
    samples, ends, status, others = list[str](), [0], list[np.ndarray](), collections.Counter[str]()
    classes = _subfolders(folder)
    with files.os_errors(folder):
        for label in classes:
            found = walk(os.fspath(folder), label, others)
            if not found:
                raise _empty(folder, label, meant)
            for parent in sorted(found):
                names, looked = found[parent]
                samples += [f"{parent}/{name}" for name in names]
                status.append(looked)
            ends.append(len(samples))
    if not samples:
        raise InputError("it has no class folders", where=folder, hint=CLASSLESS)
    codes = np.arange(len(classes), dtype=np.int64).repeat(np.diff(ends))
    labels = Labels(classes, lambda row: f"{folder / classes[codes[row]]}", names=True, codes=codes)
    sizes, stamps = np.concatenate(status).T.copy()
    notes = (*_told_of_name(folder, split), *left_out(split, others))
    notes = (f"{meant}, is taken for a class of {folder}", *notes) if meant else notes
    pictures = FilePictures(folder, samples)
    return Listing(f"{folder}", samples, labels, pictures, sizes, stamps, notes, by_class=True, once=True)


def _empty(folder: Path, label: str, meant: str | None) -> InputError:
    """What is said of a class folder without pictures: what is meant instead, or what pictures are."""
    beside = any(one.name.lower().endswith(IMAGES) for one in folder.iterdir())
    hint = CLASSLESS if beside else f"images end in {', '.join(IMAGES)}; else remove it"
    hint = f"did you mean {meant}?" if meant else hint
    return InputError("an empty class folder", where=folder / label, hint=hint)


def _told_of_name(folder: Path, split: str) -> tuple[str, ...]:
    """A note where a folder that is taken for the training split is called as another."""
    names = {name: of for of in SPLITS for name in (of, *OTHER_NAMES.get(of, ()))}
    called = names.get(folder.name.lower(), split)
    return (
        (f"{folder} is taken for the split train: split={called} says otherwise",)
        if called != split == "train"
        else ()
    )
