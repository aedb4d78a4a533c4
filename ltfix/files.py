"""Atomic writes and hashes; the only place that renames a file.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so a
reader sees the old file or the whole new one, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import EnvironmentFault, InputError

_TEMPORARY = ".ltfix-tmp"
_FAULTS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EACCES: ("no permission", "choose a folder that you may write to"),
    errno.EPERM: ("no permission", "choose a folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose a folder that you may write to"),
    errno.ENOMEM: ("out of memory", "use a smaller batch or fewer workers"),
}


@contextlib.contextmanager
def os_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError about ``path`` into the LtfixError with the right exit code."""
    try:
        yield
    except FileNotFoundError as err:
        raise InputError("no such file or folder", where=err.filename or path) from err
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as err:
        what = (err.strerror or "wrong kind of file").lower()
        raise InputError(what, where=err.filename or path) from err
    except OSError as err:
        what, hint = _FAULTS.get(err.errno or 0, (err.strerror or str(err), None))
        raise EnvironmentFault(what, where=err.filename or path, hint=hint) from err


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place when the block ends well.

    Raises:
        EnvironmentFault: no permission, or no space (the temporary file is removed).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    with os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what a killed writer left in ``folder`` under temporary names."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write a whole UTF-8 file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: object) -> None:
    """Write JSON with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    with os_errors(path):
        return parse_json(Path(path).read_bytes(), path)


def parse_json(raw: str | bytes, where: object) -> Any:
    """Parse JSON that came out of the file ``where``.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return json.loads(raw)
    except ValueError as err:
        raise InputError(f"not JSON: {err}", where=where) from err


def write_safetensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: object | None = None
) -> None:
    """Write numpy tensors; ``metadata`` becomes the one metadata key ``ltfix`` (sorted JSON).

    One key only: safetensors writes several in an order that changes from run to run.
    """
    from safetensors.numpy import save

    packed = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    header = None
    if metadata is not None:
        header = {"ltfix": json.dumps(metadata, sort_keys=True, ensure_ascii=False)}
    write_bytes(path, save(packed, metadata=header))


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with os_errors(path):
        path.unlink(missing_ok=True)


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of a byte string."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: object) -> str:
    """Hex SHA-256 of a value as sorted JSON: the fingerprint of a set of decisions."""
    return sha256_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with os_errors(path), Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
