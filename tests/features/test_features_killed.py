"""A writer killed at any moment, with no chance to clean up, and started again: the same bytes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from caches import contents, make_head, make_plan

from ltfix.features.read import open_cache
from ltfix.features.store import CacheWriter, cache_state

WRITER = """
import sys
import pytest
from caches import fill, make_head, make_plan
from ltfix.features.store import CacheWriter

writer = CacheWriter(sys.argv[1], make_plan(n=600, shard_rows=2))
print("ready", flush=True)
fill(writer)
writer.publish(make_head())
"""


def start(folder: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(map(str, (Path(__file__).parents[1], Path.cwd())))
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdout.close()
    return child


def test_killed_and_resumed(tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    began = time.monotonic()
    assert start(whole).wait() == 0
    seconds = time.monotonic() - began
    clock = random.Random(0)
    for _ in range(4):
        child = start(pieces)
        time.sleep(clock.random() * seconds / 4)
        child.kill()
        child.wait()
        if cache_state(pieces)[0] == "finished":  # it was faster than the clock
            break
        assert not (pieces / "manifest.json").exists() or (pieces / "partial.json").exists()
    else:
        assert start(pieces).wait() == 0
    assert contents(whole) == contents(pieces)
    assert open_cache(pieces).verify() == 300


@pytest.mark.skipif(os.name != "posix", reason="without locks a second writer sweeps the first one's file")
def test_two_at_once(tmp_path: Path) -> None:
    """Two processes that start on the same folder end with one whole cache."""
    CacheWriter(tmp_path / "c", make_plan(n=600, shard_rows=2))
    children = [start(tmp_path / "c") for _ in range(2)]
    codes = sorted(child.wait() for child in children)
    assert codes[0] == 0
    cache = open_cache(tmp_path / "c")
    assert cache.verify() == 300
    assert cache.head is not None
    assert cache.head.weight.tolist() == make_head().weight.tolist()
    assert not any(name.startswith(".") or name == "partial.json" for name in contents(tmp_path / "c"))
