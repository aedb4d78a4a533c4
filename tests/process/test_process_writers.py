"""Two commands into one place, and commands killed while they name their files: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make_head, write_cache
from pictures import write_photos

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
SMALL = {"train": {"ant": 9, "bee": 8, "cow": 7}, "test": {"ant": 3, "bee": 3, "cow": 3}}
REFUSED = "ltfix: error: another process is writing into this folder ({}): wait until it has ended"


def run(folder: Path, what: str, timeout: int = 240) -> Any:
    script = Path(__file__).parent / "two_writers.py"
    command = [sys.executable, str(script), what]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def draw(path: Path, counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centers = np.random.default_rng(7).normal(size=(len(counts), 8))
    np.savez(path, features=(centers[labels] + rng.normal(size=(len(labels), 8))).astype("f4"), labels=labels)


def check_refused(end: list[Any], folder: str) -> None:
    code, told = end
    assert code == 4
    assert told.startswith(REFUSED.format(folder))
    assert len(told.splitlines()) == 1


def test_a_second_extraction_is_refused_and_changes_nothing(tmp_path: Path):
    write_photos(tmp_path / "photos", SMALL, size=(32, 32))
    told = run(tmp_path, "extract")
    *seconds, first = told["first"]
    for second in seconds:
        check_refused(second, "both/train")
    assert first == [0, ""]
    assert told["same"], "the second one left its mark"
    second, first = told["publishing"]
    check_refused(second, "both/train")
    assert first == [0, ""]
    assert told["read"] == [1, 1]


def test_a_second_comparison_is_refused_and_no_record_vouches_for_anothers_head(tmp_path: Path):
    for seed, name in enumerate(("train", "other", "test")):
        draw(tmp_path / f"{name}.npz", [60, 20, 8], seed)
    told = run(tmp_path, "compare")
    second, first = told["ends"]
    check_refused(second, "compare")
    assert first == [0, ""]
    assert told["again"] == 0
    assert told["sound"] == [[True] * 6] * 2
    assert told["left"] == []


def test_what_was_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path):
    write_cache(tmp_path / "features/train")
    write_cache(tmp_path / "features/test")
    write_cache(tmp_path / "stage1", make_head())
    told = run(tmp_path, "kills", timeout=900)
    assert set(told) == {"fits", "probe", "auto", "compare"}
    for name, found in told.items():
        for code, named, line, whole in found["ends"]:
            assert whole, name
            assert (code, line) == (0, "") or (named and code == 2), (name, line)
    assert {0, 1, 2, 3} <= set(told["fits"]["found"])
