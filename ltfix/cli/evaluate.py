"""``ltfix evaluate``: what heads achieve on a feature cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltfix.cli import config, console
from ltfix.cli import options as opt
from ltfix.cli.caches import locate
from ltfix.progress import SILENT

if TYPE_CHECKING:
    from ltfix.evaluation import Report
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head


_LONG = 1e10  # multiplications a head; below, a bar would be gone before it is read


class Views(StrEnum):
    """What is done with several views of a sample."""

    mean = "mean"
    first = "first"


Heads = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="HEAD",
        help="Head files; a training cache stands for its stage-1 classifier and its counts. "
        "Default: every head in heads/ (without bars, those of this cache's D).",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="CACHE", help="Features to evaluate on.  [default: features/test]"),
]
Kind = Annotated[
    str,
    typer.Option(
        "--report",
        metavar="KIND",
        help="many-medium-few, per-class, calibration, confusion, logits or features.",
    ),
]
Bars = Annotated[
    str | None,
    typer.Option(
        "--fail-under",
        metavar="SHOT=PERCENT,…",
        help="Exit with 1 where a fitted head is below, in percent: few=20,all=45.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="HEAD",
        help="Compare with this head (a file, or stage-1) by a paired bootstrap.",
    ),
    opt.NameOrPath,
]
Tta = Annotated[Views, typer.Option("--tta", help="Several views: mean of their logits, or the first.")]


def evaluate(
    heads: Heads = None,
    cache: Cache = None,
    report: Kind = "many-medium-few",
    format: opt.Format = opt.TableFormat.table,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    fail_under: Bars = None,
    against: Against = None,
    many: opt.Many = 100,
    few: opt.Few = 20,
    tta: Tta = Views.mean,
    seed: opt.Seed = 0,
    work: opt.Work = Path(),
) -> None:
    """Print the accuracy of heads on cached features: many, medium and few-shot classes.

    The stage-1 classifier that came with the cache is the first row.
    """
    from ltfix import evaluation
    from ltfix.evaluation import gate
    from ltfix.heads.head import load_head

    gates = {} if fail_under is None else gate.parse_gates(fail_under)
    if against is None:
        config.refuse_unused(["seed"], "evaluate without --against")
    console.claim(output, overwrite=overwrite)
    opened = locate(cache, work, "test", "--cache CACHE")
    paths = heads or sorted((work / "heads").glob("*.safetensors"))
    chosen: Sequence[Path | Head] = paths
    if not heads and not gates:
        chosen = _of_these_features(map(load_head, paths), opened)
    progress = console.progress() if opened.n * opened.dim * opened.n_classes > _LONG else SILENT

    def measured(kind: str, against: str | None = None) -> Report:
        return evaluation.evaluate(
            chosen,
            opened,
            kind,
            many=many,
            few=few,
            tta=tta.value,
            against=against,
            seed=seed,
            progress=progress,
        )

    found = measured(report, against)
    accuracies = found.heads
    if gates:
        accuracies = found.heads if report == "many-medium-few" else measured("many-medium-few").heads
        gate.refuse_empty(gates, accuracies)
    console.deliver_result(found, format, output, overwrite=overwrite)
    if gates:
        gate.check_gates(gates, accuracies)


def _of_these_features(found: Iterable[Head], cache: FeatureCache) -> list[Head]:
    """The heads whose D is the cache's; if none is, all."""
    fitting: list[Head] = []
    others: list[Head] = []
    for head in found:
        (fitting if head.dim == cache.dim else others).append(head)
    if fitting and others:
        names = ", ".join(head.path.name for head in others if head.path)
        console.note(f"left out, since their D is not {cache.dim}: {names}")
    return fitting or others
