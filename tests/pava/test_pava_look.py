"""Sizes and stamps of files, in C and in Python."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pava_cases import load

BOTH = ("ltfix._pava", "ltfix._look_py")
pytestmark = pytest.mark.skipif(os.scandir not in os.supports_fd, reason="no open folders")


@pytest.fixture(params=BOTH, ids=["c", "py"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield number
    os.close(number)


def rows(n: int) -> np.ndarray:
    return np.full((n, 2), 7)


def test_files_are_looked_at_links_followed(twin: ModuleType, folder: int, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "é.jpg").write_bytes(b"x" * 70_000)
    (tmp_path / "link").symlink_to("a.jpg")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "self").symlink_to("self")
    os.utime(tmp_path / "a.jpg", ns=(0, -5_000_000_007))  # before 1970
    os.utime(tmp_path / "deep" / "é.jpg", (9_999_999_999, 9_999_999_999))  # more ns than 63 bits hold
    names = ["a.jpg", "deep/é.jpg", "link", "broken", "self", "", str(tmp_path / "a.jpg")]
    out = rows(len(names))
    twin.look(folder, os.fsencode("".join(f"{name}\0" for name in names)), out)
    stamps = []
    for name in names[:2]:
        found = (tmp_path / name).stat()
        stamps.append((found.st_mtime_ns * 1_000_003 + found.st_ctime_ns) % 2**63)
    first = [3, stamps[0]]
    assert out.tolist() == [first, [70_000, stamps[1]], first, [-1, 0], [-1, 0], [-1, 0], first]


def test_nothing_is_nothing(twin: ModuleType, folder: int) -> None:
    twin.look(folder, b"", rows(0))


@pytest.mark.parametrize("names", [b"a", b"a\0", b"a\0b", b"a\0b\0c\0", b""])
def test_the_names_are_as_many_as_the_rows(twin: ModuleType, folder: int, names: bytes) -> None:
    out = rows(2)
    with pytest.raises(ValueError, match="names must be as many as out has rows, each with a NUL behind it"):
        twin.look(folder, names, out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("out", "told"),
    [
        (np.zeros((1, 3), int), r"writable int64 of shape \[n, 2\]"),
        (np.zeros((1, 2)), r"writable int64 of shape \[n, 2\]"),
        (np.zeros((1, 2), np.int32), r"writable int64 of shape \[n, 2\]"),
        (np.zeros(2, int), r"2 dimension\(s\), not 1"),
        (np.zeros((2, 2), int, order="F"), "C-contiguous"),
        (np.zeros((2, 4), int)[:, ::2], "C-contiguous"),
    ],
)
def test_other_arrays_are_refused(twin: ModuleType, folder: int, out: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=f"^out must (be|have) {told}"):
        twin.look(folder, b"a\0", out)


def test_so_is_what_else_cannot_be_meant(twin: ModuleType, folder: int) -> None:
    locked = rows(1)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        twin.look(folder, b"a\0", locked)
    for number in (folder + (1 << 32), 1 << 70, -1):
        with pytest.raises(ValueError, match=f"folder must be a file descriptor, not {number}"):
            twin.look(number, b"a\0", rows(1))
    shared = np.zeros((1, 2), int)
    with pytest.raises(ValueError, match="out must not overlap names"):
        twin.look(folder, shared.view(np.uint8)[0, :1], shared)
    for arguments in ((1.0, b"", rows(0)), (folder, "", rows(0)), (folder, b"", [])):
        with pytest.raises(TypeError):
            twin.look(*arguments)


def test_a_signal_is_answered_between_files(twin: ModuleType, folder: int) -> None:
    class Answered(Exception):
        pass

    def answer(*_: object) -> None:
        raise Answered

    before = signal.signal(signal.SIGALRM, answer)
    out = rows(1 << 20)
    names = b"a\0" * len(out)
    try:
        with pytest.raises(Answered):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            twin.look(folder, names, out)
            twin.look(folder, names, out)  # of a machine that is very fast
        assert (out[-1] == 7).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
