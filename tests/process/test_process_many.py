"""Memory does not grow with the pictures that an extraction sees, but for their names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "many.py"


def test_memory_is_flat(tmp_path: Path):
    argv = [sys.executable, str(SCRIPT), "--rows", "1500,6000", "--shard-rows", "500"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    few, many = (json.loads(line) for line in done.stdout.splitlines()[:2])
    assert (few["files"], many["files"]) == (5, 14)
    assert many["peak"] - few["peak"] < 16 << 20  # the pixels of 4,500 larger pictures would be 700 MB
