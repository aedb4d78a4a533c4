"""``ltfix compare`` killed at any moment: no torn file, and the same command goes on to the same heads."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ltfix.heads.head import load_head

ARGV = [
    "compare",
    "--train",
    "train.npz",
    "--test",
    "test.npz",
    "--methods",
    "ce,los,balanced-softmax,samn,cosine,crt",
    "--set",
    "epochs=60",
    "--seeds",
    "2",
    "--threads",
    "1",
    "--format",
    "json",
    "--quiet",
]


def draw(path: Path, counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(7).normal(size=(len(counts), 16))
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.maximum(centers[labels] + rng.normal(size=(len(labels), 16)), 0).astype(np.float32)
    np.savez(path, features=features, labels=labels)


def finished(folder: Path) -> set[str]:
    return {p.stem for p in folder.glob("*.json") if "scores" in json.loads(p.read_text())}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_and_continued(tmp_path: Path):
    draw(tmp_path / "train.npz", [800, 200, 40, 8], 0)
    draw(tmp_path / "test.npz", [50] * 4, 1)
    command = [sys.executable, "-m", "ltfix", *ARGV]
    folder = tmp_path / "compare"
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(finished(folder)) < 3 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    before = {name: (folder / f"{name}.safetensors").read_bytes() for name in finished(folder)}
    assert 3 <= len(before) <= 12
    stamps = {name: (folder / f"{name}.json").stat().st_mtime_ns for name in before}
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert {row["seeds"] for row in json.loads(again.stdout)["rows"] if row["method"] != "probe"} == {2}
    assert len(finished(folder)) == 12
    assert stamps == {name: (folder / f"{name}.json").stat().st_mtime_ns for name in before}
    assert not [p.name for p in folder.iterdir() if p.suffix not in (".json", ".safetensors")]
    whole = subprocess.run(
        [*command, "--save-heads", "whole"], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert whole.returncode == 0
    for name in finished(
        folder
    ):  # a seed that is fitted alone differs by rounding from one fitted beside others
        ours, theirs = (load_head(place / f"{name}.safetensors") for place in (folder, tmp_path / "whole"))
        assert ours.weight == pytest.approx(theirs.weight, rel=1e-4, abs=1e-5)
        assert ours.meta == theirs.meta
