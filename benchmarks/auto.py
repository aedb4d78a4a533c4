"""How far `--method auto` ends behind the best tuned method, on sets cut from packed CIFAR-100-LT features.

    python benchmarks/auto.py [--sets k10-f100,k50-f10-probe,…] [--methods a,b,c] [--seed 0] [--keep DIR]
    python benchmarks/auto.py --train CACHE --test CACHE [--classes 30] [--draws 5] [--keep DIR]

A set's name: K classes, evenly spaced among the 100; no class with more than F times the samples of the
rarest; ``-probe``: without the stage-1 classifier, so everything starts from the linear probe. Further sets
may be named, as ``k20-f10``. What is tuned is kept in DIR, so that another rule of choice is measured in
seconds. Of other caches, ``--draws`` times so many of their classes are drawn, as they are.

A line a set: what auto took and the best of all tuned methods, with their mean class accuracy on the test
samples, the difference and its standard error, and what it has with (or without) the class means. The bar:
nine of ten within a point; else it exits with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tune import DATA, Pair, accuracy, subset

import ltfix
from ltfix.evaluation.scores import predictions
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import Head, load_head
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tuning.means import averaged
from ltfix.stage2.tuning.rule import class_weights, lead

SETS = (
    *(f"k{k}-f100{start}" for k in (10, 20, 50, 100) for start in ("", "-probe")),
    "k20-f10",
    "k50-f10-probe",
)
WITHIN, WANTED = 1.0, 0.9


def make(name: str, seed: int) -> Pair:
    """Training and test features of one set; ``seed`` draws which samples of the large classes stay."""
    found = re.fullmatch(r"k(\d+)-f(\d+)(-probe)?", name)
    if found is None:
        raise SystemExit(f"{name} is no set: kK-fF or kK-fF-probe")
    k, factor = int(found[1]), int(found[2])
    train, test = (open_cache(DATA / f"c100_if100_{split}.safetensors") for split in ("train", "test"))
    classes = np.arange(0, 100, 100 // k)[:k]
    most, rng = factor * int(train.counts[classes].min()), np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(train.labels == c))[:most] for c in classes]
    tested = np.flatnonzero(np.isin(test.labels, classes))
    head = None if found[3] else train.head
    kept = np.sort(np.concatenate(rows))
    return subset(train, name, classes, kept, head), subset(test, name, classes, tested, None)


def drawn(train: FeatureCache, test: FeatureCache, k: int, seed: int) -> Pair:
    """The features of ``k`` of the classes."""
    classes = np.sort(np.random.default_rng(seed).permutation(train.n_classes)[:k])
    parts = []
    for cache in (train, test):
        rows = np.flatnonzero(np.isin(cache.labels, classes))
        parts.append(subset(cache, f"{k} classes, draw {seed}", classes, rows, None))
    return parts[0], parts[1]


def measure(pair: Pair, methods: list[str] | None, seed: int, folder: Path) -> float:
    """Print one set; by how many points auto is behind."""
    train, test = pair
    began = time.perf_counter()
    head = plan_fit("auto", methods=methods).train(train, [seed], folder=folder)[0]
    seconds = time.perf_counter() - began
    heads = {path.stem.rpartition("-s")[0]: load_head(path) for path in folder.glob("*.safetensors")}
    scores = {method: accuracy(tuned, test) for method, tuned in heads.items()}
    best, taken = max(scores, key=scores.__getitem__), accuracy(head, test)
    right = [predictions(one, test) == test.labels for one in (heads[best], head)]
    error = 100 * lead(*right, class_weights(test.labels))[1]
    print(
        f"{train.path.name:18s} auto {head.method:20s} {taken:5.1f}  best {best:20s} {scores[best]:5.1f}  "
        f"{taken - scores[best]:+.1f} ± {error:.1f}  {_otherwise(pair, head, heads)}  ({seconds:.0f} s)",
        flush=True,
    )
    return taken - scores[best]


def _otherwise(pair: Pair, head: Head, heads: dict[str, Head]) -> str:
    """What it had with the class means where it is without, or the other way round."""
    train, test = pair
    material = Material.of(train, None, Options(), 0)
    alone = heads.get(head.method, material.start(material.data))
    if head.meta["selection"]["auto"]["averaged"]:
        return f"alone {accuracy(alone, test):.1f}"
    return f"averaged {accuracy(averaged(alone, material, material.data), test):.1f}" * (not alone.transform)


def main() -> int:
    """Measure the sets that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=",".join(method.name for method in ltfix.methods()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    methods = args.methods.split(",")
    if args.train is not None:
        caches = open_cache(args.train), open_cache(args.test)
        sets = {f"{args.classes}-{i}": drawn(*caches, args.classes, i) for i in range(args.draws)}
    else:
        sets = {name: make(name, args.seed) for name in args.sets.split(",")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        behind = [
            measure(pair, methods, args.seed, folder / f"{name}-{args.seed}") for name, pair in sets.items()
        ]
    close = sum(points >= -WITHIN for points in behind)
    print(f"{close} of {len(behind)} within {WITHIN:g} point")
    return int(close < WANTED * len(behind))


if __name__ == "__main__":
    sys.exit(main())
