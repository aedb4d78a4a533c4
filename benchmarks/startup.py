"""How long the commands that should be instant take: whole processes, median of several runs.

    python benchmarks/startup.py [--runs 15]

Prints a markdown table; the bare interpreter and ``import torch`` stand beside for scale. CPU seconds (user
and system) hold on a busy machine too; on an idle one the wall clock shows about the same.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix.cli.commands import COMMANDS

LTFIX = [sys.executable, "-m", "ltfix"]


def seconds(argv: Sequence[str], folder: Path, runs: int) -> tuple[list[float], list[float]]:
    """Wall-clock and CPU seconds of ``runs`` runs, after one that warms the disk cache."""
    wall, cpu = [], []
    for i in range(runs + 1):
        start, before = time.perf_counter(), os.times()
        done = subprocess.run(argv, cwd=folder, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(argv)}: {done.stderr.decode()}")
        after = os.times()
        if i:
            wall.append(time.perf_counter() - start)
            cpu.append(
                after.children_user + after.children_system - before.children_user - before.children_system
            )
    return wall, cpu


def write_cache(path: Path, n: int = 10_000, classes: int = 100, dim: int = 64) -> None:
    """A cache of CIFAR-100's size with random features, and its stage-1 classifier."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        **{
            "features": rng.normal(size=(n, dim)).astype(np.float32),
            "labels": np.arange(n) % classes,
            "head.weight": rng.normal(size=(classes, dim)).astype(np.float32),
            "head.bias": np.zeros(classes, np.float32),
        },
    )


def main() -> None:
    """Time each command and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cache(folder / "test.npz")
        rows: list[tuple[str, list[str], int]] = [
            ("python -c pass", [sys.executable, "-c", "pass"], runs),
            ("import numpy", [sys.executable, "-c", "import numpy"], runs),
            ("ltfix --help", [*LTFIX, "--help"], runs),
            *((f"ltfix {c} --help", [*LTFIX, c, "--help"], runs) for c in COMMANDS),
            ("ltfix --version", [*LTFIX, "--version"], runs),
            ("ltfix methods", [*LTFIX, "methods"], runs),
            ("ltfix init", [*LTFIX, "init", "--overwrite"], runs),
            (
                "ltfix evaluate (10,000 × 64, 100 classes)",
                [*LTFIX, "evaluate", "test.npz", "--cache", "test.npz"],
                runs,
            ),
            ("import torch", [sys.executable, "-c", "import torch"], max(3, runs // 5)),
        ]
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        print("| whole process | wall s, median | least | CPU s, median | runs |\n|---|---:|---:|---:|---:|")
        for title, argv, count in rows:
            wall, cpu = seconds(argv, folder, count)
            middle, work = statistics.median(wall), statistics.median(cpu)
            print(f"| `{title}` | {middle:.3f} | {min(wall):.3f} | {work:.2f} | {count} |", flush=True)


if __name__ == "__main__":
    main()
