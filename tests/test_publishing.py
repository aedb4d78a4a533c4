"""ltfix.publishing: one of several writers wins, what belongs together comes so, streams stay streams."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ltfix import locking, publishing
from ltfix.errors import EnvironmentFault, InputError, LtfixError, UsageError, nearby
from ltfix.publishing import demand_place, write_bytes, write_together

posix = pytest.mark.skipif(os.name != "posix", reason="locks, pipes and signals of POSIX")
PARTS = {"a": b"a" * 9_000, "b": b"b" * 9_000, "c": b"c" * 9_000}
WRITER = """
import sys
from pathlib import Path
from ltfix.errors import LtfixError
from ltfix.publishing import write_bytes
print("ready", flush=True)
sys.stdin.readline()
try:
    write_bytes(Path("head"), sys.argv[1].encode() * 100_000, overwrite=bool(sys.argv[2:]))
except LtfixError as err:
    print(err)
    sys.exit(err.exit_code)
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from ltfix import publishing
step, when, calls, real = sys.argv[1], int(sys.argv[2]), [], getattr(os, sys.argv[1])
def dying(*args, **options):
    done = real(*args, **options)
    calls.append(args)
    if len(calls) == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(os, step, dying)
publishing.write_together({Path(name): name.encode() * 9_000 for name in "abc"}, overwrite=False)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def race(folder: Path, *more: str, n: int = 4) -> list[tuple[int, str]]:
    """So many real processes write ``head`` at once, all started before the first may."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(i), *more],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(n)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    told = [writer.communicate()[0] for writer in writers]
    return [(writer.returncode, out) for writer, out in zip(writers, told, strict=True)]


class TestOneWins:
    def test_of_processes_that_may_not_replace(self, tmp_path: Path):
        for _ in range(3):
            ends = race(tmp_path)
            winners = [i for i, (code, _) in enumerate(ends) if code == 0]
            assert len(winners) == 1
            assert (tmp_path / "head").read_bytes() == str(winners[0]).encode() * 100_000
            lost = {end for end in ends if end[0]}
            assert lost == {(2, "already there (head): overwrite=True replaces it\n")}
            assert names(tmp_path) == ["head"]
            (tmp_path / "head").unlink()

    def test_of_processes_that_may_the_last_wins_whole(self, tmp_path: Path):
        assert {code for code, _ in race(tmp_path, "overwrite")} == {0}
        written = (tmp_path / "head").read_bytes()
        assert written in [str(i).encode() * 100_000 for i in range(4)]
        assert names(tmp_path) == ["head"]

    def test_where_there_are_no_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def refused(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
        ends: list[object] = []

        def write(i: int) -> None:
            try:
                ends.append(write_bytes(tmp_path / "head", bytes([i]) * 50_000, overwrite=False))
            except UsageError as err:
                ends.append(str(err))

        threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ends.count(None) == 1
        assert len(set((tmp_path / "head").read_bytes())) == 1
        assert names(tmp_path) == ["head"]

    @posix
    def test_a_file_that_came_where_a_dead_one_was_is_not_swept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Two sweepers open one dead file; the first removes it, and a live writer takes its name."""
        dead = tmp_path / ".head.1-00000000-0.ltfix-tmp"
        dead.write_bytes(b"")
        again = contextlib.ExitStack()
        real = locking.try_lock

        def after_another(handle: int) -> bool:
            monkeypatch.setattr(locking, "try_lock", real)
            dead.unlink()
            writer = again.enter_context(dead.open("xb", buffering=0))
            assert real(writer.fileno())
            writer.write(b"alive")
            return real(handle)

        monkeypatch.setattr(locking, "try_lock", after_another)
        with again:
            publishing.sweep(tmp_path)
            assert dead.read_bytes() == b"alive"

    def test_a_link_that_leads_nowhere_is_there_too(self, tmp_path: Path):
        (tmp_path / "head").symlink_to("gone")
        with pytest.raises(UsageError, match="already there"):
            demand_place(tmp_path / "head", overwrite=False)
        with pytest.raises(UsageError, match="already there"):
            write_bytes(tmp_path / "head", b"1", overwrite=False)
        assert names(tmp_path) == ["head"]


class TestTogether:
    def test_all_or_none(self, tmp_path: Path):
        parts = {tmp_path / name: data for name, data in PARTS.items()}
        (tmp_path / "b").write_bytes(b"mine")
        with pytest.raises(UsageError, match=r"already there \(.*b\): overwrite=True"):
            write_together(parts, overwrite=False)
        assert names(tmp_path) == ["b"]
        assert (tmp_path / "b").read_bytes() == b"mine"
        write_together(parts)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS

    @posix
    @pytest.mark.parametrize(("step", "when"), [("fsync", 2), ("link", 1), ("link", 2), ("link", 3)])
    def test_a_killed_writer_is_not_in_the_way(self, tmp_path: Path, step: str, when: int):
        done = subprocess.run([sys.executable, "-c", KILLED, step, str(when)], cwd=tmp_path, check=False)
        assert done.returncode == -signal.SIGKILL
        named = [name for name in names(tmp_path) if name in PARTS]
        assert len(named) == (when if step == "link" else 0)
        parts = {tmp_path / name: data for name, data in PARTS.items()}
        for path in parts:
            demand_place(path, overwrite=False)
        assert names(tmp_path) == []
        write_together(parts, overwrite=False)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS
        with pytest.raises(UsageError, match="already there"):
            demand_place(tmp_path / "a", overwrite=False)
        assert names(tmp_path) == ["a", "b", "c"]

    @posix
    @pytest.mark.parametrize("when", [1, 2, 3, 4])
    def test_one_killed_after_its_last_name_has_done_its_work(self, tmp_path: Path, when: int):
        done = subprocess.run([sys.executable, "-c", KILLED, "unlink", str(when)], cwd=tmp_path, check=False)
        assert done.returncode == -signal.SIGKILL
        with pytest.raises(UsageError, match="already there"):
            demand_place(tmp_path / "a", overwrite=False)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS

    @posix
    @pytest.mark.parametrize("when", range(1, 7))
    def test_a_sweeper_that_is_killed_leaves_the_rest_to_the_next(self, tmp_path: Path, when: int):
        subprocess.run([sys.executable, "-c", KILLED, "link", "3"], cwd=tmp_path, check=False)
        subprocess.run([sys.executable, "-c", KILLED, "unlink", str(when)], cwd=tmp_path, check=False)
        write_together({tmp_path / name: data for name, data in PARTS.items()}, overwrite=False)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS

    @posix
    def test_it_needs_no_claim_before(self, tmp_path: Path):
        subprocess.run([sys.executable, "-c", KILLED, "link", "2"], cwd=tmp_path, check=False)
        write_together({tmp_path / name: data for name, data in PARTS.items()}, overwrite=False)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS

    @posix
    def test_what_another_wrote_stays_beside_what_was_killed(self, tmp_path: Path):
        subprocess.run([sys.executable, "-c", KILLED, "fsync", "3"], cwd=tmp_path, check=False)
        assert len(names(tmp_path)) == 4
        (tmp_path / "a").write_bytes(PARTS["a"])  # equal bytes, another file
        with pytest.raises(UsageError, match="already there"):
            demand_place(tmp_path / "a", overwrite=False)
        assert (tmp_path / "a").exists()

    @posix
    def test_a_live_writer_between_its_names_is_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        real, seen = os.link, []

        def watched(source: Path, target: Path) -> None:
            real(source, target)
            seen.append(target.name)
            with pytest.raises(UsageError, match="already there"):
                demand_place(target, overwrite=False)
            with pytest.raises(UsageError, match="already there"):
                write_bytes(target, b"other", overwrite=False)

        monkeypatch.setattr(os, "link", watched)
        write_together({tmp_path / name: data for name, data in PARTS.items()}, overwrite=False)
        assert seen == ["a", "b", "c"]
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == PARTS

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_a_full_disk_leaves_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool):
        real, calls = Path.write_bytes, []

        def filling(path: Path, data: bytes) -> int:
            calls.append(path)
            if len(calls) == 2:
                real(path, data[:10])
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return real(path, data)

        monkeypatch.setattr(Path, "write_bytes", filling)
        with pytest.raises(EnvironmentFault, match=r"the disk is full \(.*b\)"):
            write_together({tmp_path / name: data for name, data in PARTS.items()}, overwrite=overwrite)
        assert names(tmp_path) == []


@posix
class TestStreams:
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_a_pipe_is_written_to_and_stays_one(self, tmp_path: Path, overwrite: bool):
        pipe, heard = tmp_path / "pipe", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
        reader.start()
        demand_place(pipe, overwrite=overwrite)
        write_bytes(pipe, b"x" * 200_000, overwrite=overwrite)
        reader.join(10)
        assert heard == [b"x" * 200_000]
        assert pipe.is_fifo()
        assert names(tmp_path) == ["pipe"]

    def test_devices(self, tmp_path: Path):
        (tmp_path / "link").symlink_to("/dev/null")
        for path in (Path("/dev/null"), tmp_path / "link"):
            demand_place(path, overwrite=False)
            write_bytes(path, b"x")
            assert path.is_char_device()
        assert (tmp_path / "link").is_symlink()
        if Path("/dev/full").exists():
            with pytest.raises(EnvironmentFault, match=r"the disk is full \(/dev/full\)"):
                write_bytes("/dev/full", b"x")

    def test_a_descriptor_of_a_file_is_added_to(self, tmp_path: Path):
        with (tmp_path / "log").open("w") as log:
            log.write("before ")
            log.flush()
            path = Path(f"/dev/fd/{log.fileno()}")
            if not path.exists():
                pytest.skip("no /dev/fd here")
            demand_place(path, overwrite=False)
            write_bytes(path, b"after")
        assert (tmp_path / "log").read_text() == "before after"

    def test_what_is_neither_is_refused_and_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            for attempt in (demand_place, lambda path: write_bytes(path, b"x")):
                with pytest.raises(InputError, match=r"a device, a pipe or a socket, not a file \(socket\)"):
                    attempt(Path("socket"))
            assert names(tmp_path) == ["socket"]
        os.mkfifo("pipe")
        with pytest.raises(InputError, match="not a file"), publishing.atomic_path("pipe"):
            pass
        assert Path("pipe").is_fifo()

    @pytest.mark.parametrize("target", ["loop", "file/below", "n" * 300, "."])
    def test_paths_that_lead_nowhere_end_in_one_line(self, tmp_path: Path, target: str):
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "file").write_text("")
        with pytest.raises(LtfixError):
            write_bytes(tmp_path / target, b"x", overwrite=False)
        assert names(tmp_path) == ["file", "loop"]


def test_what_is_called_nearly_so_is_offered(tmp_path: Path):
    for name in ("auto.safetensors", "v.safetensors", ".hidden.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "heads").mkdir()
    told = {name: f"did you mean {tmp_path / name}?" for name in ("auto.safetensors", "heads")}
    assert (
        nearby(tmp_path / "aut.safetensors")
        == nearby(tmp_path / "auto.safetensor")
        == told["auto.safetensors"]
    )
    assert nearby(tmp_path / "head/x/y.safetensors") == told["heads"]
    (tmp_path / "shard-1.safetensors").touch()
    assert (
        nearby(tmp_path / "shard-2.safetensors")
        is nearby(tmp_path / "hidden.safetensors")
        is nearby(tmp_path / "other.png")
        is None
    )
    with pytest.raises(InputError, match="did you mean"), publishing.os_errors(tmp_path):
        (tmp_path / "haeds").stat()
