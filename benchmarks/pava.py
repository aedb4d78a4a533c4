"""Isotonic regression: microseconds per call of ltfix, scipy and scikit-learn, in one run.

    OMP_NUM_THREADS=1 python benchmarks/pava.py            the table of docs/benchmarks.md
    OMP_NUM_THREADS=1 python benchmarks/pava.py --fresh    another input at every call

numpy in, numpy out, float64, no weights. Each number is the median of several timings, taken in
turn with those of the others, so that a busy moment of the machine hits all of them. By default
every call gets the same input, and the branch predictor comes to know it, as it does in training,
where the vector moves little from step to step; ``--fresh`` is the other extreme.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy
import sklearn
from scipy.optimize import isotonic_regression as scipy_isotonic
from sklearn.isotonic import isotonic_regression as sklearn_isotonic

import ltfix
from ltfix.kernel import IMPLEMENTATION

BARS = {10: 3.0, 100: 3.0, 1000: 2.5, 8142: 1.8, 1_000_000: 1.5}
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "random": lambda noise: noise,
    "noisy-decreasing": lambda noise: noise - np.linspace(0, 10, len(noise)),
    "sorted": np.sort,
    "reversed": lambda noise: np.sort(noise)[::-1].copy(),
}
RIVALS: dict[str, Callable[[np.ndarray], object]] = {
    "ltfix": ltfix.isotonic,
    "scipy": scipy_isotonic,
    "scikit-learn": sklearn_isotonic,
}


def seconds(function: Callable[[np.ndarray], object], inputs: Sequence[np.ndarray], calls: int) -> float:
    """Seconds per call over ``calls`` calls that take the inputs in turn."""
    order = [inputs[i % len(inputs)] for i in range(calls)]
    start = time.perf_counter()
    for y in order:
        function(y)
    return (time.perf_counter() - start) / calls


def measure(inputs: Sequence[np.ndarray], repeats: int) -> dict[str, float]:
    """Median microseconds per call of each rival."""
    timings: dict[str, list[float]] = {name: [] for name in RIVALS}
    calls = {}
    for name, function in RIVALS.items():
        once = min(seconds(function, inputs, min(3, len(inputs))) for _ in range(2))
        calls[name] = max(len(inputs) if len(inputs) > 1 else 1, min(20_000, int(0.02 / once)))
    for _ in range(repeats):
        for name, function in RIVALS.items():
            timings[name].append(seconds(function, inputs, calls[name]))
    return {name: 1e6 * statistics.median(found) for name, found in timings.items()}


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="another input at every call")
    parser.add_argument("--repeats", type=int, default=15, help="timings behind each median")
    args = parser.parse_args()
    print(f"kernel: {IMPLEMENTATION}; scipy {scipy.__version__}; scikit-learn {sklearn.__version__}\n")
    print("| K | input | ltfix µs | scipy µs | scikit-learn µs | × scipy | bar | × scikit-learn |")
    print("|---|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    missed = 0
    for n, bar in BARS.items():
        count = max(4, min(256, 1_000_000 // n)) if args.fresh else 1
        for kind, make in KINDS.items():
            inputs = [make(rng.standard_normal(n)) for _ in range(count)]
            found = measure(inputs, args.repeats if n < 10**6 else max(3, args.repeats // 2))
            ours = found["ltfix"]
            ratios = [found[rival] / ours for rival in ("scipy", "scikit-learn")]
            missed += ratios[0] < bar
            times = " | ".join(f"{value:.2f}" if value < 1000 else f"{value:.0f}" for value in found.values())
            mark = "" if ratios[0] >= bar else " missed"
            print(f"| {n} | {kind} | {times} | {ratios[0]:.2f}{mark} | {bar} | {ratios[1]:.1f} |", flush=True)
    print(f"\n{missed} of {len(BARS) * len(KINDS)} below the bar")


if __name__ == "__main__":
    main()
