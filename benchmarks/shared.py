"""What extract, fit and compare keep of their speed on a machine that is shared.

    python benchmarks/shared.py [--rounds 3] [--only extract,fit,compare] [--wait ACTIVE]

Each command is timed as a whole process, alone and beside two busy processes of two threads each, in turn.
Beside them a fair share of the processors is a third, so that a command that loses nothing takes three times
as long; the last column is the part of that share which it keeps (bar: 60 %). ``--wait ACTIVE`` lets threads
spin while they wait for each other, as libraries do by themselves: what ltfix's setting (PASSIVE) changes.

- extract: 96 generated photos of 300 × 300 through a mobilenetv3_small_100 with random weights.
- fit: ``--method samn``, its linear probe included, on 4,000 × 256 features of 100 classes.
- compare: ``--methods samn,los,ce,tau-norm --seeds 2`` on the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

BUSY = """
import hashlib, threading
data = bytes(1 << 24)
def spin():
    while True:
        hashlib.sha256(data).digest()  # without the interpreter's lock
threading.Thread(target=spin, daemon=True).start()
spin()
"""
NEIGHBOURS = 2
SHARE = 1 / (1 + NEIGHBOURS)


def make_project(folder: Path) -> dict[str, list[str]]:
    """Photos and features in a folder, and the command line of each row."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for i in range(48):
            place = folder / "photos" / split / f"class-{i % 4}"
            place.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8))
            coarse.resize((300, 300)).save(place / f"{i:03}.jpg")
    means = rng.standard_normal((100, 256)).astype(np.float32)
    for split, n in (("train", 4000), ("test", 1000)):
        labels = (
            np.minimum((rng.pareto(1.0, n) * 10).astype(int), 99) if split == "train" else np.arange(n) % 100
        )
        labels[:100] = np.arange(100)
        features = np.maximum(means[labels] + 2 * rng.standard_normal((n, 256)), 0).astype(np.float32)
        np.savez(folder / f"{split}.npz", features=features, labels=labels)
    heads = ["--methods", "samn,los,ce,tau-norm", "--seeds", "2", "--save-heads", "kept"]
    return {
        "extract": ["extract", "--data", "photos", "--backbone", "mobilenetv3_small_100", "--no-pretrained"],
        "fit": ["fit", "train.npz", "--method", "samn", "--out", "head.safetensors"],
        "compare": ["compare", "--train", "train.npz", "--test", "test.npz", *heads],
    }


@contextlib.contextmanager
def neighbours() -> Iterator[None]:
    """Two busy processes of two threads each inside the block."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(NEIGHBOURS)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def seconds(command: list[str], folder: Path, wait: str | None) -> float:
    """Of one whole process; what it wrote is removed."""
    environment = {**os.environ} if wait is None else {**os.environ, "OMP_WAIT_POLICY": wait}
    began = time.perf_counter()
    argv = [sys.executable, "-m", "ltfix", *command, "--quiet"]
    subprocess.run(argv, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    subprocess.run(["rm", "-rf", "features", "head.safetensors", "kept"], cwd=folder, check=True)
    return took


def main() -> None:
    """A line a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="extract,fit,compare")
    parser.add_argument("--wait", choices=("ACTIVE", "PASSIVE"))
    given = parser.parse_args()
    print(f"{'command':9} {'alone':>8} {'shared':>8}   of its fair share (bar 60 %)")
    with tempfile.TemporaryDirectory() as name:
        commands = make_project(Path(name))
        for row in given.only.split(","):
            alone, shared = [], []
            for _ in range(given.rounds):
                alone.append(seconds(commands[row], Path(name), given.wait))
                with neighbours():
                    shared.append(seconds(commands[row], Path(name), given.wait))
            kept = statistics.median(alone) / statistics.median(shared) / SHARE
            print(
                f"{row:9} {statistics.median(alone):6.1f} s {statistics.median(shared):6.1f} s   {kept:.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
