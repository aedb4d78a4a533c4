"""Advisory locks on files and folders: one writer at a time, and never longer than the writer lives.

Where the system or the file system has no such locks, nothing is held.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
_HELD: set[int] = set()  # descriptors of locked folders


def _let_go() -> None:
    """In a forked worker, which may outlive a killed parent and must not hold on to the folder."""
    while _HELD:
        os.close(_HELD.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go)


def try_lock(handle: int) -> bool:
    """Try to lock an open file; False only if somebody else holds it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
    return True


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which is made for it; yields False where somebody else holds it.

    What was made and is still empty at the end is removed again.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    if handle is not None:
        _HELD.add(handle)
    try:
        yield handle is None or try_lock(handle)
    finally:
        if handle in _HELD:  # else this is a forked worker
            _HELD.remove(handle)
            os.close(handle)
        with contextlib.suppress(OSError):  # at the first that is not empty
            for path in made:
                path.rmdir()
