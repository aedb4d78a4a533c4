"""What more views of the training images buy: ``python benchmarks/views.py TRAIN TEST [--seeds 5] [--tune]``.

TRAIN is a cache of ``--views center,hflip,train:N``. Each method is fitted on the first 1, 2, 5 and 10 of its
views and on the random ones alone; all are tested on the same views of TEST. Prints a table of
docs/comparison.md: All, and Few in brackets, mean and deviation over seeds in percent.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

import ltfix
from ltfix.features.cache import FeatureCache


def chosen(cache: FeatureCache, first: int, last: int) -> FeatureCache:
    """The views ``first`` to ``last`` of a cache."""
    fixed = cache.tested_views
    names = str(cache.manifest.preprocess["views"]).split(",")[first : min(last, fixed)]
    drawn = last - max(first, fixed)
    names += [f"train:{drawn}"] if drawn > 0 else []
    pixels = {**cache.manifest.preprocess, "views": ",".join(names), "random_views": max(drawn, 0)}
    manifest = dataclasses.replace(
        cache.manifest,
        views=last - first,
        preprocess=pixels,
        fingerprint=f"{cache.fingerprint}:{first}:{last}",
    )
    shards = [shard[:, first:last].copy() for shard in cache.shards]
    return FeatureCache(
        cache.path / ",".join(names), shards, cache.labels, head=cache.head, manifest=manifest
    )


def main() -> None:
    """Fit, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--methods", default="ce,samn,los,crt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    train, test = ltfix.open_cache(args.train), ltfix.open_cache(args.test)
    parts = [(0, n) for n in (1, 2, 5, 10) if n <= train.views] + [(train.tested_views, train.views)]
    table, heads = dict[str, list[str]](), list[str]()
    for first, last in parts:
        cache = chosen(train, first, last)
        heads.append(f"{cache.views}: `{cache.path.name}`")
        found = ltfix.compare(cache, test, args.methods.split(","), seeds=args.seeds, tune=args.tune)
        for row in sorted(
            found.rows, key=lambda row: (row["method"] not in ("stage-1", "probe"), row["name"])
        ):
            table.setdefault(row["name"], []).append(f"{told(row['all'])} ({told(row['few'])})")
        print(heads[-1], file=sys.stderr)
    print(f"| All (Few) | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}")
    for name, cells in table.items():
        print(f"| {' | '.join([name, *cells])} |")


def told(score: dict[str, float | None]) -> str:
    """Mean and deviation over the seeds in percent."""
    spread = "" if score["std"] is None else f" ± {100 * score['std']:.1f}"
    return f"{100 * score['mean']:.1f}{spread}"


if __name__ == "__main__":
    main()
