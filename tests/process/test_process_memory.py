"""Commands on features that do not fit into the memory they are given, which the kernel limits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ltfix.files import write_safetensors

resource = pytest.importorskip("resource", reason="limits of POSIX")
if not sys.platform.startswith("linux"):
    pytest.skip("elsewhere the kernel does not hold to RLIMIT_DATA", allow_module_level=True)

ROWS, DIM, CLASSES = 160_000, 64, 600
ROOM = 200 << 20
"""Bytes beyond what torch takes; the features as float32 take 39 MiB, samples × classes 366."""
AT_REST = "import numpy, torch; print(open('/proc/self/status').read())"
TOO_MUCH = f"import numpy, torch; numpy.ones(({ROWS}, {CLASSES}), numpy.float32)"


def run(argv: Sequence[str], folder: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """A Python of one thread, with so many bytes of its own memory at most."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def limit(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What torch takes, and the room beside it; seen to be too little for an array of samples × classes."""
    folder = tmp_path_factory.mktemp("limit")
    told = dict(
        line.split(":", 1) for line in run(["-c", AT_REST], folder).stdout.splitlines() if ":" in line
    )
    found = int(told["VmData"].split()[0]) * 1024 + ROOM
    if run(["-c", TOO_MUCH], folder, found).returncode == 0:
        pytest.skip("this kernel does not hold to RLIMIT_DATA")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a stage-1 classifier of class means."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("large")
    labels = np.sort(rng.integers(CLASSES, size=ROWS))
    means = rng.random((CLASSES, DIM), np.float32)
    features = (means[labels] + rng.random((ROWS, DIM), np.float32)).astype(np.float16)
    tensors = {"features": features, "labels": labels}
    stage1 = {"head.weight": means - means.mean(0), "head.bias": np.zeros(CLASSES, np.float32)}
    write_safetensors(folder / "train.safetensors", {**tensors, **stage1})
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "fit train.safetensors --method samn --epochs 1 --batch-size 512 --stream always --out s.safetensors",
        "evaluate train.safetensors --cache train.safetensors",
        "inspect train.safetensors --verify",
        "compare --train train.safetensors --test train.safetensors --methods samn,los,logit-adjust "
        "--seeds 1 --set epochs=1 --set batch-size=512 --stream always",
    ],
    ids=["fit", "evaluate", "inspect", "compare"],
)
def test_a_command_that_streams_stays_within_the_limit(folder: Path, limit: int, line: str):
    done = run(["-m", "ltfix", *line.split(), "--quiet"], folder, limit)
    assert done.returncode == 0, done.stderr
