"""``ltfix sweep``: how one method's accuracy depends on its values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltfix.cli import console
from ltfix.cli import options as opt
from ltfix.cli import parsing as texts
from ltfix.cli.caches import locate, locate_val


def sweep(
    train: opt.TrainCache = None,
    method: Annotated[
        str, typer.Option("--method", metavar="M", help="What to fit (`ltfix methods` lists them).")
    ] = "samn",
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="KEY=POINTS",
            help="A value and its points: delta=0.5,0.9, or lr=1e-5..1e-1[:N], a logarithmic range of N "
            "points, else two a decade; repeatable.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds at every point.")] = 1,
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="CACHE", help="Score on test features: for reports, never to choose."),
    ] = None,
    val: opt.ValCache = None,
    loss: opt.Loss = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value that stays the same; repeatable."),
    ] = None,
    init: opt.Init = None,
    feature_scale: opt.FeatureScale = "auto",
    normalize: opt.Normalize = "auto",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it: .png, .pdf or .svg (needs the extra `plot`)."),
    ] = None,
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
    """Fit one method at every point of a grid of its values and print how its accuracy depends on them.

    Without --test, points are scored on validation features, or on a class-wise cut of the training
    features that is left out of the fits.
    """
    from ltfix.errors import UsageError
    from ltfix.stage2.tables.ranges import parse_over

    if not over:
        raise UsageError("nothing to sweep", where="ltfix sweep", hint="name a value: --over lr=1e-5..1e-1")
    for place in (plot, output):
        console.claim(place, overwrite=overwrite)
    grid: dict[str, list[str]] = {}
    for text in over:
        name, points = parse_over(text)
        if name in grid:
            raise UsageError(f"{name} is swept twice", where=f"--over {text}")
        grid[name] = points
    if plot is not None:
        from ltfix.stage2.tables.plot import demand_plotting

        demand_plotting(plot)
    given = dict(texts.pair(text, "--set", "sweep") for text in set_ or [])
    cache, held = locate(train, work, "train", "--train CACHE"), locate_val(val, train, work)
    tested = None if test is None else locate(test, work, "test", "--test CACHE")

    from ltfix.compute import resolve_device, use_threads
    from ltfix.stage2.methods.options import Options
    from ltfix.stage2.tables.sweep import sweep as run

    use_threads(threads)
    found = run(
        cache,
        method,
        grid,
        seeds=range(seed, seed + seeds),
        test=tested,
        val=held,
        loss=loss,
        values=given,
        options=Options(
            init=init,
            feature_scale=feature_scale,
            normalize=normalize,
            device=str(resolve_device(device)),
        ),
        many=many,
        few=few,
        progress=console.progress(),
    )
    if plot is not None:
        from ltfix.stage2.tables.plot import plot as draw

        draw(found, plot)
        console.note(f"drawn in {plot}")
    console.deliver_result(found, format, output, overwrite=overwrite)
