"""What files hold: JSON, tensors, hashes; and locks on folders. `publishing` writes them whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix.errors import EnvironmentFault, InputError
from ltfix.locking import Hold, hold
from ltfix.publishing import atomic_path, demand_place, os_errors, sweep, write_bytes, write_together

if TYPE_CHECKING:
    import numpy as np

__all__ = ["atomic_path", "demand_place", "os_errors", "sweep", "write_bytes", "write_together"]
_DEEP = 64  # levels of JSON: what walks it may recurse
ENDINGS = (".safetensors", ".npz")


def completed(path: Path | str) -> Path:
    """The path; where nothing, or an empty folder, lies there but a file with one of the ``ENDINGS`` behind
    it does, that file.

    An empty one is refused (InputError): it would be the current folder.
    """
    if not str(path):
        raise InputError("the path is empty", hint="name a file or a folder; the current one is '.'")
    path = Path(path)
    beside = next((file for end in ENDINGS if (file := Path(f"{path}{end}")).exists()), None)
    return path if beside is None or (path.exists() and not _is_empty(path)) else beside


def _is_empty(path: Path) -> bool:
    """Whether it is a folder without anything; not one that may not be listed."""
    with contextlib.suppress(PermissionError):
        return path.is_dir() and not any(path.iterdir())
    return False


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


def write_text(path: Path | str, text: str, *, overwrite: bool = True) -> None:
    """Write a whole UTF-8 file as `write_bytes` does (file names that are not UTF-8 keep their bytes)."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), overwrite=overwrite)


def write_json(path: Path | str, value: object, *, overwrite: bool = True) -> None:
    """Write JSON with sorted keys, so equal values give equal bytes."""
    write_text(path, to_json(value, indent=1) + "\n", overwrite=overwrite)


def to_json(value: object, indent: int | None = None, *, sort: bool = True) -> str:
    """JSON text; numpy scalars and arrays become numbers and lists, and what is not finite null.

    Names of files that are not UTF-8 hold lone surrogates, which no encoder takes: they become
    JSON's own escapes.
    """
    how: Any = {"sort_keys": sort, "indent": indent, "ensure_ascii": False, "default": _plain}
    try:
        text = json.dumps(value, allow_nan=False, **how)
    except ValueError:  # NaN, Infinity
        text = json.dumps(_finite(value), **how)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path | str) -> Any:
    """Read a JSON file; InputError where it is missing or is not JSON."""
    demand_regular(path)
    with os_errors(path):
        return parse_json(Path(path).read_bytes(), path)


def parse_json(raw: str | bytes, where: object) -> Any:
    """Parse JSON that came out of the file ``where``; InputError where it is none."""
    try:
        value = json.loads(raw, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError) as err:
        raise InputError(f"not JSON: {err}", where=where) from err
    level = [value]
    for _ in range(_DEEP):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [entry for entries in inner for entry in entries]
    if level:
        raise InputError(f"not JSON of ltfix: nested more than {_DEEP} deep", where=where)
    return value


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def check_format(found: object, expected: str, where: object) -> None:
    """Refuse another kind of file, or a newer version of this kind (InputError)."""
    kind, _, version = (found if isinstance(found, str) else "").partition("/")
    wanted, _, newest = expected.partition("/")
    if kind != wanted or not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise InputError(f"its format is {found!r}, expected {expected!r}", where=where)
    if int(version) > int(newest):
        what = f"its format {found!r} is newer than this ltfix reads ({expected!r})"
        raise InputError(what, where=where, hint="update ltfix")


def write_safetensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: object | None = None
) -> str:
    """Write numpy tensors, packed as :func:`pack` does.

    Returns:
        The SHA-256 of the bytes as they were handed to the disk.
    """
    data = pack(tensors, metadata)
    write_bytes(path, data)
    return sha256_bytes(data)


def pack(tensors: Mapping[str, np.ndarray], metadata: object | None = None) -> bytes:
    """The bytes of a safetensors file; ``metadata`` becomes the one metadata key ``ltfix`` (sorted JSON).

    One key only: safetensors writes several in an order that changes from run to run.
    """
    import numpy as np
    from safetensors.numpy import save

    packed = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    return save(packed, metadata=None if metadata is None else {"ltfix": to_json(metadata)})


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Hold a folder, made if it is not there, so that no second writer enters it (EnvironmentFault)."""
    with enter(folder) as own:
        if not own.take():
            raise occupied(folder)
        yield


@contextlib.contextmanager
def enter(folder: Path | str) -> Iterator[Hold]:
    """Open a folder, made if it is not there (else EnvironmentFault), to be held alone or beside others."""
    with contextlib.ExitStack() as stack:
        with os_errors(folder):
            own = stack.enter_context(hold(Path(folder)))
        yield own


def occupied(folder: Path | str) -> EnvironmentFault:
    """The error for a folder that another process is in."""
    hint = "wait until it has ended, or name another folder"
    return EnvironmentFault("another process is writing into this folder", where=folder, hint=hint)


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


def sha256_texts(texts: Sequence[str]) -> str:
    """The same of a list of texts, whose JSON never is in memory as a whole."""
    digest = hashlib.sha256(b"[")
    for start in range(0, len(texts), 1 << 14):
        block = to_json(list(texts[start : start + (1 << 14)]))[1:-1]
        digest.update(f"{', ' if start else ''}{block}".encode())
    digest.update(b"]")
    return digest.hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with os_errors(path), Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
