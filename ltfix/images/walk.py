"""Every picture below a folder: what ends as one, links followed, and no way without end."""

from __future__ import annotations

import collections
import errno
import os
from pathlib import Path

from ltfix.errors import InputError
from ltfix.images.places import stamped
from ltfix.images.remote import ABSENT

Inode = tuple[int, int]
Picture = tuple[str, int, int]  # its name, its size and its stamp

# the endings that torchvision's ImageFolder reads, and two more that cameras and browsers write
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif", ".gif")
_DEEPEST = 100  # folders in one another
_OFTEN = 100  # ways that links may lead to one folder: a fan of links has more than time to walk them


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
    shown = [f"{n:,} {ending}" for ending, n in others.most_common(5)]
    more = ["…"] if len(others) > len(shown) else []
    return (
        f"{others.total():,} files of {split} do not end as pictures do and are left out: "
        + ", ".join(shown + more),
    )
