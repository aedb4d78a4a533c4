"""Fit every method on tables whose columns have offsets and units, beside the same standardised by hand.

    python benchmarks/tables.py [--methods samn,los] [--cuts 3]

Each table is cut to a long tail, split, and fitted twice: as it is, by what ``normalize=auto`` makes of it,
and after its training columns were brought to mean 0 and deviation 1 by numpy. A row is the mean class
accuracy on the test samples over some random cuts, in percent: raw, by hand, raw minus by hand. Exit
status 1 where a method on a raw table is more than a point behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn import datasets

import ltfix
from ltfix.errors import LtfixError

BEHIND = 1.0
TEST_SHARE = 0.4
Table = tuple[np.ndarray, np.ndarray]


def clouds(seed: int = 0) -> Table:
    """Six overlapping clouds of 14 dimensions, 250 samples each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(6), 250)
    return rng.normal(size=(6, 14))[labels] + rng.normal(size=(len(labels), 14)), labels


def offsets() -> Table:
    """A year column, a pressure column, and ordinary ones."""
    x, y = clouds(1)
    rng = np.random.default_rng(1)
    year, pressure = rng.integers(2015, 2025, len(y)), rng.normal(1013, 8, len(y))
    return np.column_stack([x, year, pressure]), y


def constant() -> Table:
    """One column that never changes, far from zero."""
    x, y = clouds(2)
    return np.column_stack([x, np.full(len(y), 350.0)]), y


def units() -> Table:
    """Columns in units of 1e-4, 1 and 1e4."""
    x, y = clouds(3)
    return x * np.resize([1e-4, 1.0, 1e4], x.shape[1]), y


def shipped(load: Callable[..., Table]) -> Callable[[], Table]:
    """A table of scikit-learn's."""
    return lambda: load(return_X_y=True)


TABLES: dict[str, Callable[[], Table]] = {
    "wine": shipped(datasets.load_wine),
    "digits": shipped(datasets.load_digits),
    "offsets": offsets,
    "constant": constant,
    "units": units,
}


def split(table: Table, seed: int, factor: float = 10.0) -> tuple[Table, Table]:
    """Training samples, cut to an exponential tail of that factor, and balanced test samples."""
    (x, y), rng = table, np.random.default_rng(seed)
    train, test, k = [], [], int(y.max())
    for label in range(k + 1):
        mine = rng.permutation(np.flatnonzero(y == label))
        held = round(TEST_SHARE * len(mine))
        test.append(mine[:held])
        train.append(mine[held:][: max(4, round((len(mine) - held) * factor ** (-label / k)))])
    chosen, held_out = np.concatenate(train), np.concatenate(test)
    return (x[chosen], y[chosen]), (x[held_out], y[held_out])


def score(method: str, folder: Path, train: Table, test: Table) -> float:
    """Mean class accuracy in percent of one fit."""
    for name, (x, y) in (("train", train), ("test", test)):
        np.savez(folder / f"{name}.npz", features=x.astype(np.float32), labels=y)
    head = ltfix.fit(folder / "train.npz", method, seed=0)
    report = ltfix.evaluate([head], folder / "test.npz", report="per-class").to_dict()["heads"][-1]
    return 100 * float(np.mean([c["recall"] for c in report["classes"] if c["recall"] is not None]))


def standardised(train: Table, test: Table) -> tuple[Table, Table]:
    """Both by the training columns' mean and deviation; a column that does not move becomes zero."""
    mean, deviation = train[0].mean(0), train[0].std(0)
    deviation = np.where(deviation > 1e-6 * np.abs(mean), deviation, np.inf)
    first, second = (((x - mean) / deviation, y) for x, y in (train, test))
    return first, second


def main() -> int:
    """Print the tables; 1 where a method fell behind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default=",".join(m.name for m in ltfix.methods() if m.name != "etf"))
    parser.add_argument("--cuts", type=int, default=3)
    given = parser.parse_args()
    behind = []
    with tempfile.TemporaryDirectory() as folder:
        for name, load in TABLES.items():
            raw = [split(load(), seed) for seed in range(given.cuts)]
            pairs = raw, [standardised(*cut) for cut in raw]
            samples, columns = raw[0][0][0].shape
            print(f"\n{name}: {samples} training samples of {columns} columns", flush=True)
            print(f"{'method':22s} {'raw':>7s} {'by hand':>9s} {'difference':>11s}")
            for method in given.methods.split(","):
                try:
                    found = [[score(method, Path(folder), *cut) for cut in cuts] for cuts in pairs]
                except LtfixError as err:
                    print(f"{method:22s} {err}")
                    continue
                ours, theirs = map(float, np.mean(found, 1))
                print(f"{method:22s} {ours:7.1f} {theirs:9.1f} {ours - theirs:+11.1f}", flush=True)
                behind += [f"{name}/{method}"] if ours < theirs - BEHIND else []
    print(f"\nmore than {BEHIND:g} point behind: {', '.join(behind) or 'none'}")
    return int(bool(behind))


if __name__ == "__main__":
    sys.exit(main())
