"""Signals and pipes end real processes quietly, with the documented exit codes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from caches import write_cache

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
WAITS = """
import sys, time
from pathlib import Path
from ltfix import cli

def init() -> None:
    try:
        Path("ready").touch()
        time.sleep(60)
    finally:
        Path("cleaned").touch()

cli.commands.load = lambda name: init
cli.main(["init"])
"""
FLOODS = """
from ltfix import cli
from ltfix.cli import console

def init() -> None:
    for _ in range(100_000):
        console.write("x" * 100)

cli.commands.load = lambda name: init
cli.main(["init"])
"""


@posix
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_cleans_up_and_sets_the_code(tmp_path: Path, number: int, code: int, word: str):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", f"ltfix: {word}\n")
    assert (tmp_path / "cleaned").exists()


STARTS = """
import os, sys
from ltfix.__main__ import script
os.write(1, b"s")
script()
"""
ENDLESS = """
import sys
from ltfix import cli
from ltfix.stage2.fitting import probe

def finish(*given, **named):
    print("solving", flush=True)
    while True:
        whole(*given, **named)

whole, probe.finish = probe.finish, finish
cli.main(sys.argv[1:])
"""
SWALLOWS = """
import time
from ltfix import cli

class Careless:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(1)

def init() -> None:
    Careless()
    time.sleep(60)

cli.commands.load = lambda name: init
cli.main(["init"])
"""
STUBBORN = """
import time
from ltfix import cli

def init() -> None:
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(2)
        print("cleaned", flush=True)

cli.commands.load = lambda name: init
cli.main(["init"])
"""


TWICE = """
import atexit, os, signal, sys, time
from ltfix import cli
from ltfix.__main__ import script

def init() -> None:
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
    print("begun", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)

cli.commands.load = lambda name: init
sys.argv = ["ltfix", "init"]
script()
"""
HANGS = TWICE.replace(
    "atexit.register(os.kill, os.getpid(), signal.SIGINT)",
    'atexit.register(lambda: (print("ending", flush=True), time.sleep(60)))',
)


def start(folder: Path, program: str, *argv: str) -> subprocess.Popen[str]:
    """A process that has written its first byte, when the interpreter's own start is over."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *argv],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdout is not None
    process.stdout.read(1)
    return process


@posix
@pytest.mark.parametrize(("moments", "command"), [(6, "fit"), (14, "inspect")])
def test_interrupted_at_any_moment(tmp_path: Path, moments: int, command: str):
    """While it loads, while torch loads, while it fits and when it is done; every second time twice."""
    np.savez(
        tmp_path / "x.npz", features=np.eye(8, dtype=np.float32)[np.arange(40) % 8], labels=np.arange(40) % 8
    )
    fit = ["fit", "x.npz", "--out", "h.safetensors", "--overwrite", "--device", "cpu", "--quiet"]
    argv = fit if command == "fit" else ["inspect", "x.npz"]
    began = time.monotonic()
    start(tmp_path, STARTS, *argv).communicate(timeout=120)
    length, rng = time.monotonic() - began, random.Random(moments)
    for moment in range(moments):
        process = start(tmp_path, STARTS, *argv)
        time.sleep(0.003 + rng.random() * length * 0.9)
        for _ in range(1 + moment % 2):
            process.send_signal(signal.SIGINT)
            time.sleep(rng.random() * 0.003)
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) in [(130, "ltfix: interrupted\n"), (0, "")]


@posix
def test_interrupted_again_as_it_ends(tmp_path: Path):
    process = start(tmp_path, TWICE)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "ltfix: interrupted\n")


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_again_where_its_end_hangs(tmp_path: Path, number: int, code: int):
    process = start(tmp_path, HANGS)
    assert process.stdout is not None
    assert process.stdout.readline() == "egun\n"
    assert process.stdout.readline() == "ending\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, "ltfix: interrupted\n")


@posix
def test_an_interrupted_probe_leaves_nothing(tmp_path: Path):
    write_cache(tmp_path / "train")
    before = sorted(tmp_path.rglob("*"))
    process = start(tmp_path, ENDLESS, "fit", "train", "--out", "h.safetensors", "--quiet")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "ltfix: interrupted\n")
    assert sorted(tmp_path.rglob("*")) == before


@posix
def test_an_interrupt_that_a_destructor_swallows_is_sent_again(tmp_path: Path):
    process = start(tmp_path, SWALLOWS)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "ltfix: interrupted\n")


@posix
@pytest.mark.parametrize(("wait", "cleaned"), [(0.002, True), (1.2, False)])
def test_asked_again_it_ends_at_once_but_twice_in_a_moment_is_once(
    tmp_path: Path, wait: float, cleaned: bool
):
    process = start(tmp_path, STUBBORN)
    process.send_signal(signal.SIGINT)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "ltfix: interrupted\n")
    assert ("cleaned" in out) == cleaned


@posix
def test_what_the_shell_ignores_stays_ignored(tmp_path: Path):
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + STARTS
    process = start(tmp_path, program, "methods")
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@posix
def test_a_reader_that_leaves_is_no_error(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", FLOODS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@posix
def test_a_pipe_that_is_closed_before_the_last_flush(ltfix, tmp_path: Path):
    script = f'"{sys.executable}" -m ltfix methods --format json | head -c 1 >/dev/null'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_no_colour_and_no_progress_into_a_pipe(ltfix):
    done = ltfix("methods", env={"FORCE_COLOR": "", "NO_COLOR": "1"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_standard_output_that_is_full_is_the_environment(ltfix, tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ltfix", "methods"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 4
    assert done.stderr.startswith("ltfix: error: the disk is full (")
    assert len(done.stderr.splitlines()) == 1


def test_the_quick_end_keeps_what_was_printed_registered_and_returned(tmp_path: Path):
    program = """
import atexit, sys
from ltfix import cli
def init() -> None:
    atexit.register(print, "registered in the run", flush=True)
    raise SystemExit(1)
cli.commands.load = lambda name: init
print("printed before", end="; ")
cli.script()
"""
    argv = [sys.executable, "-c", program, "init"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "printed before; registered in the run\n"), done.stderr


@posix
@pytest.mark.parametrize(("closed", "code"), [(">&-", 2), ("2>&-", 2), (">&- 2>&- <&-", 2), (">&-", 0)])
def test_a_closed_stream_is_no_fault(tmp_path: Path, closed: str, code: int):
    line = f'"$0" -m ltfix methods {"nonsense" if code else ""} {closed}'
    argv = ["sh", "-c", line, sys.executable]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert "unexpected" not in done.stderr
