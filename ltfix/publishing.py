"""Whole files or none: what is written under a temporary name and named once it is whole.

Nothing else names a file. A file is written under a temporary name in its own folder, flushed to the disk
and renamed, so a reader sees the old file or the whole new one, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ltfix.errors import EnvironmentFault, InputError
from ltfix.locking import LOCKS, try_lock

_TEMPORARY = ".ltfix-tmp"
_SPACE = "free some space and run the same command again"
_RIGHTS = "check its permissions, or choose another folder"
_FAULTS = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: ("the file is larger than the file system or the limit of this shell allows", None),
    errno.EACCES: ("no permission", _RIGHTS),
    errno.EPERM: ("no permission", _RIGHTS),
    errno.EROFS: ("the file system is read-only", "choose a folder that you may write to"),
    errno.ENOMEM: ("out of memory", "use a smaller batch or fewer workers"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n) or use fewer workers"),
}
_WRONG_PATHS = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)


@contextlib.contextmanager
def os_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError about ``path`` into the LtfixError with the right exit code.

    Raises:
        InputError: there is nothing at the path, or not that kind of file, or (an error without a
            number, as decoders raise) its content is wrong.
        EnvironmentFault: everything else that the system refused.
    """
    try:
        yield
    except OSError as err:
        named = err.filename
        where = path if named is None or str(named).endswith(_TEMPORARY) else named
        if err.errno == errno.ENOENT:
            raise InputError("no such file or folder", where=where) from err
        if err.errno is None or err.errno in _WRONG_PATHS:
            raise InputError((err.strerror or str(err)).lower(), where=where) from err
        what, hint = _FAULTS.get(err.errno, (err.strerror or str(err), None))
        raise EnvironmentFault(what, where=where, hint=hint) from err


def demand_place(path: Path) -> None:
    """Refuse a path that no file could be written to, before the work that would fill it.

    Raises:
        InputError: the path is a folder, or passes through a file.
        EnvironmentFault: no permission, or a read-only file system.
    """
    folder = path.parent
    with os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        while not (folder.exists() or folder.is_symlink() or folder == folder.parent):
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
            raise OSError(errno.EROFS if fixed else errno.EACCES, "", str(folder))


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place when the block ends well.

    The temporary file exists (empty) and is locked where the system has such locks, so that
    :func:`sweep` can tell it from what a killed writer left.

    Raises:
        InputError: the path is a folder, or passes through a file.
        EnvironmentFault: no permission, or no space (the temporary file is removed).
    """
    path = Path(path)
    with os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, glob.escape(_prefix(path)))
        with _locked_temporary(path) as held:
            temporary = Path(held.name)
            if not LOCKS:  # Windows renames no open file
                held.close()
            try:
                yield temporary
                with temporary.open("rb+") as handle:
                    os.fsync(handle.fileno())
                temporary.replace(path)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _locked_temporary(path: Path) -> BinaryIO:
    while True:
        name = f"{_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}{_TEMPORARY}"
        handle = path.with_name(name).open("xb")
        if try_lock(handle.fileno()) and os.fstat(handle.fileno()).st_nlink:
            return handle
        handle.close()  # swept by another process before it was locked


def _prefix(path: Path) -> str:
    return f".{path.name[:48]}."  # short, so that a long name does not become too long


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # the file is in place; some file systems cannot sync folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder`` under temporary names; live writers' files stay."""
    _sweep(folder, ".")


def _sweep(folder: Path, prefix: str) -> None:
    for path in folder.glob(f"{prefix}*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            if not LOCKS:
                path.unlink(missing_ok=True)
                continue
            with path.open("rb+") as handle:
                if try_lock(handle.fileno()):
                    path.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
