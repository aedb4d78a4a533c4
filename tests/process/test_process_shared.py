"""Several processes share one extraction: the bytes are those of one, whoever is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forked import ARGV
from pictures import write_photos

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs POSIX processes")
SMALL = {"train": {"ant": 9, "bee": 8, "cow": 7}, "test": {"ant": 3, "bee": 3, "cow": 3}}
ROUNDS = 2  # ten by hand: python tests/process/shared_extract.py ranks 10, in a folder with photos


def run(folder: Path, what: str, rounds: int) -> dict[str, Any]:
    write_photos(folder / "photos", SMALL, size=(32, 32))
    command = [sys.executable, str(Path(__file__).parent / "shared_extract.py"), what, str(rounds)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_plain_processes_claim_shards_and_take_over_those_of_a_killed_one(tmp_path: Path):
    assert run(tmp_path, "plain", 1) == {"ends": [[0, 0, 0]], "same": [True], "differ": True}


def test_ranks_write_the_bytes_of_one_process_and_another_number_goes_on(tmp_path: Path):
    told = run(tmp_path, "ranks", ROUNDS)
    assert told["same"] == [True] * ROUNDS
    assert {code for codes in told["ends"] for code in codes} == {0}
    assert told["unfinished"] > 0, "the kills came too late"
    assert 3 in told["bad"]
    assert len(told["lines"]) == 1
    assert "not an image file (photos/train/bee/01.png)" in told["lines"][0]


def test_torchrun(tmp_path: Path):
    write_photos(tmp_path / "photos", SMALL, size=(32, 32))
    argv = ["-m", "ltfix", *ARGV, "--shard-rows", "2"]
    rendezvous = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ends = {
        out: subprocess.run(
            [sys.executable, *more, *argv, "--out", out],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for out, more in (("one", []), ("two", rendezvous))
    }
    assert [done.returncode for done in ends.values()] == [0, 0], ends["two"].stderr
    found = {out: {p.name: p.read_bytes() for p in (tmp_path / out).rglob("*.*")} for out in ends}
    assert found["one"] == found["two"]
    assert ends["one"].stdout.replace("one/", "two/") == ends["two"].stdout, "rank 0 speaks for all"
