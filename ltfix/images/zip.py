"""``zip:FILE``: archives of class folders, read in place."""

from __future__ import annotations

import functools
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from ltfix.errors import InputError
from ltfix.images.archive import Member, open_archive, plain
from ltfix.images.pictures import check_size
from ltfix.images.places import open_binary, read_range

_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1


def _index(paths: Sequence[str]) -> Iterator[Member]:
    for archive, path in enumerate(paths):
        with open_binary(path) as handle:
            try:
                with zipfile.ZipFile(handle) as opened:
                    infos, end = opened.infolist(), opened.start_dir
            except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as err:
                raise InputError(f"not a whole zip: {err}", where=path) from err
        starts = sorted({info.header_offset for info in infos} | {end})
        after = dict(itertools.pairwise(starts))
        for info in infos:
            if info.is_dir():
                continue
            if info.flag_bits & _ENCRYPTED or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                wrong = "encrypted" if info.flag_bits & _ENCRYPTED else "packed in a way that is not read"
                hint = "unpack it, or zip it plainly"
                raise InputError(f"a member is {wrong}", where=f"{path}: {info.filename}", hint=hint)
            start = info.header_offset
            room = after.get(start, start) - start
            at = (start, room, info.compress_size, info.compress_type, info.CRC)
            yield Member(plain(info.filename), archive, info.file_size, at)


class ZipPictures:
    """Random access to members of zips, each by the name of its sample."""

    def __init__(self, paths: Sequence[str], members: Sequence[Member], samples: Sequence[str]) -> None:
        self.paths, self.samples = paths, samples
        self.rows = np.array([(each.archive, each.size, *each.at) for each in members], np.int64)

    def read(self, row: int) -> bytes:
        """The bytes of one member; see :class:`ltfix.images.pictures.Pictures`."""
        archive, size, start, room, packed, method, crc = self.rows[row].tolist()
        where = self.where(row)
        check_size(max(size, packed), where)
        block = read_range(
            self.paths[archive], start, min(room, packed + (1 << 18))
        )  # header and names: 196 kB at most
        data = b""
        if len(block) > _HEADER.size:
            mark, name, extra = _HEADER.unpack_from(block)
            first = _HEADER.size + name + extra
            data = block[first : first + packed] if mark == b"PK\3\4" else b""
        try:
            if method == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as err:
            raise InputError(f"a corrupt member: {err}", where=where) from err
        if len(data) != size or zlib.crc32(data) != crc:
            raise InputError("a corrupt member: it is not what the archive says of it", where=where)
        return data

    def where(self, row: int) -> str:
        """The archive and the member."""
        return f"{self.paths[self.rows[row, 0]]}: {self.samples[row]}"


open_zip = functools.partial(open_archive, "zip", _index, ZipPictures)
