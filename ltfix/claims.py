"""Claims: which of several processes, on one host or many, does which part of a shared work.

A claim is a file that only one process can create. It stands for as long as its owner lives: a lock on it
shows that at once where locks reach (one host, most network file systems); elsewhere the owner changes the
file's time every ``BEAT`` seconds, and a claim whose time has stood still for ``LEASE`` seconds of the
observer's own clock has lapsed. A claim that is wrongly believed to have lapsed costs work that is done
twice, no more: what is claimed is written whole or not at all, and by all alike.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ltfix.locking import HELD, is_at, try_lock, try_take

BEAT, LEASE = 15.0, 120.0  # seconds
_PREFIX = ".claim-"


class Claims:
    """The claims of this process in one folder; leaving the block releases them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[Path, BinaryIO] = {}
        self._seen: dict[Path, tuple[int, float]] = {}  # the time that a claim had, and since when
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._keep, name="claims", daemon=True)

    def __enter__(self) -> Claims:
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for path in list(self._held):
            self.release(path.name.removeprefix(_PREFIX))

    def take(self, name: str) -> bool:
        """Try to claim ``name``; False where another process has it."""
        path = self.folder / f"{_PREFIX}{name}"
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = draft.open("xb", buffering=0)
        HELD.add(handle.fileno())
        try:
            if try_lock(handle.fileno()) and _is_locked(draft):
                handle.write(_kernel())
            _name(draft, path)
        except (FileExistsError, FileNotFoundError) as err:
            HELD.discard(handle.fileno())
            handle.close()
            cleared = isinstance(err, FileNotFoundError)  # by one that found the work done
            return (cleared or self._remove_dead(path)) and self.take(name)
        finally:
            draft.unlink(missing_ok=True)
        self._held[path] = handle
        return True

    def release(self, name: str) -> None:
        """Give a claim up."""
        path = self.folder / f"{_PREFIX}{name}"
        with self._held.pop(path) as handle, contextlib.suppress(OSError):
            HELD.discard(handle.fileno())
            if is_at(handle, path):
                path.unlink()

    def clear(self) -> None:
        """Remove every claim that is left, when there is nothing to claim any more."""
        for path in self.folder.glob(f"{_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as handle:
                if path in self._held or try_take(handle, path):  # else another is about to ask
                    path.unlink()

    def _remove_dead(self, path: Path) -> bool:
        """Remove a claim whose owner is gone; False where it may live."""
        try:
            with path.open("r+b") as handle:
                if not try_take(handle, path):
                    return False
                if handle.read() != _kernel() and not self._lapsed(path, handle):
                    return False
                path.unlink(missing_ok=True)
        except FileNotFoundError:  # released meanwhile
            pass
        return True

    def _lapsed(self, path: Path, handle: BinaryIO) -> bool:
        now, stamp = time.monotonic(), os.fstat(handle.fileno()).st_mtime_ns
        known, since = self._seen.get(path, (None, now))
        if known != stamp:
            self._seen[path] = stamp, now
        return known == stamp and now - since > LEASE

    def _keep(self) -> None:
        while not self._ended.wait(BEAT):
            for path in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def _name(draft: Path, path: Path) -> None:
    """Give a claim its name, once it is locked and written, never before (FileExistsError: it is taken)."""
    try:
        os.link(draft, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without links
        path.touch(exist_ok=False)
        draft.replace(path)


def _is_locked(path: Path) -> bool:
    """Whether another opening of a file finds it locked: else locks do not reach here."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as again:  # cleared by who published
        return not try_lock(again.fileno())
    return False


def _kernel() -> bytes:
    """The running system, which sees all locks of its own processes."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    return platform.node().encode()
