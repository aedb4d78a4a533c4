"""``ltfix compare``: every method × seeds on one pair of caches, one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltfix.cli import console
from ltfix.cli import options as opt
from ltfix.cli import parsing as texts
from ltfix.cli.caches import locate, locate_val


def compare(
    train: opt.TrainCache = None,
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="CACHE", help="Features to score on.  [default: features/test]"),
    ] = None,
    val: opt.ValCache = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            metavar="A,B,…",
            help="Methods, each with values where wanted: los,los:delta=0.9.  [default: all that can run]",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Seeds of each method, trained side by side.")
    ] = 5,
    tune: opt.Tune = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For every method that takes it; repeatable."),
    ] = None,
    save_heads: Annotated[
        Path | None,
        typer.Option(
            "--save-heads", metavar="DIR", help="Keep finished heads here.  [default: WORK/compare]"
        ),
    ] = None,
    feature_scale: opt.FeatureScale = "auto",
    normalize: opt.Normalize = "auto",
    format: opt.Format = opt.TableFormat.table,
    output: opt.Output = None,
    many: opt.Many = 100,
    few: opt.Few = 20,
    work: opt.Work = Path(),
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Fit all methods with several seeds, score them on the test features and print one table.

    Finished heads are kept: the same command after an interruption fits only what is missing, and
    --seeds 10 after --seeds 5 only five more. Nothing is chosen on the test features.
    """
    console.claim(output, overwrite=overwrite)
    shared = dict(texts.pair(text, "--set", "compare") for text in set_ or [])
    asked = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    caches = (
        locate(train, work, "train", "--train CACHE"),
        locate(test, work, "test", "--test CACHE"),
    )
    held = locate_val(val, train, work)

    from ltfix.compute import resolve_device, use_threads
    from ltfix.stage2.methods.options import Options
    from ltfix.stage2.tables.compare import compare as run

    use_threads(threads)
    folder = save_heads or work / "compare"
    found = run(
        *caches,
        asked,
        seeds=range(seed, seed + seeds),
        val=held,
        values=shared,
        options=Options(
            tune=tune,
            feature_scale=feature_scale,
            normalize=normalize,
            device=str(resolve_device(device)),
        ),
        folder=folder,
        overwrite=overwrite,
        many=many,
        few=few,
        progress=console.progress(),
    )
    console.deliver_result(found, format, output, overwrite=overwrite)
    console.note(f"heads are in {folder}")
