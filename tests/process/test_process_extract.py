"""Real extractions that are killed, interrupted, or out of space."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import write_photos

import ltfix
from ltfix.tensorfile import load_tensors

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
HERE = Path(__file__).parent
SMALL = {"train": {"ant": 9, "bee": 8, "cow": 7}, "test": {"ant": 3, "bee": 3, "cow": 3}}
ROUNDS = 10


def script(name: str, *argv: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, str(HERE / name), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_kill_9_at_any_moment_then_the_same_command(tmp_path: Path):
    write_photos(tmp_path / "photos", SMALL, size=(32, 32))
    done = script("kill_extract.py", tmp_path, ROUNDS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["differing"] == []
    assert len(told["ends"]) == ROUNDS
    assert all(code == 0 for _, code in told["ends"])
    assert {tuple(one) for one in told["verified"]} <= {(True, 0), (False, 3)}
    assert [False, 3] in told["verified"]
    assert sum(unfinished for unfinished, _ in told["ends"]) >= ROUNDS // 2, "the kills came too late"


def whole_shards(folder: Path) -> int:
    """The number of shards in ``folder``; every one opens, and no temporary file is left."""
    shards = sorted(folder.rglob("shard-*.safetensors"))
    for shard in shards:
        assert load_tensors(shard)[0]["features"].shape == (1, 1, 64)
    assert not [path for path in folder.rglob(".*") if path.is_file()]
    return len(shards)


def test_control_c(tmp_path: Path):
    write_photos(tmp_path / "photos", {"train": {"ant": 400, "bee": 400}}, size=(32, 32))
    argv = "extract --backbone cifar_resnet32 --no-pretrained --data photos --shard-rows 1 --batch-size 1"
    process = subprocess.Popen(
        [sys.executable, "-m", "ltfix", *argv.split(), "--device", "cpu"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("features/train/shard-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (
        err.splitlines()[-1]
        == "ltfix: interrupted; finished shards are kept, and the same command again goes on from there"
    )
    assert "Traceback" not in err
    assert 0 < whole_shards(tmp_path / "features") < 800
    assert (tmp_path / "features/train/partial.json").exists()
    assert not (tmp_path / "features/train/manifest.json").exists()


def test_a_read_only_and_a_full_disk(tmp_path: Path):
    """In a mount namespace of its own: works for root and, where the kernel lets them, for others."""
    space = ("unshare", "--map-root-user", "--mount")
    if shutil.which("unshare") is None or subprocess.run([*space, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    write_photos(tmp_path / "photos", SMALL, size=(32, 32))
    (tmp_path / "disk").mkdir()
    done = script("tight_extract.py", tmp_path, before=space)
    if "CalledProcessError" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.splitlines()[0]}")
    assert json.loads(done.stdout) == {"read-only": 4, "full": 4, "resumed": 0}, done.stderr
    told = {name: (tmp_path / f"{name}.txt").read_text() for name in ("read-only", "full", "resumed")}
    assert told["read-only"].startswith("ltfix: error: the file system is read-only (disk/out")
    assert told["full"].startswith("ltfix: error: the disk is full (disk/out")
    assert [len(text.splitlines()) for text in told.values()] == [1, 1, 0]
    assert 0 < whole_shards(tmp_path / "full") < 33
    assert not list((tmp_path / "full").rglob("manifest.json"))
    assert whole_shards(tmp_path / "resumed") == 33
    for split, n in (("train", 24), ("test", 9)):
        cache = ltfix.open_cache(tmp_path / "resumed" / "out" / split)
        cache.verify()
        assert cache.n == n
