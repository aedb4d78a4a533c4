"""Advisory locks on files and folders: one writer at a time, and never longer than the writer lives.

Where the system or the file system has no such locks, nothing is held.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
HELD: set[int] = set()  # descriptors whose locks a forked process must not keep


def _let_go() -> None:
    """In a forked worker, which may outlive a killed parent and must not hold on to the folder."""
    while HELD:
        os.close(HELD.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go)


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Try to lock an open file, alone or beside others; False only if somebody else is in the way."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
    return True


def try_take(handle: IO[bytes], path: Path) -> bool:
    """Try to lock an open file that ``path`` leads to; False if somebody else has it, or it lost that name.

    Whoever opened a file before another removed it can lock it after: it is no longer the one at ``path``.
    """
    return try_lock(handle.fileno()) and is_at(handle, path)


def is_at(handle: IO[bytes], path: Path) -> bool:
    """Whether a path still leads to an open file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    return False


class Hold:
    """A folder that is open to be locked, by its descriptor; None where there are no locks."""

    def __init__(self, handle: int | None) -> None:
        self.handle = handle

    def take(self, *, shared: bool = False) -> bool:
        """Try to hold it, alone or beside others that share it; what was held before is let go."""
        return self.handle is None or try_lock(self.handle, shared=shared)


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Hold]:
    """Open a folder, which is made for it, so that it can be held; at the end it is let go.

    What was made and is still empty at the end is removed again.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    if handle is not None:
        HELD.add(handle)
    try:
        yield Hold(handle)
    finally:
        if handle in HELD:  # else this is a forked worker
            HELD.remove(handle)
            os.close(handle)
        with contextlib.suppress(OSError):  # at the first that is not empty
            for path in made:
                path.rmdir()
