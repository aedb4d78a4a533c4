"""Files of this machine or behind a URL: opened, read in part, looked at, and named by patterns."""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from ltfix import files
from ltfix._look_py import size_and_stamp
from ltfix.errors import InputError
from ltfix.images import remote
from ltfix.images.remote import ABSENT, Looked
from ltfix.kernel import look

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
# the user names these as streams: standard input, and what a shell puts for <(command)
_STREAMS = re.compile(r"-|/dev/stdin|(/dev|/proc/self)/fd/\d+")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def is_remote(path: str) -> bool:
    """Whether a path is a URL, as ``s3://bucket/train.csv``."""
    return _URL.match(path) is not None


def is_stream(path: str) -> bool:
    """Whether a path is ``-`` or another name of a stream, which can be read once."""
    return _STREAMS.fullmatch(path) is not None


def is_there(path: str) -> bool:
    """Whether a path exists; False, too, for what is no path, as a long ``list:`` is not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long


def folder_of(path: str) -> str:
    """The folder of a file; of a stream, the working folder."""
    if is_remote(path):
        return path.partition("?")[0].rpartition("/")[0]
    return "." if is_stream(path) else os.fspath(Path(path).parent)


def name_of(path: str) -> str:
    """The last part of a path, as a manifest may hold it."""
    if is_remote(path):
        return path.partition("?")[0].rstrip("/").rpartition("/")[2]
    return Path(path).resolve().name


def names_of(paths: Sequence[str]) -> list[str]:
    """Their last parts; where two have the same, of all of them what follows the folder that they share."""
    names = [name_of(path) for path in paths]
    if len(set(names)) == len(set(paths)):
        return names
    whole = [path.partition("?")[0] if is_remote(path) else str(Path(path).absolute()) for path in paths]
    shared = os.path.commonprefix(whole).rpartition("/")[0]  # noqa: RUF071 - cut at a slash; some are URLs
    return [path[len(shared) + 1 :] for path in whole]


def expand(pattern: str) -> list[str]:
    """The files that a path means: ``{000..012}`` and ``{a,b}`` are spelled out, ``*`` and ``?`` looked up.

    Raises:
        InputError: there is none.
    """
    if is_stream(pattern) or is_there(pattern):
        return [pattern]
    found = list[str]()
    for path in _spelled(pattern):
        if not is_remote(path) and glob.has_magic(path):
            found += sorted(glob.glob(path))  # noqa: PTH207 - as it is written
        elif is_remote(path) and "*" in path:
            found += remote.find(path)
        else:
            found.append(path)
    if not found:
        raise InputError("no file is named so", where=pattern)
    return found


def _spelled(pattern: str) -> list[str]:
    braces = _BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, last, words = braces.groups()
    if words is None:
        found = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    else:
        found = words.split(",")
    rest = _spelled(pattern[braces.end() :])
    return [pattern[: braces.start()] + word + end for word in found for end in rest]


def demand_file(path: str) -> None:
    """Refuse a local path that is no regular file; a URL is looked at when it is read.

    Raises:
        InputError: there is nothing, or a folder, pipe or device.
    """
    if not is_stream(path) and not is_remote(path):
        files.demand_regular(path)


@contextlib.contextmanager
def open_binary(path: str) -> Iterator[BinaryIO]:
    """A file, a URL or a stream, to be read from its beginning.

    Raises:
        InputError: missing, no regular file, or a URL that cannot be read.
        EnvironmentFault: no permission.
    """
    demand_file(path)
    if is_remote(path):
        with remote.open_url(path) as handle:
            yield handle
    elif path == "-":
        plain = getattr(sys.stdin, "buffer", None)
        yield plain if plain is not None else io.BytesIO(sys.stdin.read().encode())
    else:
        with files.os_errors(path), Path(path).open("rb") as handle:
            yield handle


@contextlib.contextmanager
def open_text(path: str, newline: str = "\n") -> Iterator[TextIO]:
    """The same as UTF-8 text without a byte-order mark.

    Raises:
        InputError: it is not UTF-8, and as :func:`open_binary`.
    """
    where = "standard input" if path == "-" else path
    with open_binary(path) as handle:
        text = io.TextIOWrapper(handle, "utf-8-sig", newline=newline)
        try:
            yield text
        except UnicodeDecodeError as err:
            utf16 = err.object.startswith((b"\xff\xfe", b"\xfe\xff"))
            hint = "it is UTF-16: save it as UTF-8" if utf16 else None
            raise InputError("not a UTF-8 text file", where=where, hint=hint) from err
        finally:
            with contextlib.suppress(ValueError):  # closed already
                text.detach()


def delimiter_of(first: str, known: str = ",;\t") -> str:
    """What stands between the columns of a table: of those known, the first that its first line has."""
    return next((each for each in known if each in first), known[0])


def read_range(path: str, start: int, size: int) -> bytes:
    """Bytes ``start`` to ``start + size`` of a file or a URL; nothing stays open.

    Raises:
        InputError: it is missing, or ends before.
        EnvironmentFault: it may not be read.
    """
    if is_remote(path):
        data = remote.cat(path, start, start + size)
    else:
        with files.os_errors(path), Path(path).open("rb", buffering=0) as handle:
            handle.seek(start)
            data = handle.read(size)
    if len(data) != size:
        raise InputError("it is cut off", where=path, hint="copy it again")
    return data


def look_at(path: str | os.PathLike[str]) -> Looked:
    """Size of a file, and a stamp of its times; ``ABSENT`` and 0 where nothing can be found there."""
    if isinstance(path, str) and is_remote(path):
        return remote.look(path)
    try:
        return size_and_stamp(os.stat(path))  # noqa: PTH116 - a million of them
    except (OSError, ValueError):  # a broken link, a link to itself; a NUL
        return ABSENT, 0


@contextlib.contextmanager
def entered(folder: str) -> Iterator[str | int]:
    """A folder open, since from there the system finds a file sooner; its path where it can open none.

    Raises:
        OSError: it cannot be opened.
    """
    if os.scandir not in os.supports_fd:
        yield folder
        return
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield place
    finally:
        os.close(place)


def look_below(
    folder: str | int, names: Sequence[str], entries: Mapping[str, os.DirEntry[str]] | None = None
) -> np.ndarray:
    """[n, 2] int64: what :func:`look_at` finds of each file below a folder that was ``entered``.

    ``entries`` know it on Windows, where no folder is open.
    """
    found = np.empty((len(names), 2), np.int64)
    if isinstance(folder, str):
        for row, name in enumerate(names):
            path = os.path.join(folder, name) if name else name  # noqa: PTH118 - a million of them
            found[row] = look_at(path) if entries is None else _look_at_entry(entries[name])
        return found
    try:
        look(folder, os.fsencode("".join(f"{name}\0" for name in names)), found)
    except ValueError:  # some name holds a NUL, or half of a surrogate pair
        if len(names) > 1:
            return np.concatenate([look_below(folder, [name]) for name in names])
        found[:] = ABSENT, 0
    return found


def _look_at_entry(entry: os.DirEntry[str]) -> Looked:
    try:
        return size_and_stamp(entry.stat())
    except OSError:  # a broken link
        return ABSENT, 0


def modified_at(path: str | os.PathLike[str]) -> int:
    """When a local file was last written, in ns; 0 where nothing can be found there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a million of them
    except (OSError, ValueError):
        return 0
