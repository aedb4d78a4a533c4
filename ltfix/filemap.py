"""Files mapped into memory with no descriptor left open: a cache may have more shards than a shell allows."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
import weakref
from typing import Any, BinaryIO

import numpy as np

_FAILED = ctypes.c_void_p(-1).value
_mapped: dict[int, int] = {}  # length by address of what `_map_posix` has mapped and is in use


def map_file(handle: BinaryIO) -> Any:
    """The bytes of an open file as a read-only buffer (OSError); the file may be closed."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ, trackfd=False)
    if os.name == "posix":  # an mmap object of these Pythons holds a descriptor as long as it lives
        return _map_posix(handle.fileno())
    return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def _map_posix(descriptor: int) -> memoryview:
    length = os.fstat(descriptor).st_size
    address = _libc().mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _mapped[address] = length
    pages = (ctypes.c_char * length).from_address(address)
    weakref.finalize(pages, _unmap, address).atexit = False  # at the end threads may still read
    return memoryview(pages).toreadonly()


def _unmap(address: int) -> None:
    _libc().munmap(address, _mapped.pop(address))


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    size, pointer, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    libc.mmap.restype = pointer
    libc.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_long)
    libc.munmap.argtypes = (pointer, size)
    libc.madvise.argtypes = (pointer, size, number)
    return libc


def release(array: np.ndarray) -> None:
    """Give back the memory that a mapped array's pages took; they are read again when touched."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
    elif isinstance(base, ctypes.Array) and ctypes.addressof(base) in _mapped:
        _libc().madvise(ctypes.addressof(base), len(base), mmap.MADV_DONTNEED)
