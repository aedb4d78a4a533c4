"""Two processes train as one does: the same updates, one writer, and runs that move between numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from two_processes import COMMON, FORMER, NORMED, leave_after_one_epoch

from ltfix.demo.digits import load_digits
from ltfix.stage1.train import train_backbone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo over loopback")


def test_two_processes_are_one(tmp_path: Path) -> None:
    images, labels = load_digits()
    photos = tmp_path / "photos"
    for digit, n in enumerate((13, 7, 4)):
        for split, rows in (("train", slice(0, n)), ("val", slice(n, n + 4))):
            folder = photos / split / str(digit)
            folder.mkdir(parents=True)
            for row in np.flatnonzero(labels == digit)[rows]:
                Image.fromarray(images[row]).save(folder / f"{row}.png")
    leave_after_one_epoch(str(photos), tmp_path / "resumed", NORMED)
    script = Path(__file__).with_name("two_processes.py")
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*argv, str(script), str(photos), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr

    one = train_backbone(photos, out=tmp_path / "one", **FORMER, **COMMON)
    expected = load_file(one.path / "backbone.safetensors")
    for name in ("former", "parts"):
        found = load_file(tmp_path / name / "backbone.safetensors")
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-5, err_msg=key)
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        assert [entry["epoch"] for entry in entries] == [1, 2]
        for entry, alone in zip(entries, one.metrics, strict=True):
            assert entry["loss"] == pytest.approx(alone["loss"], rel=1e-4)
            assert entry["train_accuracy"] == pytest.approx(alone["train_accuracy"], abs=0.05)
            assert set(entry["val"]) == {"all", "many", "medium", "few"}
    info = json.loads((tmp_path / "former/run.json").read_text())
    assert info["provenance"]["processes"] == 2

    assert json.loads((tmp_path / "resumed/run.json").read_text())["finished"]
    left = train_backbone(photos, out=tmp_path / "left", resume=True, **NORMED, **COMMON)
    assert [entry["epoch"] for entry in left.metrics] == [1, 2]
    said = sorted(done.stdout.splitlines())
    assert {f"rank {rank}: finished already, 2 epochs" for rank in (0, 1)} <= set(said)
    assert sum("a finished run of another request is there; values.lr was 0.05" in line for line in said) == 2
    assert sum("the loss of epoch" in line for line in said) == 2
