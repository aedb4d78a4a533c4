"""Rewrite the marked tables of docs/comparison.md and docs/sensitivity.md, and the ablations of methods.md.

    python docs/make_comparison.py [--caches NAME=TRAIN,TEST …] [--only NAME] [--page FILE] [--work DIR]

A table is marked ``<!-- compare: NAME OPTIONS -->`` or ``<!-- sweep: NAME OPTIONS -->`` … ``<!-- end -->``,
with the options of the command of that name, or ``<!-- ablation: NAME ROWS -->``, with rows as
``ltfix compare`` takes them, of which the first is what others are tested against. ``c100`` is the pair of
packed CIFAR-100-LT features, in ``../shared/data`` beside the clone or below ``$LTFIX_SHARED``; a table whose
caches are not given stays.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PAGES = ("comparison.md", "sensitivity.md", "methods.md")
FACTORS = (10, 50, 100)
DATA = Path(os.environ.get("LTFIX_SHARED", HERE.parents[1] / "shared")) / "data"
BLOCK = re.compile(r"(<!-- (compare|sweep|ablation): (\S+)([^>]*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
Pair = tuple[Path, Path]


def main() -> None:
    """Rewrite every marked table whose caches are known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--caches", action="append", default=[], metavar="NAME=TRAIN,TEST")
    parser.add_argument("--only", help="tables of these caches alone")
    parser.add_argument("--page", choices=PAGES, help="tables of this page alone")
    parser.add_argument(
        "--work", type=Path, help="keep finished heads here, so that an interrupted run goes on"
    )
    args = parser.parse_args()
    known: dict[str, Pair] = {
        "c100": (DATA / "c100_if100_train.safetensors", DATA / "c100_if100_test.safetensors")
    }
    for text in args.caches:
        name, _, both = text.partition("=")
        train, _, test = both.partition(",")
        known[name] = Path(train), Path(test)
    if args.only is not None:
        if args.only not in known:
            parser.error(f"no caches called {args.only}")
        known = {args.only: known[args.only]}
    made: dict[str, Callable[[Pair, str, Path | None], str]] = {
        "compare": compared,
        "sweep": swept,
        "ablation": ablated,
    }
    for path in (HERE / page for page in PAGES if args.page in (None, page)):
        for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
            head, kind, name, options, body, tail = block.groups()
            if name in known:
                began, spent = time.perf_counter(), time.process_time()
                table = made[kind](known[name], options, args.work and args.work / name)
                seconds = time.perf_counter() - began, time.process_time() - spent
                told = f"{seconds[0]:.0f} s, {seconds[1]:.0f} s of processor"
                print(f"{kind} {name}{options}: {told}", file=sys.stderr)
                text = path.read_text(encoding="utf-8")  # after every table: they take minutes
                path.write_text(text.replace(head + body + tail, head + table + tail), encoding="utf-8")


def compared(pair: Pair, options: str, work: Path | None) -> str:
    """The table of ``ltfix compare``."""
    from ltfix.evaluation.formats import to_markdown
    from ltfix.stage2.methods.options import Options
    from ltfix.stage2.tables.compare import compare

    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--methods")
    args = parser.parse_args(shlex.split(options))
    asked = args.methods and args.methods.split(",")
    found = compare(*pair, asked, seeds=args.seeds, options=Options(tune=args.tune), folder=work)
    return to_markdown([dataclasses.replace(found.tables()[0], title="", notes=())])


def swept(pair: Pair, options: str, work: Path | None) -> str:
    """The table of ``ltfix sweep --test``, and in a line by how much All moves."""
    from ltfix.evaluation.formats import to_markdown
    from ltfix.stage2.tables.ranges import parse_over
    from ltfix.stage2.tables.sweep import sweep

    parser = argparse.ArgumentParser()
    parser.add_argument("--method")
    parser.add_argument("--over", action="append")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args(shlex.split(options))
    train, test = pair
    found = sweep(train, args.method, dict(map(parse_over, args.over)), seeds=args.seeds, test=test)
    table = found.tables()[0]
    shown = tuple(column for column in table.columns if column.key not in ("class_mean", "diverged"))
    known = [(s["value"], s["all"]["range"]) for s in found.spreads if s["all"]["range"] is not None]
    moves = [f"{value.replace('_', '-')} moves All by {100 * moved:.1f} points" for value, moved in known]
    return to_markdown([dataclasses.replace(table, columns=shown, title="", notes=(", ".join(moves) + ".",))])


def ablated(pair: Pair, options: str, work: Path | None) -> str:
    """All of rows at three imbalance factors, five seeds, and their paired differences from the first."""
    from ltfix.stage2.tables.compare import compare
    from ltfix.stage2.tables.entries import entries

    asked = options.split()
    names = {entry.name: row for entry, row in zip(entries(asked, {}, tune=False), asked, strict=True)}
    first = next(iter(names))
    cells: dict[str, list[str]] = {name: [] for name in names}
    few: dict[str, list[str]] = {name: [] for name in names}
    for factor in FACTORS:
        with tempfile.TemporaryDirectory() as folder:
            train, test = (frequent(path, pair[0], factor, Path(folder)) for path in pair)
            place = work and work / f"ablation-{factor}"
            found = {r["name"]: r for r in compare(train, test, asked, folder=place, against=first).rows}
        for name in names:
            row = found.get(name)  # a fit that diverges is left out
            lead = row and row["against"]
            cells[name] += [_percent(row["all"]) if row else "diverges", _interval(lead) if lead else "–"]
            if found[first]["few"]:
                few[name].append(_percent(row["few"]) if row else "–")
    titles = [text for factor in FACTORS for text in (f"All, {factor}", "− the first")]
    titles += [f"Few, {factor}" for factor in FACTORS[-len(few[first]) :]]
    lines = [["row", *titles], ["---"] * (len(titles) + 1)]
    lines += [[f"`{row.replace(':', ' ')}`", *cells[name], *few[name]] for name, row in names.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def frequent(path: Path, train: Path, factor: int, folder: Path) -> Path:
    """The samples of the classes that have at least n_max/factor in training, and their rows of stage 1."""
    import numpy as np

    import ltfix

    counts, cache = ltfix.open_cache(train).counts, ltfix.open_cache(path)
    kept = np.flatnonzero(counts >= counts.max() / factor)
    inside = np.isin(cache.labels, kept)
    found = {
        "features": np.concatenate(cache.shards)[inside],
        "labels": np.searchsorted(kept, cache.labels[inside]),
    }
    if cache.head is not None:
        found |= {"head.weight": cache.head.weight[kept], "head.bias": cache.head.bias[kept]}
    np.savez(folder / path.with_suffix(".npz").name, **found)
    return folder / path.with_suffix(".npz").name


def _percent(score: dict[str, float]) -> str:
    return f"{100 * score['mean']:.2f} ± {100 * (score['std'] or 0):.2f}"


def _interval(lead: dict[str, float]) -> str:
    """A difference in points with its 95 % interval."""
    value, low, high = (100 * lead[key] + 0.0 for key in ("value", "low", "high"))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
