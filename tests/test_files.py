"""ltfix.files: whole files or none, the same bytes for the same values, the right exit code."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rights import without_rights

from ltfix import files
from ltfix.errors import EnvironmentFault, InputError, LtfixError
from ltfix.features.read import open_cache

posix = pytest.mark.skipif(os.name != "posix", reason="locks, names and limits of POSIX")
HALF = """
import sys, time
from pathlib import Path
from ltfix import files
with files.atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(120)
"""
LIMITED = """
import resource, sys
from ltfix import files
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    files.write_bytes(sys.argv[1], b"x" * 100_000)
except files.EnvironmentFault as err:
    print(err)
    sys.exit(err.exit_code)
"""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def half_written(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A process that has written half of ``tmp_path/out.bin`` and waits."""
    path = tmp_path / "out.bin"
    child = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield path, child
    child.kill()
    child.wait()
    child.stdout.close()


class TestAtomicPath:
    def test_makes_folders_and_leaves_one_file(self, tmp_path: Path) -> None:
        files.write_bytes(tmp_path / "a" / "b" / "c.bin", b"123")
        assert names(tmp_path / "a" / "b") == ["c.bin"]
        assert (tmp_path / "a/b/c.bin").read_bytes() == b"123"

    @pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
    def test_old_content_survives_a_failure(self, tmp_path: Path, stop: type[BaseException]) -> None:
        path = tmp_path / "x"
        files.write_bytes(path, b"old")
        with pytest.raises(stop), files.atomic_path(path) as temporary:
            temporary.write_bytes(b"ne")
            raise stop
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["x"]

    def test_killed_writer_leaves_the_old_file_and_is_swept(
        self, half_written: tuple[Path, subprocess.Popen[str]]
    ) -> None:
        path, child = half_written
        child.kill()
        child.wait()
        assert not path.exists()
        assert len(names(path.parent)) == 1
        files.write_bytes(path, b"whole")
        assert names(path.parent) == ["out.bin"]

    @posix
    def test_sweep_spares_a_live_writer(self, half_written: tuple[Path, subprocess.Popen[str]]) -> None:
        path, child = half_written
        files.sweep(path.parent)
        files.write_bytes(path, b"mine")
        assert len(names(path.parent)) == 2
        child.kill()
        child.wait()
        files.sweep(path.parent)
        assert names(path.parent) == ["out.bin"]

    @posix
    def test_many_writers_of_one_path_never_tear_it(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        blocks = [bytes([k]) * 50_000 for k in range(4)]
        files.write_bytes(path, blocks[0])
        threads = [
            threading.Thread(target=lambda b=b: [files.write_bytes(path, b) for _ in range(15)])
            for b in blocks
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert path.read_bytes() in blocks
        assert names(tmp_path) == ["x"]

    @posix
    def test_a_name_near_the_limit(self, tmp_path: Path) -> None:
        files.write_bytes(tmp_path / ("n" * 250), b"1")
        assert len(names(tmp_path)) == 1

    @posix
    def test_glob_characters_are_plain(self, tmp_path: Path) -> None:
        files.write_bytes(tmp_path / "a[1]*?.bin", b"1")
        assert names(tmp_path) == ["a[1]*?.bin"]

    @pytest.mark.parametrize(
        ("target", "fragment"), [("folder", "is a directory"), ("file/below", "file exists")]
    )
    @posix
    def test_wrong_targets_are_input_errors(self, tmp_path: Path, target: str, fragment: str) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(InputError, match=fragment) as caught:
            files.write_bytes(tmp_path / target, b"1")
        assert "ltfix-tmp" not in str(caught.value)
        assert names(tmp_path) == ["file", "folder"]


class TestFaults:
    @pytest.mark.parametrize(
        ("number", "kind", "fragment"),
        [
            (errno.ENOENT, InputError, "no such file"),
            (errno.EISDIR, InputError, "directory"),
            (errno.ENAMETOOLONG, InputError, "too long"),
            (errno.ENOSPC, EnvironmentFault, "disk is full"),
            (errno.EDQUOT, EnvironmentFault, "quota"),
            (errno.EACCES, EnvironmentFault, "no permission"),
            (errno.EROFS, EnvironmentFault, "read-only"),
            (errno.EMFILE, EnvironmentFault, "too many open files"),
            (errno.EIO, EnvironmentFault, "[Ii]nput/output"),
            (None, InputError, "cannot identify"),
        ],
    )
    def test_each_error_has_its_kind(self, number: int | None, kind: type[LtfixError], fragment: str) -> None:
        text = "cannot identify" if number is None else os.strerror(number)
        error = OSError(text) if number is None else OSError(number, text)
        with pytest.raises(kind, match=fragment) as caught, files.os_errors("here.bin"):
            raise error
        assert "here.bin" in str(caught.value)

    @pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder nobody may write to")
    def test_no_permission(self) -> None:
        with pytest.raises(EnvironmentFault, match=r"no permission|read-only"):
            files.write_bytes("/sys/kernel/ltfix/x.bin", b"1")

    def test_the_folder_that_refuses_is_named_or_the_file_in_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("heads").mkdir()
        monkeypatch.setattr(os, "access", lambda *_: False)
        for path, told in (("no-such-folder/x.json", "no-such-folder/x.json"), ("heads/x.json", "heads")):
            with pytest.raises(EnvironmentFault, match=rf"\({told}\)"):
                files.demand_place(Path(path))

    @posix
    def test_file_size_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "big.bin"
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, cwd=Path.cwd()
        )
        assert done.returncode == 4, done.stderr
        assert "larger than" in done.stdout
        assert names(tmp_path) == []

    @posix
    def test_full_disk(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True
        )
        if mounted.returncode:
            pytest.skip("no right to mount a small disk")
        try:
            files.write_bytes(disk / "x", b"old")
            with pytest.raises(EnvironmentFault, match=r"the disk is full \(.*x\): free some space"):
                files.write_bytes(disk / "x", bytes(1 << 20))
            assert (disk / "x").read_bytes() == b"old"
            assert names(disk) == ["x"]
        finally:
            subprocess.run(["umount", str(disk)], check=True)


class TestJson:
    @given(json_values)
    @settings(max_examples=60, deadline=None)
    def test_round_trip(self, value: object) -> None:
        assert files.parse_json(files.to_json(value), "x") == value

    def test_order_of_keys_does_not_matter(self, tmp_path: Path) -> None:
        files.write_json(tmp_path / "a", {"b": 1, "a": [1, 2]})
        files.write_json(tmp_path / "b", {"a": [1, 2], "b": 1})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert files.sha256_json({"b": 1, "a": 2}) == files.sha256_json({"a": 2, "b": 1})

    def test_numpy_values_are_plain(self) -> None:
        value = {"n": np.int64(3), "x": np.float32(0.5), "k": np.arange(3)}
        assert files.to_json(value) == '{"k": [0, 1, 2], "n": 3, "x": 0.5}'
        with pytest.raises(TypeError, match="set has no place"):
            files.to_json({"s": {1}})

    def test_names_that_are_not_utf8(self, tmp_path: Path) -> None:
        name = "caf\udce9.png"
        files.write_json(tmp_path / "x.json", {name: "é"})
        assert files.read_json(tmp_path / "x.json") == {name: "é"}
        files.write_text(tmp_path / "x.txt", name)
        assert (tmp_path / "x.txt").read_bytes() == b"caf\xe9.png"

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000])
    def test_not_json(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "x").write_bytes(raw)
        with pytest.raises(InputError, match=r"not JSON.*\(.*x\)"):
            files.read_json(tmp_path / "x")


class TestWriteSafetensors:
    def test_equal_tensors_give_equal_bytes(self, tmp_path: Path) -> None:
        a, b = np.arange(6.0).reshape(2, 3), np.array(1.5, np.float32)
        files.write_safetensors(tmp_path / "1", {"a": a, "b": b}, {"x": 1, "y": 2})
        files.write_safetensors(tmp_path / "2", {"b": b, "a": np.asfortranarray(a)}, {"y": 2, "x": 1})
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()

    def test_one_metadata_key_of_sorted_json(self, tmp_path: Path) -> None:
        from safetensors import safe_open

        files.write_safetensors(tmp_path / "x", {"a": np.zeros(1)}, {"z": 1, "a": "\udce9"})
        with safe_open(tmp_path / "x", framework="np") as opened:
            assert opened.metadata() == {"ltfix": '{"a": "\\udce9", "z": 1}'}

    def test_hashes(self, tmp_path: Path) -> None:
        files.write_bytes(tmp_path / "x", b"abc")
        known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert files.sha256_file(tmp_path / "x") == files.sha256_bytes(b"abc") == known
        with pytest.raises(InputError, match="no such file"):
            files.sha256_file(tmp_path / "y")


def test_remove_is_silent_about_nothing(tmp_path: Path) -> None:
    files.remove(tmp_path / "x")
    with pytest.raises(InputError):
        files.remove(tmp_path / "x" / "y" if (tmp_path / "x").write_bytes(b"") == 0 else tmp_path)


@pytest.mark.parametrize("found", ["a/1", "a/3"])
def test_known_and_older_formats_pass(found: str) -> None:
    files.check_format(found, "a/3", "x")


@pytest.mark.parametrize("found", ["a/4", "b/1", "a/", "a/01", "a/1.5", "a", "", 1, None, ["a/1"]])
def test_other_formats_do_not(found: object) -> None:
    with pytest.raises(InputError, match=r"format .*\(x\)"):
        files.check_format(found, "a/3", "x")


@posix
class TestLock:
    def test_a_second_writer_is_refused_and_the_next_one_let_in(self, tmp_path: Path):
        with files.lock(tmp_path / "a" / "b"):
            again = files.lock(tmp_path / "a" / "b")
            with pytest.raises(EnvironmentFault, match=r"another process is writing.*\(.*b\)"), again:
                pass
            with files.lock(tmp_path / "a"):  # the folder alone, not what lies below or above
                pass
        with files.lock(tmp_path / "a" / "b"):
            pass
        assert not (tmp_path / "a").exists()
        (tmp_path / "c").mkdir()
        with files.lock(tmp_path / "c" / "d"):
            (tmp_path / "c" / "d" / "file").write_text("")
        assert [path.name for path in (tmp_path / "c" / "d").iterdir()] == ["file"]
        (tmp_path / "empty").mkdir()
        with files.lock(tmp_path / "empty"):
            pass
        assert (tmp_path / "empty").exists()

    def test_it_ends_with_the_process_even_where_a_forked_worker_lives_on(self, tmp_path: Path):
        code = (
            "import os, sys, time\n"
            "from ltfix import files\n"
            "with files.lock(sys.argv[1]):\n"
            "    if os.fork() == 0:\n"
            "        print('held', flush=True)\n"
            "    time.sleep(30)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            assert child.stdout is not None
            child.stdout.readline()
            with pytest.raises(EnvironmentFault), files.lock(tmp_path):
                pass
            child.kill()
            child.wait()
            with files.lock(tmp_path):
                pass
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.stdout.close()

    def test_errors_inside_keep_their_own_name(self, tmp_path: Path):
        with pytest.raises(OSError, match="mine"), files.lock(tmp_path):
            raise OSError("mine")
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError), files.lock(tmp_path / "file"):
            pass


@posix
class TestRegular:
    def test_pipes_devices_folders_and_what_is_not_there(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("/dev/zero")
        for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, "/dev/null"):
            for read in (files.demand_regular, files.read_json):
                with pytest.raises(InputError, match="a folder or a device, not a file"):
                    read(path)
        for path in (tmp_path / "gone", "a\0b"):
            with pytest.raises(InputError, match="no such file"):
                files.demand_regular(path)

    def test_a_file_and_a_link_to_one(self, tmp_path: Path):
        (tmp_path / "file").write_text("{}")
        (tmp_path / "link").symlink_to("file")
        files.demand_regular(tmp_path / "file")
        assert files.read_json(tmp_path / "link") == {}


@pytest.mark.parametrize("n", [0, 1, 1 << 14, (1 << 14) + 1])
def test_the_hash_of_texts_is_that_of_their_list(n: int):
    texts = [f"é {i}" for i in range(n)]
    assert files.sha256_texts(texts) == files.sha256_json(texts)


def test_a_name_is_completed_where_nothing_or_an_empty_folder_has_it(tmp_path: Path) -> None:
    there = tmp_path / "train"
    assert files.completed(there) == there
    packed = tmp_path / "train.safetensors"
    packed.touch()
    assert files.completed(there) == packed
    there.mkdir()
    assert files.completed(there) == packed
    (there / "notes").touch()
    assert files.completed(there) == there
    with pytest.raises(InputError, match=r"it has no manifest.json .*: did you mean .*train.safetensors"):
        open_cache(there)


@posix
def test_a_folder_that_may_not_be_listed_is_taken_as_it_is(tmp_path: Path) -> None:
    there = tmp_path / "train"
    there.mkdir(0o311)
    (tmp_path / "train.npz").touch()
    command = [
        sys.executable,
        "-c",
        "import sys; from ltfix import files; print(files.completed(sys.argv[1]))",
    ]
    told = subprocess.check_output([*command, there], preexec_fn=without_rights, text=True)
    assert told == f"{there}\n"
