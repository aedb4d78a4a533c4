"""``tar:FILE``: tars of class folders, read in place."""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from ltfix.errors import InputError
from ltfix.images.archive import Member, open_archive, plain
from ltfix.images.index import Indexes, TarRow
from ltfix.images.listing import ListingSource
from ltfix.images.pictures import RangePictures
from ltfix.images.places import open_binary

_PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


def open_tar(
    rest: str, *, root: str | None = None, split: Sequence[str] = (), index: Indexes | None = None
) -> ListingSource:
    """Open ``FILE``, a pattern, or ``train=F,test=G``; errors as :func:`open_archive`."""
    members = functools.partial(_members, index or Indexes())
    return open_archive("tar", members, pictures_of, rest, split=split)


def _members(index: Indexes, paths: Sequence[str]) -> Iterator[Member]:
    for archive, path in enumerate(paths):
        for name, _, start, size in index.rows(path, "tar", functools.partial(_rows, path)):
            yield Member(plain(name), archive, size, (start,))


def _rows(path: str) -> list[TarRow]:
    return [(info.name, None, info.offset_data, info.size) for info, _ in walk(path)]


def walk(path: str) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """The regular files in a tar, a hard link as the file that it is of; and the tar, to read some of it.

    Raises:
        InputError: it is cut off, compressed, or no tar.
    """
    known: dict[str, tuple[int, int]] | None = None  # few tars have links, and most have many names
    with open_binary(path) as handle:
        for info in _infos(path, handle):
            if info.islnk():
                known = _places(path) if known is None else known
                if info.linkname in known:
                    info.offset_data, info.size = known[info.linkname]
                    yield info, handle
            elif info.isreg() and not info.issparse():
                yield info, handle


def _infos(path: str, handle: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """All that a tar holds."""
    try:
        tar = tarfile.open(fileobj=handle, mode="r:")  # noqa: SIM115 - of our own handle
        while (info := tar.next()) is not None:
            if info.size < 0:
                raise tarfile.ReadError("a negative size")
            tar.members.clear()  # type: ignore[attr-defined]
            yield info
        handle.seek(tar.offset)  # tarfile ends, too, at a header that is damaged and where there is none
        end = handle.read(tarfile.BLOCKSIZE)
        if not end or any(end):
            raise tarfile.ReadError("it is cut off, or a header is damaged")
    except (tarfile.TarError, ValueError, OverflowError, MemoryError) as err:  # the last ones of absurd sizes
        raise _wrong(path, str(err) or "a header that is absurd") from err


def _places(path: str) -> dict[str, tuple[int, int]]:
    """Where the data of each regular file in a tar begins, and how long it is."""
    with open_binary(path) as handle:
        files = (info for info in _infos(path, handle) if info.isreg() and not info.issparse())
        return {info.name: (info.offset_data, info.size) for info in files}


def _wrong(path: str, why: str) -> InputError:
    with open_binary(path) as handle:
        head = handle.read(6)
    for magic, command in _PACKED.items():
        if head.startswith(magic):
            hint = f"unpack it once: {command} -k {path}"
            return InputError("a compressed tar has no random access", where=path, hint=hint)
    return InputError(f"not a whole tar: {why}", where=path)


def pictures_of(paths: Sequence[str], members: Sequence[Member], samples: Sequence[str]) -> RangePictures:
    """Random access to members of tars."""
    archives = np.array([member.archive for member in members], np.int32)
    spans = np.array([(member.at[0], member.size) for member in members], np.int64)
    return RangePictures(paths, archives, spans, samples)
