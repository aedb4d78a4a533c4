"""Pictures that are cells of parquet files."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltfix.errors import InputError, extra
from ltfix.images.pictures import check_size
from ltfix.images.places import is_remote, open_binary

_KEPT = 2  # row groups of pictures in memory: threads read at the border of two


class CellPictures:
    """Pictures that are cells of parquet files; the row groups that were read last stay in memory.

    Args:
        column: of the pictures.
        paths: the files.
        members: [N] the file of each row.
        numbers: [N] its number there.
    """

    def __init__(self, column: str, paths: Sequence[str], members: np.ndarray, numbers: np.ndarray) -> None:
        self.column, self.paths, self.members, self.numbers = column, paths, members, numbers
        self._groups = [_group_rows(path, column) for path in paths]  # [G, 2] of each file: first row, bytes
        self._kept = collections.OrderedDict[tuple[int, int], Any]()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": collections.OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def sizes(self) -> np.ndarray:
        """[N] int64, the bytes of the row group that each picture is in: what the footer knows."""
        found = np.empty(len(self.members), np.int64)
        for file, groups in enumerate(self._groups):
            own = self.members == file
            found[own] = groups[np.searchsorted(groups[:, 0], self.numbers[own], "right") - 1, 1]
        return found

    def read(self, row: int) -> bytes:
        """The bytes of one cell; see :class:`ltfix.images.pictures.Pictures`."""
        file, number = int(self.members[row]), int(self.numbers[row])
        starts = self._groups[file][:, 0]
        group = int(np.searchsorted(starts, number, "right")) - 1
        with self._lock:
            cells = self._kept.get((file, group))
            if cells is None:
                cells = self._kept[file, group] = self._read_group(self.paths[file], group)
            self._kept.move_to_end((file, group))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        data = cells[number - int(starts[group])].as_py()
        if data is None:
            raise InputError("the row has no picture", where=self.where(row))
        check_size(len(data), self.where(row))
        return bytes(data)

    def where(self, row: int) -> str:
        """The file and the row."""
        return f"{self.paths[self.members[row]]}, row {self.numbers[row]}"

    def _read_group(self, path: str, group: int) -> Any:
        import pyarrow.compute

        with opened(path) as parquet:
            inside = inside_of(parquet.schema_arrow.field(self.column).type)
            wanted = f"{self.column}.bytes" if inside else self.column
            table = parquet.read_row_group(group, columns=[wanted], use_threads=False)
            cells = table.column(self.column)
        return pyarrow.compute.struct_field(cells, "bytes") if inside else cells


def _group_rows(path: str, column: str) -> np.ndarray:
    """[G, 2] int64: the first row of each row group, and the bytes of a column in it."""
    with opened(path) as parquet:
        groups, first = [], 0
        for index in range(parquet.metadata.num_row_groups):
            group = parquet.metadata.row_group(index)
            leaves = [group.column(leaf) for leaf in range(group.num_columns)]
            size = sum(
                leaf.total_compressed_size for leaf in leaves if leaf.path_in_schema.split(".")[0] == column
            )
            groups.append((first, size))
            first += group.num_rows
    return np.array(groups, np.int64).reshape(-1, 2)


def inside_of(kind: Any) -> tuple[str, ...] | None:
    """The fields of a struct of a picture; none for its bare bytes; None where a column holds paths."""
    import pyarrow.types

    if pyarrow.types.is_struct(kind):
        fields = tuple(kind.field(index).name for index in range(kind.num_fields))
        return fields if "bytes" in fields else None
    return () if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) else None


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """A parquet file, local or behind a URL.

    One behind a URL is read without Arrow's threads, here and by ``use_threads=False``: they may let go of
    its buffers, which are Python's, as the interpreter ends, and abort the process (apache/arrow #34314).

    Raises:
        InputError: it is missing, cut off, or none.
        EnvironmentFault: pyarrow is not installed.
    """
    with extra("parquet", path):
        import pyarrow
        import pyarrow.parquet
    with open_binary(path) as handle:
        try:
            remote = is_remote(path)
            with pyarrow.parquet.ParquetFile(handle if remote else path, pre_buffer=not remote) as parquet:
                yield parquet
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as err:
            first = str(err).partition("\n")[0]
            raise InputError(f"not a whole parquet file: {first}", where=path) from err
