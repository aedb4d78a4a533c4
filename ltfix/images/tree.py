"""Every picture below a folder, by links too."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ltfix.errors import InputError
from ltfix.images.places import entered, look_below

Inode = tuple[int, int]
InFolder = tuple[list[str], np.ndarray]  # n names in order; [n, 2] int64, size and stamp of each

# the endings that torchvision's ImageFolder reads, and two more that cameras and browsers write
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif", ".gif")
_DEEPEST = 100  # folders in one another
_OFTEN = 100  # ways that links may lead to one folder: a fan of links has more than time to walk them


def walk(base: str, label: str, others: collections.Counter[str]) -> dict[str, InFolder]:
    """Name and status of every picture below a folder, links followed, by the folder that holds it,
    relative to ``base`` with ``/`` between."""
    found, ways = dict[str, InFolder](), collections.Counter[Inode]()
    waiting: list[tuple[str, frozenset[Inode]]] = [(label, frozenset())]
    top = f"{base}/{label}"
    while waiting:
        folder, above = waiting.pop()
        with _told(f"{base}/{folder}", top), entered(f"{base}/{folder}") as place:
            own = os.stat(place)  # noqa: PTH116 - many
            here = own.st_dev, own.st_ino
            if here in above:  # a link back up would never end
                continue
            ways[here] += 1
            if len(above) > _DEEPEST or ways[here] > _OFTEN:
                what = f"more than {_DEEPEST} deep" if len(above) > _DEEPEST else "again and again, by links"
                raise InputError(f"folders lie in one another {what}", where=top)
            pictures, inside = _look(place, others)
        waiting += [(f"{folder}/{name}", above | {here}) for name in inside]
        if pictures[0]:
            found[folder] = pictures
    return found


@contextlib.contextmanager
def _told(folder: str, top: str) -> Iterator[None]:
    """What goes wrong in an open folder, which has no name, told of its path."""
    try:
        yield
    except OSError as err:
        if err.errno == errno.ENAMETOOLONG:
            raise InputError("folders lie too deep in one another for the system", where=top) from err
        err.filename = folder  # no number
        raise


def _look(place: int | str, others: collections.Counter[str]) -> tuple[InFolder, list[str]]:
    """The pictures that lie in one folder, and the names of the folders in it."""
    pictures, inside = dict[str, os.DirEntry[str]](), list[str]()
    with os.scandir(place) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link to itself
                is_folder = False
            if is_folder:
                inside.append(name)
            elif name.endswith(IMAGES) or name.lower().endswith(IMAGES):
                pictures[name] = entry
            else:
                others[Path(name).suffix.lower() or "no ending"] += 1
    names = sorted(pictures)
    return (names, look_below(place, names, pictures)), inside


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
