"""Calibration errors before and after a temperature: ``python benchmarks/calibration.py TRAIN TEST``.

Each half of the test samples is measured at the temperature that the other half asks for, so that no sample
chooses what it is measured by. The last column is why training samples do not serve: a cut of them, which the
head has not seen but the backbone has. Prints the table of docs/calibration.md.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import ltfix
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head
from ltfix.stage2.fitting.validation import class_wise_cut

HEADER = """\
| head | ECE | one T | one a shot | NLL | one T | one a shot | All | one a shot | ECE, T of a cut |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""
METHODS = ("ce", "samn", "los", "logit-adjust", "tau-norm", "crt", "balanced-softmax")


def halves(cache: FeatureCache) -> Iterator[tuple[FeatureCache, FeatureCache]]:
    """Every second sample to calibrate on and the others to measure, then the other way round."""
    index = np.arange(cache.n)
    for odd in (0, 1):
        yield tuple(part(cache, index[index % 2 == side]) for side in (odd, 1 - odd))


def part(cache: FeatureCache, index: np.ndarray) -> FeatureCache:
    """The samples ``index`` of a cache."""
    return FeatureCache(Path("half"), [cache.rows(index)], cache.labels[index], head=cache.head)


def measured(head: Head, cache: FeatureCache) -> tuple[float, float, float]:
    """ECE, NLL and accuracy over the samples."""
    row = ltfix.evaluate(head, cache, "calibration").heads[-1]
    return row["ece"], row["nll"], ltfix.evaluate(head, cache).heads[-1]["all"]


def main(paths: Sequence[str]) -> None:
    """Fit, calibrate and measure every method on the training and test features at ``paths``."""
    train, test = map(ltfix.open_cache, paths)
    print(HEADER)
    for method in METHODS:
        head = ltfix.fit(train, method)
        plain, one, shots = ([] for _ in range(3))
        for val, rest in halves(test):
            plain.append(measured(head, rest))
            one.append(measured(ltfix.calibrate(head, val), rest))
            shots.append(measured(ltfix.calibrate(head, val, "shots"), rest))
        rest, held = (part(train, index) for index in class_wise_cut(train.labels, seed=0))
        cut = ltfix.calibrate(ltfix.fit(rest, method), held).temperature
        spoiled = measured(dataclasses.replace(head, temperature=cut), test)[0]
        ece, nll, accuracy = np.mean([plain, one, shots], axis=1).T
        cells = [*(f"{100 * e:.1f}" for e in ece), *(f"{n:.2f}" for n in nll)]
        cells += [f"{100 * accuracy[0]:.1f}", f"{100 * accuracy[2]:.1f}", f"{100 * spoiled:.1f}"]
        print(f"| `{method}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
