"""Peak memory of a fit that streams a cache, beside the cache's size and the bare imports.

    python benchmarks/stream.py [--n 200000] [--dim 2048] [--classes 1000] [--epochs 1] [--method ce]
        [--no-stage1] [-- OPTIONS OF FIT]

Writes a synthetic float16 cache with the class profile of ImageNet-LT (1280 down to 5, exponential, scaled to
N) into a temporary folder and runs `ltfix fit --stream always` on it as a process of its own. Without a
stage-1 classifier the linear probe is fitted first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ltfix.files import write_safetensors
from ltfix.stage2.methods.registry import find_method


def long_tail(n: int, classes: int) -> np.ndarray:
    """Labels [N], class sizes falling exponentially by a factor of 256."""
    share = 256.0 ** (-np.arange(classes) / (classes - 1))
    counts = np.maximum((share / share.sum() * n).astype(int), 1)
    counts[0] += n - counts.sum()
    return np.repeat(np.arange(classes), counts)


def write_cache(path: Path, n: int, dim: int, classes: int, stage1: bool) -> int:
    """A cache, with a stage-1 head or without; its bytes."""
    rng = np.random.default_rng(0)
    labels = long_tail(n, classes)
    centres = rng.random((classes, dim), np.float32)
    features = np.empty((n, dim), np.float16)
    for start in range(0, n, 8192):
        rows = slice(start, start + 8192)
        features[rows] = centres[labels[rows]] * rng.random((len(labels[rows]), dim), np.float32)
    tensors = {"features": features, "labels": labels}
    if stage1:
        tensors["head.weight"] = (centres - centres.mean(0)) / dim**0.5
        tensors["head.bias"] = np.zeros(classes)
    write_safetensors(path, tensors)
    return path.stat().st_size


def peak(argv: list[str]) -> tuple[float, float]:
    """Peak resident MiB and seconds of a command, measured by the kernel in a process that runs only it."""
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    began = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True)
    code, size = map(int, out.stdout.split())
    if code:
        raise SystemExit(f"{' '.join(argv)} ended with {code}:\n{out.stderr}")
    return size / 1024, time.perf_counter() - began


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--method", default="ce")
    parser.add_argument("--no-stage1", action="store_true", help="no stage-1 classifier in the cache")
    parser.add_argument("more", nargs="*", help="options of fit, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache.safetensors"
        size = write_cache(cache, args.n, args.dim, args.classes, not args.no_stage1) / 2**20
        head = Path(folder) / "head.safetensors"
        fit = [
            sys.executable,
            "-m",
            "ltfix",
            "fit",
            str(cache),
            "--method",
            args.method,
            "--stream",
            "always",
        ]
        if find_method(args.method).loss is not None:
            fit += ["--epochs", str(args.epochs), "--batch-size", "512"]
        fit += ["--out", str(head), "--quiet", *args.more]
        bare, _ = peak([sys.executable, "-c", "import os, torch, numpy; os._exit(0)"])  # as ltfix ends
        used, seconds = peak(fit)
    print(
        f"cache {size:.0f} MiB; peak of fit {used:.0f} MiB, of import torch {bare:.0f} MiB; {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
