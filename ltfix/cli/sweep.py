"""``ltfix sweep``: how one method's accuracy depends on its values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from ltfix.cli import console
from ltfix.cli.caches import locate, locate_val
from ltfix.cli.options import LossName, PlotFile, SweepOptions, pairs
from ltfix.errors import UsageError
from ltfix.option import Option, RunOptions
from ltfix.stage2.methods.options import Options


def sweep(
    *,
    method: Annotated[
        str, Option("What to fit (`ltfix methods` lists them), or my.py:NAME.", metavar="M")
    ] = "samn",
    over: Annotated[
        list[str] | None,
        Option(
            "A value and its points: delta=0.5,0.9, or lr=1e-5..1e-1[:N], a logarithmic range of N "
            "points, else two a decade; repeatable.",
            metavar="KEY=POINTS",
        ),
    ] = None,
    seeds: Annotated[int, Option("Seeds at every point.", low=1)] = 1,
    test: Annotated[
        Path | None, Option("Score on test features: for reports, never to choose.", metavar="CACHE")
    ] = None,
    loss: LossName = None,
    set_: Annotated[Mapping[str, str], pairs("A value that stays the same; repeatable.")],
    options: Annotated[
        Options, ("init", "preset", "feature_scale", "normalize", "stream", "precision", "no_cache")
    ],
    plot: PlotFile = None,
    table: SweepOptions,
    run: RunOptions,
) -> None:
    """Fit one method at every point of a grid of its values and print how its accuracy depends on them.

    Without --test, points are scored on validation features, or on a class-wise cut of the training
    features that is left out of the fits.
    """
    from ltfix.stage2.methods.compatibility import open_caches

    form = console.format_of(table.format, table.output)
    if not over:
        raise UsageError("nothing to sweep", where="ltfix sweep", hint="name a value: --over lr=1e-5..1e-1")
    grid, options, values = look_up(method, over, loss, set_, options)
    for text, points in zip(over, grid.values(), strict=True):
        if ".." in text and ":" not in text and len(points) == 2:
            console.note(f"{text} is {' and '.join(points)}, two a decade: {text}:5 is five points")
    console.claim_results(table.output, plot, overwrite=run.overwrite)
    cache, held = (
        locate(table.train, table.work, "train", "--train CACHE", table),
        locate_val(table.val, table.train, table.work, table),
    )
    tested = None if test is None else locate(test, table.work, "test", "--test CACHE", table)
    open_caches(cache, held, options, tested)

    from ltfix.compute import resolve_device, use_threads
    from ltfix.stage2.tables import sweep as tables

    use_threads(run.threads)
    found = tables.sweep(
        cache,
        method,
        grid,
        seeds=range(run.seed, run.seed + seeds),
        test=tested,
        val=held,
        loss=loss,
        values=values,
        options=dataclasses.replace(options, device=str(resolve_device(run.device))),
        many=table.many,
        few=table.few,
        progress=console.progress(),
    )
    if plot is not None:
        from ltfix.report.figures import sensitivity

        swept = {"sweeps": [sensitivity.sweep_data(found.to_dict())]}
        console.draw([(sensitivity, swept)], plot, run.overwrite)
    console.deliver_result(found, form, table.output, table.digits, overwrite=run.overwrite)


def look_up(
    method: str,
    over: Sequence[str] | None,
    loss: str | None,
    set_: Mapping[str, str],
    options: Options,
    **rest: object,
) -> tuple[dict[str, list[str]], Options, dict[str, Any]]:
    """The points of every value that is swept, how to fit, and the other values; without torch.

    Raises:
        UsageError: a value is there twice, or cannot be read; as :func:`ltfix.stage2.tables.ranges.grid_of`.
    """
    from ltfix.cli.fit import given_values
    from ltfix.stage2.methods.registry import find_method
    from ltfix.stage2.methods.values import with_loss
    from ltfix.stage2.tables.ranges import grid_of, parse_over

    grid: dict[str, list[str]] = {}
    for text in over or ():
        name, points = parse_over(text)
        if name in grid:
            raise UsageError(f"{name} is swept twice", where=f"--over {text}")
        grid[name] = points
    entry = with_loss(find_method(method), loss)
    values, _ = given_values(entry, {}, set_)
    grid_of(method, loss, grid, values)
    return grid, options, values
