"""``ltfix compare``: every method × seeds on one pair of caches, one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from ltfix.cli import console
from ltfix.cli.caches import locate, locate_val
from ltfix.cli.options import (
    FewBound,
    ManyBound,
    ResultFile,
    TableFormat,
    TrainCache,
    ValCache,
    WorkFolder,
    pairs,
)
from ltfix.option import Option, RunOptions
from ltfix.stage2.methods.options import Options


def compare(
    *,
    train: TrainCache = None,
    test: Annotated[
        Path | None, Option("Features to score on.  [default: features/test]", metavar="CACHE")
    ] = None,
    val: ValCache = None,
    methods: Annotated[
        str | None,
        Option(
            "Methods, each with values where wanted: los,los:delta=0.9.  [default: all that can run]",
            metavar="A,B,…",
        ),
    ] = None,
    seeds: Annotated[int, Option("Seeds of each method, trained side by side.", low=1)] = 5,
    options: Annotated[Options, ("tune", "feature_scale", "normalize")],
    set_: Annotated[Mapping[str, str], pairs("For every method that takes it; repeatable.")],
    save_heads: Annotated[
        Path | None, Option("Keep finished heads here.  [default: WORK/compare]", metavar="DIR")
    ] = None,
    format: TableFormat = "table",
    output: ResultFile = None,
    many: ManyBound = 100,
    few: FewBound = 20,
    work: WorkFolder = Path(),
    run: RunOptions,
) -> None:
    """Fit all methods with several seeds, score them on the test features and print one table.

    Finished heads are kept: the same command after an interruption fits only what is missing, and
    --seeds 10 after --seeds 5 only five more. Nothing is chosen on the test features.
    """
    console.claim(output, overwrite=run.overwrite)
    asked = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    caches = (
        locate(train, work, "train", "--train CACHE"),
        locate(test, work, "test", "--test CACHE"),
    )
    held = locate_val(val, train, work)

    from ltfix.compute import resolve_device, use_threads
    from ltfix.stage2.tables import compare as tables

    use_threads(run.threads)
    folder = save_heads or work / "compare"
    found = tables.compare(
        *caches,
        asked,
        seeds=range(run.seed, run.seed + seeds),
        val=held,
        values=set_,
        options=dataclasses.replace(options, device=str(resolve_device(run.device))),
        folder=folder,
        overwrite=run.overwrite,
        many=many,
        few=few,
        progress=console.progress(),
    )
    console.deliver_result(found, format, output, overwrite=run.overwrite)
    console.note(f"heads are in {folder}")
