"""``list:FILE`` and ``list:train=F,test=G``: text files with a path and a label a line.

The published ImageNet_LT, Places_LT and iNaturalist18 files are read as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ltfix.errors import InputError
from ltfix.images.columns import Rows, files_of
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.parts import base_of, open_parts
from ltfix.images.pictures import address
from ltfix.images.places import look_at, name_of, open_text
from ltfix.images.remote import ABSENT
from ltfix.images.tree import IMAGES


def open_lists(rest: str, *, root: str | None = None, split: Sequence[str] = ()) -> ListingSource:
    """Open ``FILE`` or ``train=F,test=G``. Paths start from ``root``, else from each file's own folder.

    Raises:
        UsageError: a split is given twice or without a file, or several are asked of a bare list.
        InputError: a file or the root is missing.
    """
    parts = open_parts("list", rest, split)
    first = next(iter(parts.values()))[0]
    base_of(first, root)
    tables = {name: functools.partial(_read, paths, root) for name, paths in parts.items()}
    return ListingSource("list", name_of(root or first), tables)


def _read(paths: list[str], root: str | None) -> Listing:
    """One list, or several joined."""
    rows = Rows()
    for file in paths:
        rows.begin(file)
        with open_text(file) as text:
            for number, line in enumerate(text, 1):
                if not (row := line.strip("\ufeff \t\r\n")):  # lists that were joined have several marks
                    continue
                # a path may hold spaces; where a tab separates, the label may, too
                path, _, label = row.rpartition("\t") if "\t" in row else _words(row)
                if not (path and label):
                    what = f"expected a path and a label, found {row!r}"
                    raise InputError(what, where=f"{file}, line {number}")
                rows.add(number, path.strip(), label.strip())
    if not rows.paths:
        raise InputError("the list is empty", where=paths[0])
    base, notes = base_of(paths[0], root), tuple[str, ...]()
    if _is_header(rows.paths, rows.labels, base):
        notes = (f"taken for a header: {rows.paths[0]} {rows.labels[0]} ({rows.where(0)})",)
        rows.drop_first()
    return files_of(rows, paths[0], base, root is not None, notes=notes)


def _words(row: str) -> tuple[str, str, str]:
    path, *label = row.rsplit(None, 1) or [""]
    return path, "", "".join(label)


def _is_header(paths: list[str], written: list[str], base: str) -> bool:
    """Whether the first line names columns: it does not end as a picture does, and is unlike all others."""
    if len(paths) == 1 or paths[0].lower().endswith(IMAGES) or "://" in paths[0]:
        return False
    return written[0] not in written[1:] and look_at(address(base, paths[0]))[0] == ABSENT
