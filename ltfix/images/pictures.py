"""Random access to the bytes of pictures, wherever they lie: files, members of archives, cells of tables.

No member's name ever becomes a path on disk; only rows of a list or a table of paths are.
"""

from __future__ import annotations

import collections
import contextlib
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images import remote
from ltfix.images.places import entered, is_remote, look_below, read_range
from ltfix.images.watch import MAX_PIXELS
from ltfix.kernel import LOOKS_AT_ONCE

_BLOCK = 512  # files that a thread looks at before it can be stopped
MAX_BYTES = 16 * MAX_PIXELS  # no picture that may be opened has more, compressed or not
OTHER_FORM = "the same name is there in another Unicode form (NFC or NFD): give both in one"
UNREADABLE = "replace it, or leave such files out by on_error=skip"


class Pictures(Protocol):
    """The pictures of a source by row; picklable, so that workers may have them, and safe in threads."""

    def read(self, row: int) -> bytes:
        """One picture as it is stored: JPEG, PNG, ….

        Raises:
            InputError: it is missing, or cannot be read.
            EnvironmentFault: it may not be read.
        """

    def where(self, row: int) -> str:
        """What messages call it."""


class FilePictures:
    """Pictures that are files below a folder, or objects behind URLs.

    Args:
        root: the folder or the URL.
        names: of each row, relative to it; one that is a URL is taken as it is.

    Attributes:
        sizes: [N] of objects behind URLs, where they were looked at.
    """

    sizes: np.ndarray | None = None

    def __init__(self, root: str | Path, names: Sequence[str]) -> None:
        self.root, self.names = os.fspath(root), names

    def read(self, row: int) -> bytes:
        """The bytes of one file; see :class:`Pictures`."""
        path = self.where(row)
        if is_remote(path):
            check_size(remote.look(path)[0] if self.sizes is None else self.sizes[row], path)
            return remote.cat(path)
        try:
            files.demand_regular(path)
        except InputError as err:
            raise InputError(err.what, where=path, hint=self._other_form(row) or err.hint) from err
        with files.os_errors(path), Path(path).open("rb") as handle:
            check_size(os.fstat(handle.fileno()).st_size, path)
            return handle.read()

    def where(self, row: int) -> str:
        """The path or URL of one file."""
        return address(self.root, self.names[row])

    def _other_form(self, row: int) -> str | None:
        name = self.names[row]
        others = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")} - {name}
        return OTHER_FORM if any(Path(self.root, other).exists() for other in others) else None


class RangePictures:
    """Pictures that lie whole inside other files: members of an archive, records of a batch.

    Args:
        paths: the files.
        members: [N] int64, the file of each row.
        spans: [N, 2] int64, where in it the row begins, and how many bytes it has.
        names: of each row, for messages.
    """

    def __init__(
        self, paths: Sequence[str], members: np.ndarray, spans: np.ndarray, names: Sequence[str]
    ) -> None:
        self.paths, self.members, self.spans, self.names = paths, members, spans, names

    def read(self, row: int) -> bytes:
        """The bytes of one member; see :class:`Pictures`."""
        start, size = self.spans[row].tolist()
        check_size(size, self.where(row))
        return read_range(self.paths[self.members[row]], start, size)

    def where(self, row: int) -> str:
        """The file and the member."""
        return f"{self.paths[self.members[row]]}: {self.names[row]}"


def below(root: str, names: Sequence[str]) -> tuple[FilePictures, np.ndarray, np.ndarray]:
    """Files below a folder or a URL as pictures, with [N] int64 sizes (``ABSENT``) and stamps of each."""
    pictures = FilePictures(root, names)
    far = is_remote(root) or any("://" in name for name in names)
    if far:
        looked = remote.look_many([pictures.where(row) for row in range(len(names))])
        sizes, stamps = np.array(list(looked), np.int64).reshape(-1, 2).T.copy()
        pictures.sizes = sizes
    else:
        sizes, stamps = _look_at_all(root or ".", names).T.copy()
    return pictures, sizes, stamps


def _look_at_all(root: str, names: Sequence[str]) -> np.ndarray:
    """[N, 2] int64: size and stamp of each file, several at once, as a disk far away answers late."""
    found = np.empty((len(names), 2), np.int64)
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(entered(root))
        except OSError:  # a folder that may be entered, but not read
            place = root

        def look(start: int) -> None:
            found[start : start + _BLOCK] = look_below(place, names[start : start + _BLOCK])

        starts = range(0, len(names), _BLOCK)
        if LOOKS_AT_ONCE == 1 or isinstance(place, str) or len(starts) == 1:
            for start in starts:
                look(start)
        else:
            pool = stack.enter_context(ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look"))
            collections.deque(pool.map(look, starts), maxlen=0)  # which raises what one did
    return found


def address(root: str, name: str) -> str:
    """The path or URL of a name below a folder or a URL; a name may be a URL itself."""
    if "://" in name:
        return name
    if not is_remote(root):
        return os.path.join(root, name)  # noqa: PTH118 - a million of them
    return f"{root.rstrip('/')}/{quote(name) if root.startswith('http') else name}"


def check_size(size: int, where: object) -> None:
    """Refuse what is larger than any picture that may be opened (InputError)."""
    if size > MAX_BYTES:
        raise InputError(f"the file is enormous, above {MAX_BYTES:,} bytes", where=where, hint=UNREADABLE)
