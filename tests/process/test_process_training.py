"""Training survives kill -9 at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltfix.demo.digits import load_digits


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_ten_kills_and_the_same_bytes(tmp_path: Path) -> None:
    images, labels = load_digits()
    for digit, n in enumerate((20, 10, 5)):
        folder = tmp_path / "photos" / str(digit)
        folder.mkdir(parents=True)
        for row in np.flatnonzero(labels == digit)[:n]:
            Image.fromarray(images[row]).save(folder / f"{row}.png")
    script = Path(__file__).with_name("killed_training.py")
    argv = [sys.executable, script, tmp_path / "photos", tmp_path, 10]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed after") == 10 and done.stdout.endswith("same bytes\n")
