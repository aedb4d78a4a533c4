"""The Python twin of ``_look.c``: same name, signature, errors and results."""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from ltfix._pava_py import _acquire, kind_of


def look(folder: int, names: Any, out: Any, /) -> None:
    """Look at files of an open folder, links followed.

    Args:
        folder: the folder's file descriptor.
        names: bytes: paths from there, as the system has them, each with a NUL behind it.
        out: [n, 2] int64, C-contiguous, is written: size and stamp of each; −1 and 0 where nothing can be
            found there. A stamp is (modified · 1,000,003 + changed) mod 2⁶³, of times in nanoseconds: of
            both, since a file that takes another's place may bring its time of change along.

    Raises:
        TypeError: ``names`` or ``out`` is no buffer, ``folder`` no whole number.
        ValueError: not as many names as rows, ``out`` is another array, or ``folder`` no descriptor.
    """
    folder = operator.index(folder)
    if not 0 <= folder < 1 << 31:
        raise ValueError(f"folder must be a file descriptor, not {folder}")
    text, table = _acquire(names, "names"), _acquire(out, "out", 2)
    found = np.asarray(table)
    if text.itemsize != 1:
        raise ValueError("names must be as many as out has rows, each with a NUL behind it")
    if kind_of(table) != "q" or table.readonly or found.shape[1] != 2:
        raise ValueError("out must be writable int64 of shape [n, 2]")
    each = text.tobytes().split(b"\0")
    if each.pop() or len(each) != len(found):
        raise ValueError("names must be as many as out has rows, each with a NUL behind it")
    if np.shares_memory(found, np.asarray(text)):
        raise ValueError("out must not overlap names")
    for row, name in enumerate(each):
        try:
            found[row] = size_and_stamp(os.stat(name, dir_fd=folder))
        except OSError:  # a broken link, a link to itself
            found[row] = -1, 0


def size_and_stamp(found: Any) -> tuple[int, int]:
    """Of an ``os.stat_result``."""
    stamp = found.st_mtime_ns * 1_000_003 + found.st_ctime_ns
    return found.st_size, stamp & 0x7FFF_FFFF_FFFF_FFFF
