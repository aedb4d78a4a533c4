"""`ltfix compare` of all methods at the size of ImageNet-LT, and how its time grows with n, D and K.

    python benchmarks/compare_scale.py [--share 1] [--methods A,B] [--seeds 3] [--halves] [-- OPTIONS]

Features as benchmarks/scale.py makes them: 115,846 × 512 × 1,000, and 50 test samples a class. ``--share``
takes so much of n; OPTIONS are those of compare. ``--halves`` also runs n/2, D/2 and K/2, and prints the
exponent of each: log₂ of the time over that of the half. Bars: 25 minutes on two cores at full size;
exponents of 1.1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from scale import counts, make

N, DIM, CLASSES, TESTED = 115_846, 512, 1000, 50


def run(n: int, dim: int, classes: int, more: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole process, and what it found, with the processor's seconds."""
    with tempfile.TemporaryDirectory() as folder:
        for name, per_class in (("train", counts(n, classes)), ("test", np.full(classes, TESTED))):
            features, labels = make(per_class, dim, seed=len(name))
            save_file({"features": features, "labels": labels}, Path(folder, f"{name}.safetensors"))
        argv = ["compare", "--train", "train.safetensors", "--test", "test.safetensors", "--format", "json"]
        command = [sys.executable, "-m", "ltfix", *argv, "--output", "found.json", *more]
        began, before = time.perf_counter(), os.times()
        subprocess.run(command, cwd=folder, check=True)
        seconds, after = time.perf_counter() - began, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return seconds, {**json.loads(Path(folder, "found.json").read_text()), "processor": used}


def told(size: tuple[int, int, int], seconds: float, found: dict[str, Any]) -> str:
    """A line for the whole, and one with what each method took."""
    rows = sorted(found["rows"], key=lambda row: -row["fit_seconds"])
    each = ", ".join(f"{row['name']} {row['fit_seconds']:.0f}" for row in rows)
    took = f"{seconds:.0f} s ({seconds / 60:.1f} min), {found['processor']:.0f} s of processors"
    return f"{'x'.join(map(str, size))}: {len(rows)} rows in {took}\n  {each}"


def main() -> None:
    """Print the lines that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", help="default: all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("more", nargs="*", help="options of compare, after --")
    given = parser.parse_args()
    n = round(N * given.share)
    more = ["--seeds", str(given.seeds), "--threads", str(given.threads), *given.more]
    more += [] if given.methods is None else ["--methods", given.methods]
    whole, found = run(n, DIM, CLASSES, more)
    print(told((n, DIM, CLASSES), whole, found), flush=True)
    halves = {"n": (n // 2, DIM, CLASSES), "D": (n, DIM // 2, CLASSES), "K": (n, DIM, CLASSES // 2)}
    for name, size in halves.items() if given.halves else ():
        half, found = run(*size, more)
        grown = math.log2(whole / half)
        print(f"{told(size, half, found)}\n  grows with {name} to the {grown:.2f} (bar 1.1)", flush=True)


if __name__ == "__main__":
    main()
