"""Atomic writes and hashes; the only place that renames a file.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so a
reader sees the old file or the whole new one, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ltfix.errors import EnvironmentFault, InputError
from ltfix.locking import LOCKS, hold, try_lock

if TYPE_CHECKING:
    import numpy as np

_TEMPORARY = ".ltfix-tmp"
_DEEP = 64  # levels of JSON: what walks it may recurse
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


def demand_regular(path: Path | str) -> None:
    """Refuse what is no regular file before it is opened: a pipe would be waited for, a device has no end.

    Raises:
        InputError: there is nothing, or a folder, pipe, socket, terminal or device.
        EnvironmentFault: it may not be looked at.
    """
    with os_errors(path):
        try:
            kind = Path(path).stat().st_mode
        except ValueError as err:  # a NUL
            raise InputError("no such file or folder", where=repr(str(path))) from err
    if not stat.S_ISREG(kind):
        raise InputError("is a folder or a device, not a file", where=path)


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


def write_text(path: Path | str, text: str) -> None:
    """Write a whole UTF-8 file atomically (file names that are not UTF-8 keep their bytes)."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path | str, value: object) -> None:
    """Write JSON with sorted keys, so equal values give equal bytes."""
    write_text(path, to_json(value, indent=1) + "\n")


def to_json(value: object, indent: int | None = None) -> str:
    """Sorted JSON text; numpy scalars and arrays become numbers and lists.

    Names of files that are not UTF-8 hold lone surrogates, which no encoder takes: they become
    JSON's own escapes.
    """
    text = json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    demand_regular(path)
    with os_errors(path):
        return parse_json(Path(path).read_bytes(), path)


def parse_json(raw: str | bytes, where: object) -> Any:
    """Parse JSON that came out of the file ``where``.

    Raises:
        InputError: it is not JSON.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as err:
        raise InputError(f"not JSON: {err}", where=where) from err
    level = [value]
    for _ in range(_DEEP):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [entry for entries in inner for entry in entries]
    if level:
        raise InputError(f"not JSON of ltfix: nested more than {_DEEP} deep", where=where)
    return value


def check_format(found: object, expected: str, where: object) -> None:
    """Refuse another kind of file, or a newer version of this kind.

    Raises:
        InputError: saying which.
    """
    kind, _, version = (found if isinstance(found, str) else "").partition("/")
    wanted, _, newest = expected.partition("/")
    if kind != wanted or not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise InputError(f"its format is {found!r}, expected {expected!r}", where=where)
    if int(version) > int(newest):
        raise InputError(
            f"its format {found!r} is newer than this ltfix reads ({expected!r})",
            where=where,
            hint="update ltfix",
        )


def write_safetensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: object | None = None
) -> str:
    """Write numpy tensors; ``metadata`` becomes the one metadata key ``ltfix`` (sorted JSON).

    One key only: safetensors writes several in an order that changes from run to run.

    Returns:
        The SHA-256 of the bytes as they were handed to the disk.
    """
    import numpy as np
    from safetensors.numpy import save

    packed = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    header = None if metadata is None else {"ltfix": to_json(metadata)}
    data = save(packed, metadata=header)
    write_bytes(path, data)
    return sha256_bytes(data)


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Hold a folder, which is made if it is not there, so that no second writer enters it.

    Raises:
        EnvironmentFault: another process, or another part of this one, holds it; or it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with os_errors(folder):
            free = stack.enter_context(hold(Path(folder)))
        if not free:
            raise EnvironmentFault("another process is writing into this folder", where=folder)
        yield


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with os_errors(path):
        path.unlink(missing_ok=True)


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of a byte string."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: object) -> str:
    """Hex SHA-256 of a value as sorted JSON: the fingerprint of a set of decisions."""
    return sha256_bytes(to_json(value).encode())


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with os_errors(path), Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
