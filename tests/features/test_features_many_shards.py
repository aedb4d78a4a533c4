"""More shards than open files: no map holds a descriptor, and what the limit stops says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ltfix import filemap
from ltfix.tensorfile import load_tensors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
TESTS = Path(__file__).resolve().parent.parent
WRITE_AND_READ = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from caches import make_head, write_bare, write_cache
from pathlib import Path
import ltfix, ltfix.evaluation
from ltfix import cli
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]),) * 2)
counts = np.array([734, 733, 733])
rows = int(sys.argv[2])
written = write_cache(Path("many"), make_head(counts=counts), n=2200, shard_rows=rows)
cache = ltfix.open_cache("many")
assert cache.verify() == len(cache.shards) == -(-2200 // rows)
one = ltfix.open_cache(write_cache(Path("one"), make_head(counts=counts), n=2200, shard_rows=2200).path)
order = np.random.default_rng(0).permutation(2200)
assert (cache.rows(order) == one.rows(order)).all()
assert (cache.features == one.features).all()
for name in ("many", "one"):
    line = ["--method", "ce", "--epochs", "1", "--stream", "always", "--device", "cpu"]
    assert cli.run(["fit", name, "--out", f"{name}.safetensors", "--quiet", *line]) == 0
    assert cli.run(["evaluate", f"{name}.safetensors", "--cache", name, "--format", "json"]) == 0
    assert cli.run(["inspect", name, "--verify"]) == 0
"""


def test_1100_shards_and_64_open_files(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WRITE_AND_READ, str(TESTS), "2", "64"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    many, one = (load_tensors(tmp_path / f"{name}.safetensors")[0] for name in ("many", "one"))
    assert all(np.array_equal(many[name], one[name]) for name in one)


def test_too_many_open_files_is_said_of_the_environment(tmp_path: Path) -> None:
    program = """
import os, resource, sys
import safetensors
from ltfix import cli
import ltfix.evaluation, ltfix.cli.inspect, ltfix.evaluation.describe, ltfix.backbones, rich.console
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from caches import make_head, write_cache
write_cache(Path("c"), make_head())
cli.run(["inspect", "c", "--verify"])
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
for spare in range(4):
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for _ in range(spare):
        os.close(held.pop())
    print(cli.run(["inspect", "c", "--verify"]), flush=True)
"""
    argv = [sys.executable, "-c", program, str(TESTS)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    codes = [line for line in done.stdout.splitlines() if line.isdecimal()]
    assert codes[0] == codes[1] == "4", done.stderr
    assert set(codes) <= {"0", "4"}, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == codes.count("4")
    assert all("too many open files (" in line for line in lines), done.stderr


def test_a_map_ends_with_its_last_array(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.arange(5000.0), "b": np.arange(3)}, tmp_path / "x.safetensors")
    before = len(filemap._mapped)
    tensors, _ = load_tensors(tmp_path / "x.safetensors")
    part = tensors["a"][10:20]
    filemap.release(part)
    assert part.tolist() == list(range(10, 20))
    with pytest.raises(ValueError, match="read-only"):
        part[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        part.flags.writeable = True
    del tensors
    assert part.sum() == sum(range(10, 20))
    del part
    assert len(filemap._mapped) == before
