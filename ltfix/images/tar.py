"""``tar:FILE``: archives of class folders, read in place."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from ltfix.errors import InputError
from ltfix.images.archive import Member, open_archive
from ltfix.images.listing import ListingSource
from ltfix.images.pictures import RangePictures
from ltfix.images.places import open_binary

_PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


def open_tar(rest: str, *, root: str | None = None, split: Sequence[str] = ()) -> ListingSource:
    """Open ``FILE``, a pattern, or ``train=F,test=G``.

    Raises:
        UsageError, InputError: as :func:`ltfix.images.archive.open_archive`.
    """
    return open_archive("tar", rest, split, _index, pictures_of)


def _index(paths: Sequence[str]) -> Iterator[Member]:
    for archive, path in enumerate(paths):
        for info, _ in walk(path):
            yield Member(info.name, archive, info.size, (info.offset_data,))


def walk(path: str) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """The regular files in a tar, a hard link as the file that it is of; and the tar, to read some of it.

    Raises:
        InputError: it is cut off, compressed, or no tar.
    """
    known = dict[str, tuple[int, int]]()
    with open_binary(path) as handle:
        try:
            tar = tarfile.open(fileobj=handle, mode="r:")  # noqa: SIM115 - of our own handle
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                if info.islnk() and info.linkname in known:
                    info.offset_data, info.size = known[info.linkname]
                elif not info.isreg() or info.issparse():
                    continue
                known[info.name] = info.offset_data, info.size
                yield info, handle
        except tarfile.TarError as err:
            raise _wrong(path, str(err)) from err


def _wrong(path: str, why: str) -> InputError:
    with open_binary(path) as handle:
        head = handle.read(6)
    for magic, command in _PACKED.items():
        if head.startswith(magic):
            hint = f"unpack it once: {command} {path}"
            return InputError("a compressed tar has no random access", where=path, hint=hint)
    return InputError(f"not a whole tar: {why}", where=path)


def pictures_of(paths: Sequence[str], members: Sequence[Member], samples: Sequence[str]) -> RangePictures:
    """Random access to members of tars."""
    archives = np.array([member.archive for member in members], np.int32)
    spans = np.array([(member.at[0], member.size) for member in members], np.int64)
    return RangePictures(paths, archives, spans, samples)
