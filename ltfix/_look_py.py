"""The Python twin of ``_look.c``: same name, signature, errors and results."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


def look(folder: int, names: bytes, out: np.ndarray, /) -> None:
    """Look at files of an open folder, links followed.

    Args:
        folder: the folder's file descriptor.
        names: paths from there, as the system has them, each with a NUL behind it.
        out: [n, 2] int64, is written: size and stamp of each; −1 and 0 where nothing can be found there. A
            stamp is (modified · 1,000,003 + changed) mod 2⁶³, of times in nanoseconds: of both, since a file
            that takes another's place may bring its time of change along.

    Raises:
        ValueError: not as many names as rows, or ``out`` is another array.
    """
    if out.dtype != np.int64 or out.ndim != 2 or out.shape[1] != 2 or not out.flags.writeable:
        raise ValueError("out must be writable int64 of shape [n, 2]")
    each = names.split(b"\0")
    if each.pop() or len(each) != len(out):
        raise ValueError("names must be as many as out has rows, each with a NUL behind it")
    for row, name in enumerate(each):
        try:
            out[row] = size_and_stamp(os.stat(name, dir_fd=folder))
        except OSError:  # a broken link, a link to itself
            out[row] = -1, 0


def size_and_stamp(found: Any) -> tuple[int, int]:
    """Of an ``os.stat_result``."""
    stamp = found.st_mtime_ns * 1_000_003 + found.st_ctime_ns
    return found.st_size, stamp & 0x7FFF_FFFF_FFFF_FFFF
