"""What the machine refuses is exit code 4 and one line: memory, a folder that is gone, rights, space."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rights import without_rights

from ltfix import cli
from ltfix.cli import boundary
from ltfix.heads.head import Head

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
LIMITED = """
import resource, sys
from ltfix import cli
try:
    resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]),) * 2)
except (ValueError, OSError):
    sys.exit(99)
cli.main(sys.argv[3:])
"""


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [90, 30, 10])
    means = 3 * rng.normal(size=(3, 8))
    for name in ("train", "test"):
        features = (means[labels] + rng.normal(size=(130, 8))).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", features=features, labels=labels)
    return tmp_path


def limited(folder: Path, limit: str, value: int, *argv: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", LIMITED, limit, str(value), *argv]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode == 99:
        pytest.skip("no such limit here")
    return done


@pytest.mark.parametrize("megabytes", [400, 1200])
def test_no_address_space_for_torch(tables: Path, megabytes: int):
    done = limited(tables, "RLIMIT_AS", megabytes << 20, "fit", "train.npz", "--device", "cpu")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), done.stderr
    assert "out of memory" in done.stderr


def test_a_working_folder_that_is_gone(tmp_path: Path):
    gone = tmp_path / "gone"
    for command in ("fit x", "inspect x", "evaluate", "extract --backbone resnet18 --data x"):
        gone.mkdir()
        line = f'rmdir "$1"; exec "$0" -m ltfix {command}'
        argv = ["sh", "-c", line, sys.executable, str(gone)]
        done = subprocess.run(argv, cwd=gone, capture_output=True, text=True, timeout=60)
        said = "ltfix: error: the working folder is gone: change into one that is there\n"
        assert (done.returncode, done.stderr) == (4, said)


def test_a_full_disk_is_not_blamed_on_the_method(tables: Path, monkeypatch, capsys):
    import resource

    monkeypatch.chdir(tables)
    line = ["--train", "train.npz", "--test", "test.npz", "--methods", "ncm,tau-norm", "--seeds", "1"]
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))
    try:
        code = cli.run(["compare", *line, "--device", "cpu", "--quiet"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    err = capsys.readouterr().err
    assert (code, len(err.splitlines())) == (4, 1), err
    assert "larger than" in err
    assert "no method can run" not in err
    assert not list(tables.rglob("*.safetensors"))


def test_a_folder_that_became_a_file_is_not_blamed_on_the_method(tables: Path, monkeypatch, capsys):
    monkeypatch.chdir(tables)
    save = Head.save

    def replaced(head: Head, path: Path, **how: bool) -> object:
        path.unlink(missing_ok=True)
        path.mkdir()
        return save(head, path, **how)

    monkeypatch.setattr(Head, "save", replaced)
    line = ["--train", "train.npz", "--test", "test.npz", "--methods", "ncm", "--seeds", "1", "--quiet"]
    assert cli.run(["compare", *line, "--device", "cpu"]) == 4
    assert "no method can run" not in capsys.readouterr().err


@pytest.mark.parametrize("file", ["h.safetensors", "test.npz"])
@pytest.mark.parametrize("argv", [("evaluate", "h.safetensors", "--cache", "test.npz"), ("inspect",)])
def test_what_may_not_be_read(tables: Path, ltfix, file: str, argv: tuple[str, ...]):
    Head(np.ones((3, 8), np.float32), np.zeros(3, np.float32), "ce").save(tables / "h.safetensors")
    (tables / file).chmod(0)
    argv = (*argv, file) if argv == ("inspect",) else argv
    done = ltfix(*argv, cwd=tables, preexec_fn=without_rights)
    (tables / file).chmod(0o600)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("ltfix: error: no permission")
    assert file in done.stderr


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory"),
        (ImportError("libgomp.so.1: cannot open shared object file: No such file"), "does not load"),
        (RuntimeError("can't start new thread"), "out of memory"),
        (RuntimeError("std::bad_alloc"), "out of memory"),
        (MemoryError("std::bad_alloc"), "out of memory"),
    ],
)
def test_what_packages_say_of_the_machine(err: Exception, said: str):
    known = boundary.understand(err)
    assert known is not None
    assert known.exit_code == 4
    assert said in str(known)


def test_an_error_of_an_extension_is_want_of_memory_where_the_shell_limits_that(monkeypatch):
    resource = pytest.importorskip("resource")
    for limit, known in ((resource.RLIM_INFINITY, False), (1 << 30, True)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        found = boundary.understand(SystemError("returned NULL without setting an exception"))
        assert (found is not None and found.exit_code == 4) == known
