"""Files behind URLs, by fsspec: read whole or in part, looked at, found; what fails is tried again thrice."""

from __future__ import annotations

import contextlib
import io
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar, cast

from ltfix.errors import EnvironmentFault, InputError, extra

ABSENT = -1  # the size of a file that is not there
Looked = tuple[int, int]  # the size of a file, and a stamp of its version
AGAIN = 3
WAIT = 0.5  # seconds before the second try; twice as long before each further one
_AT_ONCE = 32  # objects looked at side by side
_TAGS = ("ETag", "etag", "md5", "blob_id", "generation", "mtime", "LastModified", "last_modified", "created")
_BLOCK = 1 << 20
_NOT_FOUND = 404
MISSING = "no such file"

T = TypeVar("T")


def cat(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """The bytes of an object, or those from ``start`` to ``stop`` (InputError: none, or no parts)."""
    data = _tried(url, lambda fs, path: fs.cat_file(path, start=start, end=stop))
    if start is not None and stop is not None and len(data) > stop - start:
        raise InputError(
            "its server does not give parts of a file", where=url, hint="download it, and read it from there"
        )
    return bytes(data)


def look(url: str) -> Looked:
    """Its size and a stamp of what the server tells of its version, 0 for nothing; ``ABSENT`` and 0 where
    it is not."""
    try:
        found = _tried(url, lambda fs, path: fs.info(path))
    except InputError as err:
        if err.what == MISSING:
            return ABSENT, 0
        raise
    told = "|".join(str(found[key]) for key in _TAGS if found.get(key) is not None)
    told = told or str(found.get("Last-Modified", ""))  # whole seconds: only where nothing better is told
    return int(found.get("size") or 0), zlib.crc32(told.encode())


def look_many(urls: Sequence[str]) -> Iterable[Looked]:
    """The same for many objects, one request each, side by side."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look") as pool:
        return list(pool.map(look, urls))


def find(pattern: str) -> list[str]:
    """The URLs that match a pattern with ``*``, in order."""
    found = _tried(pattern, lambda fs, path: [fs.unstrip_protocol(each) for each in fs.glob(path)])
    return sorted(found)


@contextlib.contextmanager
def open_url(url: str) -> Iterator[BinaryIO]:
    """An object to be read from its beginning, some blocks ahead (InputError: absent, or not readable)."""
    with io.BufferedReader(_Reading(url)) as handle:
        yield cast(BinaryIO, handle)


class _Reading(io.RawIOBase):
    """An object, by its URL, that is opened again, at the same place, where reading it fails."""

    def __init__(self, url: str) -> None:
        self.url, self._at, self._handle = url, 0, cast(Any, None)
        self._do(lambda handle: None)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, unless its server gives no parts."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on elsewhere."""
        if (offset, whence) != (0, io.SEEK_CUR):
            self._at = self._do(lambda handle: handle.seek(offset, whence)) or 0
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as fits."""
        data = self._do(lambda handle: handle.read(len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            self._handle.close()
        super().close()

    def _do(self, act: Callable[[Any], T]) -> T:
        def once(fs: Any, path: str) -> T:
            try:
                if self._handle is None:
                    self._handle = fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
                    self._handle.seek(self._at)
                return act(self._handle)
            except Exception:
                self._handle = None
                raise

        return _tried(self.url, once)


def _tried(url: str, act: Callable[[Any, str], T]) -> T:
    """What ``act`` makes of the file system and the path of a URL."""
    with extra("remote", "files behind URLs"):
        import fsspec.core
    wait = WAIT
    for left in range(AGAIN, -1, -1):
        try:
            return act(*fsspec.core.url_to_fs(url))
        except PermissionError as err:
            raise EnvironmentFault("no permission", where=url) from err
        except ImportError as err:
            package = str(err).partition("nstall ")[2] or str(err)
            raise EnvironmentFault(
                "this kind of URL needs another package", where=url, hint=f"install {package}"
            ) from err
        except ValueError as err:  # an unknown protocol, a URL that is none
            raise InputError(str(err), where=url) from err
        except Exception as err:  # what the clients of all these services raise has no common name
            if _is_missing(err):
                raise InputError(MISSING, where=url) from err
            if not left:
                cause = err.__cause__ or err
                told = " ".join(str(cause).split()) or type(cause).__name__
                what = f"it cannot be read, tried {AGAIN + 1} times: {told}"
                raise InputError(what, where=url) from err
            time.sleep(wait)
            wait *= 2
    raise AssertionError("a loop that returns or raises")


def _is_missing(err: Exception) -> bool:
    """Whether there is no such object; the client for http says so of whatever went wrong."""
    cause = err.__cause__
    if not isinstance(err, FileNotFoundError) or getattr(cause, "status", None) == _NOT_FOUND:
        return isinstance(err, FileNotFoundError)
    return not (isinstance(cause, OSError) or type(cause).__module__.startswith("aiohttp"))
