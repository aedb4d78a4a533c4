"""Whether `--tune` keeps every method from losing to where it started, and what `--method auto` makes of it.

    python benchmarks/tune.py [--sets c100,k10,…] [--seeds 1] [--methods a,b,c] [--auto]
    python benchmarks/tune.py --train CACHE --test CACHE

Sets, cut from the packed CIFAR-100-LT features (``../shared/data`` beside the clone, or $LTFIX_SHARED):

    c100     as they are: K = 100, imbalance factor 100
    k10      every tenth class
    head     classes of 20 samples or more, so Few is empty
    one      the twenty rarest classes cut to one sample
    *-probe  the same without the stage-1 classifier: everything starts from the linear probe

A cell is mean class accuracy on the test samples, minus that of stage 1 (else the probe), in points: at the
published values and tuned; tuning sees training samples alone. The bar: tuned, no method more than a point
below (the nearest class mean and ``etf`` excepted, which do not start from it). Exits with 1 where one is.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ltfix
from ltfix.errors import LtfixError
from ltfix.evaluation.scores import class_accuracy, predictions
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import STAGE1, Head
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options

DATA = Path(os.environ.get("LTFIX_SHARED", Path(__file__).parents[2] / "shared")) / "data"
SETS = tuple(name + start for start in ("", "-probe") for name in ("c100", "k10", "head", "one"))
BAR = -1.0
EXCEPTED = ("ncm", "etf")
Pair = tuple[FeatureCache, FeatureCache]


def subset(
    cache: FeatureCache, name: str, classes: np.ndarray, rows: np.ndarray, head: Head | None
) -> FeatureCache:
    """The samples ``rows`` of the classes [K'], renumbered, with their rows of a classifier."""
    number = np.full(cache.n_classes, -1)
    number[classes] = np.arange(len(classes))
    own = None if head is None else Head(head.weight[classes], head.bias[classes], STAGE1)
    names, labels, manifest = tuple(f"class{k}" for k in classes), number[cache.labels[rows]], cache.manifest
    if manifest is not None:  # which tells whether the backbone may have seen the samples
        counts = np.bincount(labels, minlength=len(classes)).tolist()
        these = {"n": len(rows), "classes": list(names), "counts": counts}
        manifest = dataclasses.replace(manifest, **these, shards=[], columns=None)
    return FeatureCache(Path(name), [cache.rows(rows)], labels, classes=names, head=own, manifest=manifest)


def make(name: str) -> Pair:
    """Training and test features of one set."""
    train, test = (open_cache(DATA / f"c100_if100_{split}.safetensors") for split in ("train", "test"))
    kind, _, start = name.partition("-")
    classes = {
        "c100": np.arange(100),
        "k10": np.arange(0, 100, 10),
        "head": np.flatnonzero(train.counts >= 20),
        "one": np.arange(100),
    }[kind]
    rows = np.flatnonzero(np.isin(train.labels, classes))
    if kind == "one":
        first = np.unique(train.labels, return_index=True)[1]
        rare = np.argsort(train.counts, kind="stable")[:20]
        rows = np.sort(np.concatenate([rows[~np.isin(train.labels[rows], rare)], first[rare]]))
    head = None if start == "probe" else train.head
    tested = np.flatnonzero(np.isin(test.labels, classes))
    return subset(train, name, classes, rows, head), subset(test, name, classes, tested, None)


def accuracy(head: Head, test: FeatureCache) -> float:
    """Mean class accuracy in percent."""
    return 100 * float(np.nanmean(class_accuracy(predictions(head, test), test.labels, head.n_classes)))


def fitted(
    train: FeatureCache, test: FeatureCache, method: str, seeds: Sequence[int], tune: bool
) -> str | float:
    """Mean over seeds, each with its own validation cut; or why there is none."""
    try:
        heads = [plan_fit(method, {"tune": tune}).train(train, [seed])[0] for seed in seeds]
    except LtfixError as err:
        return err.what
    return float(np.mean([accuracy(head, test) for head in heads]))


def measure(name: str, pair: Pair, methods: Sequence[str], seeds: Sequence[int], auto: bool) -> int:
    """Print one set; the number of methods below the bar."""
    train, test = pair
    start = Material.of(train, None, Options(), 0)
    linear = start.start(start.data)
    base = accuracy(Head(linear.weight, linear.bias, STAGE1), test)
    began, below = time.perf_counter(), 0
    kind = "probe" if train.head is None else "stage 1"
    print(f"\n{name}: K = {train.n_classes}, {train.n} training samples, {kind} {base:.1f}")
    print(f"{'method':20s} {'published':>10s} {'tuned':>10s}")
    for method in methods:
        plain, tuned = (fitted(train, test, method, seeds, tune) for tune in (False, True))
        if isinstance(plain, str) or isinstance(tuned, str):
            print(f"{method:20s} {plain if isinstance(plain, str) else tuned}")
            continue
        lost = tuned - base < BAR and method not in EXCEPTED
        below += lost
        print(
            f"{method:20s} {plain - base:+10.1f} {tuned - base:+10.1f}{'  below the bar' if lost else ''}",
            flush=True,
        )
    if auto:
        for seed in seeds:
            head = ltfix.fit(train, "auto", seed=seed)
            why = head.meta["selection"]["auto"]["why"]
            print(f"auto, seed {seed}: {head.method} {accuracy(head, test) - base:+.1f} ({why})", flush=True)
    print(f"{time.perf_counter() - began:.0f} s")
    return below


def main() -> int:
    """Measure the sets that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=",".join(method.name for method in ltfix.methods()))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--auto", action="store_true", help="also fit --method auto")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    args = parser.parse_args()
    if args.train is not None:
        pairs = {str(args.train): (open_cache(args.train), open_cache(args.test))}
    else:
        pairs = {name: make(name) for name in args.sets.split(",")}
    methods, seeds = args.methods.split(","), range(args.seeds)
    below = sum(measure(name, pair, methods, seeds, args.auto) for name, pair in pairs.items())
    print(f"\n{below} below the bar" if below else "\nnone below the bar")
    return int(below > 0)


if __name__ == "__main__":
    sys.exit(main())
