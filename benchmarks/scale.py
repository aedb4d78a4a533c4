"""The linear probe and a fit at the size of ImageNet-LT: time against the products, memory against the cache.

    python benchmarks/scale.py [--threads 2] [--only probe,solver,memory] [--rows 120000,1000000]

Features are made from class means and noise whose dimensions fade by a power law, rectified, with the counts
of ImageNet-LT (1,280 down to 5) scaled to the number of rows; seeds are fixed.

- probe: seconds of the whole probe, its penalty chosen, over those of the two matrix products of one pass
  over all rows (x Wᵀ and dzᵀ x, float32, block by block). Bar: 40.
- solver: the probe's solver against scikit-learn's LogisticRegression (lbfgs) on 20,000 × 512 × 100, a line
  for each penalty: seconds to the same objective (bar: 8 times faster) and the objective (bar: 0.1 %).
- memory: peak of ``ltfix fit --method ce --epochs 1`` in a process of its own beyond that of ``import
  torch``, less the cache (bar: 700 MiB), the same with --stream always (bar: 500 MiB in all), and the share
  of kernel time (bar: 15 %).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from ltfix.features.read import open_cache
from ltfix.stage2.fitting import logistic, newton
from ltfix.stage2.fitting.probe import EFFORTS, PENALTIES, fit_probe
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling

SIZES = {120_000: (512, 1000), 1_000_000: (256, 1000)}
MIB = 1 << 20
BLOCK = 8192
TOLERANCE = EFFORTS[1][1].tolerance
"""The probe's own, of problems of the solver's size."""


def counts(n: int, classes: int) -> np.ndarray:
    """ImageNet-LT's profile, 1,280 down to 5, scaled to n samples in all; [K]."""
    profile = 1280 * (5 / 1280) ** (np.arange(classes) / (classes - 1))
    return np.maximum(1, np.round(profile * n / profile.sum())).astype(np.int64)


def make(per_class: np.ndarray, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, D] float16 and labels [n], by class as a cache has them; seeds share the class means."""
    labels, spectrum = np.repeat(np.arange(len(per_class)), per_class), _spectrum(dim)
    means = np.random.default_rng(0).standard_normal((len(per_class), dim), np.float32) * spectrum
    rng = np.random.default_rng([seed, 1])
    features = np.empty((len(labels), dim), np.float16)
    for start in range(0, len(labels), BLOCK):
        y = labels[start : start + BLOCK]
        noise = rng.standard_normal((len(y), dim), np.float32) * spectrum
        features[start : start + BLOCK] = np.maximum(means[y] + noise + 0.3 * spectrum, 0)
    return features, labels


def _spectrum(dim: int) -> np.ndarray:
    """[D] deviations that fade by a power law."""
    found: np.ndarray = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    return found


def cache(folder: Path, n: int, dim: int, classes: int) -> Path:
    """The features as a file."""
    path = folder / f"{n}x{dim}x{classes}.safetensors"
    features, labels = make(counts(n, classes), dim)
    save_file({"features": features, "labels": labels}, path)
    return path


def floor(data: Features) -> float:
    """Seconds of x Wᵀ and dzᵀ x over all rows, the better of two."""
    n, dim, classes = len(data), data.dim, len(data.counts)
    x, w = torch.randn(BLOCK, dim), torch.randn(classes, dim)
    z, g = torch.empty(BLOCK, classes), torch.empty(classes, dim)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        for _ in range(0, n, BLOCK):
            torch.mm(x, w.T, out=z)
            torch.mm(z.T, x, out=g)
        seconds.append(time.perf_counter() - began)
    return min(seconds) * n / (BLOCK * -(-n // BLOCK))


def probe(path: Path) -> None:
    """One line: the whole probe over the floor."""
    data = Features.of(open_cache(path))
    products = floor(data)
    began = time.perf_counter()
    head = fit_probe(data, torch.device("cpu"))
    seconds = time.perf_counter() - began
    print(
        f"probe {path.stem}: {seconds:.1f} s, penalty {head.meta['penalty']:g}; "
        f"two products of a pass {products:.2f} s; "
        f"ratio {seconds / products:.1f} (bar 40)",
        flush=True,
    )


def solver(penalty: float) -> None:
    """One line: the solver against scikit-learn's, and how near the optimum both come."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose

    x, y = make(counts(20_000, 100), 512)
    data = Features([x[:, None]], np.arange(len(y)), y, np.bincount(y))
    began = time.perf_counter()
    problem = logistic.Problem(data, Scaling.of(data.some_rows(), "none", "none"), torch.device("cpu"))
    at = logistic.approach(problem, problem.zero(), penalty, EFFORTS[1][1].epochs[0])
    _, ours, passes = newton.finish(problem, at, penalty, tolerance=TOLERANCE, most=100)
    seconds = time.perf_counter() - began
    scaled = x.astype(np.float32) / problem.scale

    def objective(model: LogisticRegression) -> float:
        bias = model.intercept_ + model.coef_ @ (problem.mean.numpy() / problem.scale)
        weight = torch.from_numpy(model.coef_).float() @ problem.axes
        return problem.value_and_gradient(logistic.Point(weight, torch.from_numpy(bias).float()), penalty)[0]

    theirs, took, iterations = np.inf, 0.0, 25
    while theirs > ours * 1.001 and iterations <= 3200:
        began = time.perf_counter()
        model = LogisticRegression(C=1 / (penalty * len(y)), max_iter=iterations, tol=1e-12).fit(scaled, y)
        took = time.perf_counter() - began
        theirs, iterations = objective(model), iterations * 2
    best = LogisticRegression(C=1 / (penalty * len(y)), max_iter=20_000, tol=1e-7).fit(scaled, y)
    optimum = objective(best)
    print(
        f"solver 20000x512x100, penalty {penalty:g}: {seconds:.1f} s in {passes} passes, "
        f"objective {ours / optimum - 1:+.3%} of scikit-learn's converged one (bar 0.1 %); "
        f"scikit-learn {took:.1f} s in {model.n_iter_[0]} iterations to {theirs / ours - 1:+.3%} of ours: "
        f"{took / seconds:.1f} times (bar 8)",
        flush=True,
    )


MEASURE = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
said = child.stderr.read().decode()
_, status, usage = os.wait4(child.pid, 0)
if status:
    sys.exit(said)
print(json.dumps([time.perf_counter() - began, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024]))
"""
"""A process of its own, for a child's peak memory begins with its parent's."""


def measured(argv: Sequence[str], folder: Path) -> list[float]:
    """Wall, user and system seconds of a process, and its peak memory in MiB."""
    command = [sys.executable, "-c", MEASURE, sys.executable, *argv]
    found: list[float] = json.loads(
        subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    )
    return found


def memory(path: Path) -> None:
    """Two lines: a fit that keeps its features, and one that streams them."""
    torch_alone = measured(["-c", "import torch"], path.parent)[3]
    for stream in ("never", "always"):
        argv = ["-m", "ltfix", "fit", str(path), "--method", "ce", "--epochs", "1", "--stream", stream]
        wall, user, kernel, peak = measured([*argv, "--out", f"{stream}.safetensors"], path.parent)
        beyond, held = peak - torch_alone, path.stat().st_size / MIB
        bar = held + 700 if stream == "never" else 500
        print(
            f"memory {path.stem}, stream {stream}: {wall:.0f} s, peak {beyond:.0f} MiB beyond "
            f"torch's {torch_alone:.0f} (cache {held:.0f}; bar {bar:.0f}); "
            f"kernel {kernel / (user + kernel):.0%} of processor time (bar 15 %)",
            flush=True,
        )


def main() -> None:
    """Print the lines that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="probe,solver,memory")
    parser.add_argument("--rows", default=",".join(map(str, SIZES)))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    wanted = given.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        for penalty in PENALTIES if "solver" in wanted else ():
            solver(penalty)
        for n in map(int, given.rows.split(",")):
            path = cache(Path(folder), n, *SIZES[n])
            if "probe" in wanted:
                probe(path)
            if "memory" in wanted:
                memory(path)
            path.unlink()


if __name__ == "__main__":
    main()
