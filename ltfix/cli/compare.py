"""``ltfix compare``: every method × seeds on one pair of caches, one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from ltfix.cli import console, gating
from ltfix.cli.caches import locate, locate_val
from ltfix.cli.options import GateOptions, PlotFile, TableOptions, pairs, refuse_pairs
from ltfix.errors import UsageError
from ltfix.option import Option, RunOptions
from ltfix.stage2.methods.options import Options

AgainstRow = Annotated[
    str | None,
    Option(
        "Test every row against this one (or this method's one), Holm-corrected; the corrected p, the "
        "interval and the tests of Many, Medium and Few are in json and csv.",
        metavar="ROW",
    ),
]


def compare(
    *,
    test: Annotated[
        Path | None, Option("Features to score on.  [default: features/test]", metavar="CACHE")
    ] = None,
    methods: Annotated[
        str | None,
        Option(
            "Methods, each with values where wanted: los,los:delta=0.9,my.py:NAME,ce:loss=my.py:NAME.  "
            "[default: all that can run]",
            metavar="A,B,…",
        ),
    ] = None,
    seeds: Annotated[int, Option("Seeds of each method, trained side by side.", low=1)] = 5,
    options: Annotated[
        Options,
        ("tune", "budget", "init", "preset", "feature_scale", "normalize", "stream", "precision", "no_cache"),
    ],
    set_: Annotated[Mapping[str, str], pairs("For every method that takes it; repeatable.")],
    folder: Annotated[
        Path | None,
        Option("Keep finished heads here.  [default: WORK/compare]", metavar="DIR", flag="save-heads"),
    ] = None,
    against: AgainstRow = None,
    gates: Annotated[GateOptions, ("fail_under",)],
    plot: PlotFile = None,
    table: TableOptions,
    run: RunOptions,
) -> None:
    """Fit all methods with several seeds, score them on the test features and print one table.

    Finished heads are kept: the same command after an interruption fits only what is missing, and
    --seeds 10 after --seeds 5 only five more (but of --budget, which is that of all seeds together); heads
    that were fitted otherwise are not replaced without --overwrite. Nothing is chosen on the test features.
    """
    from ltfix.stage2.methods.compatibility import open_caches

    form = console.format_of(table.format, table.output)
    gates.demand(form, table.many, table.few)
    console.claim_results(table.output, plot, overwrite=run.overwrite)
    asked, options, values = look_up(methods, options, set_, gates)
    caches = (
        locate(table.train, table.work, "train", "--train CACHE", table),
        locate(test, table.work, "test", "--test CACHE", table),
    )
    held = locate_val(table.val, table.train, table.work, table, caches[1])
    open_caches(caches[0], held, options, caches[1])

    from ltfix.compute import resolve_device, use_threads
    from ltfix.stage2.tables import compare as tables

    use_threads(run.threads)
    folder = folder or table.work / "compare"
    found = tables.compare(
        *caches,
        asked,
        seeds=range(run.seed, run.seed + seeds),
        val=held,
        values=values,
        options=dataclasses.replace(options, device=str(resolve_device(run.device))),
        folder=folder,
        overwrite=run.overwrite,
        against=against,
        fail_under=gates.fail_under,
        many=table.many,
        few=table.few,
        progress=console.progress(),
    )
    if plot is not None:
        from ltfix.report.figures import comparison

        rows = comparison.comparison_data(found.title, found.to_dict())
        console.draw([(comparison, {"comparisons": [rows]})], plot, run.overwrite)
    console.deliver_result(found, form, table.output, table.digits, overwrite=run.overwrite)
    if form != "table" or not (table.output is None or console.is_stdout(table.output)):
        for name, why in found.left_out.items():  # which the table on the terminal says itself
            console.note(f"{name} is left out: {why}")
    console.note(f"heads are in {folder}")
    gating.demand(found)


def look_up(
    methods: str | None, options: Options, set_: Mapping[str, str], gates: GateOptions, **rest: object
) -> tuple[Sequence[str] | None, Options, dict[str, Any]]:
    """The methods, how to fit them and their values, looked up before torch is imported."""
    from ltfix.evaluation import gate
    from ltfix.stage2.tables.entries import SCORES, entries

    asked = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    options.demand_used()
    try:
        entries(asked, set_, tune=options.tune)
    except UsageError as err:
        if err.where == "set":  # what no method takes may be an option
            refuse_pairs(set_)
        raise
    if gates.fail_under is not None:
        gate.parse_gates(gates.fail_under, known=SCORES)
    return asked, options, dict(set_)
