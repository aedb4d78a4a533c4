"""``ltfix evaluate``: what heads achieve on a feature cache."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ltfix.cli import console, gating
from ltfix.cli.boundary import say
from ltfix.cli.caches import (
    USUAL_NAMES,
    chosen_heads,
    locate,
)
from ltfix.cli.options import (
    ArrayNames,
    Digits,
    FewBound,
    GateOptions,
    ManyBound,
    MayOverwrite,
    PlotFile,
    RandomSeed,
    ResultFile,
    TableFormat,
    TestCache,
    WorkFolder,
)
from ltfix.cli.signature import ARGUMENT
from ltfix.cli.starts import told_of_gone, with_start
from ltfix.evaluation.reports import BUILT_IN
from ltfix.option import Option
from ltfix.progress import SILENT

if TYPE_CHECKING:
    from ltfix.evaluation.given import NamedHead
    from ltfix.evaluation.measure import Evaluation
    from ltfix.evaluation.report import Report
    from ltfix.report.figures import Drawn, Figure


_ORDERS = ("index", "gain", "recall", "count")
_LONG = 1e10  # multiplications a head; below, a progress bar would be gone before it is read


def evaluate(
    *,
    heads: Annotated[
        list[Path] | None,
        Option(
            "Head files, or a folder of them (compare), by default heads/: all in it with a gate, which "
            "refuses several K or D, else those of this cache's; a training cache stands for its stage-1 "
            "classifier and its counts.",
            metavar="HEAD",
        ),
        ARGUMENT,
    ] = None,
    cache: TestCache = None,
    report: Annotated[
        str,
        Option(f"{', '.join(BUILT_IN[:-1])} or {BUILT_IN[-1]}.", metavar="KIND"),
    ] = "many-medium-few",
    sort: Annotated[
        str, Option("Of per-class: the order, by the last head (gain: over the first).", choices=_ORDERS)
    ] = "index",
    format: TableFormat = "table",
    digits: Digits = 1,
    output: ResultFile = None,
    plot: PlotFile = None,
    overwrite: MayOverwrite = False,
    gates: GateOptions,
    against: Annotated[
        str | None,
        Option(
            "Compare with this head by a paired bootstrap: a file, or a row, as stage-1 or probe.",
            metavar="HEAD",
            path="model",
        ),
    ] = None,
    many: ManyBound = 100,
    few: FewBound = 20,
    tta: Annotated[
        str, Option("Several views: mean of their logits, or the first.", choices=("mean", "first"))
    ] = "mean",
    random_layers: Annotated[
        int, Option("Of features: the Fisher ratio behind so many random ReLU layers, too.", low=0, high=16)
    ] = 0,
    seed: RandomSeed = 0,
    names: ArrayNames = USUAL_NAMES,
    work: WorkFolder = Path(),
) -> None:
    """Print the accuracy of heads on cached features: many, medium and few-shot classes.

    The stage-1 classifier of the cache is the first row, else the classifier in the features of the project
    that a head was fitted on, or the linear probe that the fit began with, which a cache folder keeps.
    """
    from ltfix.evaluation.bars import Bars
    from ltfix.evaluation.measure import Evaluation

    format = console.format_of(format, output)
    gates, first = _with_baseline(gates, output, format)
    gates.demand(format, many, few)
    bars = Bars.of(**vars(gates))
    if against is None and gates.baseline is None and not random_layers:
        console.refuse_unused(["seed"], "evaluate without --against, --baseline or --random-layers")
    for option, of in (("sort", "per-class"), ("random_layers", "features")):
        if report != of:
            console.refuse_unused([option], f"the report {report}")
    console.claim_results(output, plot, overwrite=overwrite)
    figures = [] if plot is None else _figures_of(report)
    opened = locate(cache, work, "test", "--cache CACHE", names)
    gate = "fail_under" if gates.fail_under is not None else "baseline" if gates.given else None
    kept = chosen_heads(heads or (), opened, work, names, gate=gate)
    progress = console.progress() if opened.n * opened.dim * opened.n_classes > _LONG else SILENT

    more = {"tta": tta, "random_layers": random_layers, "seed": seed, "progress": progress}
    opened_heads = Evaluation.of(with_start(kept, opened, work, names), opened, many=many, few=few, **more)
    _tell_of_others(heads or (), opened_heads.rows, work / "heads")
    opened_heads = told_of_gone(opened_heads, work)
    found = _in_order(opened_heads.report(report, against=against, bars=bars), sort)
    if plot is not None:
        console.draw(_drawn(figures, opened_heads, found if against else None), plot, overwrite)
    _tell_notes(opened_heads, found, gated=gates.given, below=format == "table")
    _deliver(found, format, output, digits, overwrite, first)


def look_up(report: str, gates: GateOptions, **rest: object) -> None:
    """Refuse a report that there is none of, and half of what a fall is held by."""
    from ltfix.evaluation.bars import demand_both
    from ltfix.evaluation.reports import lookup

    lookup(report)
    demand_both(gates.baseline, gates.max_drop)


def _with_baseline(gates: GateOptions, output: Path | None, format: str) -> tuple[GateOptions, bool]:
    """The gates as they can be held here, and whether ``output`` is the baseline, of which this is the first.

    Raises:
        UsageError: it is one that is there, which a build that misses would replace, or it is to be no JSON.
        InputError: the baseline is not there, and ``output`` is another file or none.
    """
    from ltfix.errors import InputError, UsageError, nearby

    last = gates.baseline
    if last is None:
        return gates, False
    there, same = last.exists(), output is not None and output.resolve() == last.resolve()
    if there and same:
        hint = "write another file, and put it in the baseline's place where the gates hold"
        what = "this is the baseline, which a build that misses would replace"
        raise UsageError(what, where="output", hint=hint)
    if gates.max_drop is None:  # the baseline is told to be idle
        return gates, False
    if not there and not same:
        more = f"`--format json --output {shlex.quote(str(last))}`"
        hint = f"a first build has none: this command with {more} writes it, where --fail-under holds"
        hint = " ".join(filter(None, (nearby(last), hint)))
        raise InputError("no such baseline", where=last, hint=hint)
    if there:
        return gates, False
    if format != "json":
        raise UsageError("a baseline is JSON", where="output", hint="add format=json")
    console.note(f"{output} is not there yet: held to no earlier build, written where the gates hold")
    return dataclasses.replace(gates, baseline=None, max_drop=None), True


def _deliver(
    found: Report, format: str, output: Path | None, digits: int, overwrite: bool, first: bool
) -> None:
    """Write what was found, then hold it to its gates; the ``first`` baseline is written where they hold."""
    if first:
        gating.demand(found)
    console.deliver_result(found, format, output, digits, overwrite=overwrite)
    if not first:
        gating.demand(found, noted=format == "table" and (output is None or console.is_stdout(output)))


def _tell_notes(heads: Evaluation, found: Report, *, gated: bool, below: bool) -> None:
    """The notes that are not ``below`` a table; with gates also what the shots are by, which decides them."""
    for line in () if below else heads.otherwise if gated else found.notes:
        console.note(line)
    for line in heads.other_counts if gated else ():
        say(f"ltfix: {line}")


def _in_order(found: Report, sort: str) -> Report:
    from ltfix.evaluation.reports.per_class import ordered

    return ordered(found, sort) if found.kind == "per-class" else found


def _drawn(figures: Sequence[Figure], evaluation: Evaluation, found: Report | None) -> Drawn:
    """What is drawn of an evaluation; ``found``: its report, where that was asked for against a head."""
    from ltfix.report.subject import Subject

    subject = Subject(evaluation, reports={} if found is None else {found.kind: found})
    return [(figure, data) for figure in figures if (data := figure.data(subject))]


def _figures_of(report: str) -> list[Figure]:
    """What draws a report; UsageError where nothing does."""
    from ltfix.errors import UsageError
    from ltfix.report.figures import figures_of

    found = figures_of(report)
    if not found:
        raise UsageError(f"there is no picture of the report {report!r}", where="plot")
    return found


def _tell_of_others(given: Sequence[Path], rows: Sequence[NamedHead], others: Path) -> None:
    """Say that heads are there, where something was named and none of it is one."""
    if given and all(row.is_start for row in rows) and any(others.glob("*.safetensors")):
        command = shlex.join(["ltfix", "evaluate", *map(str, [*given, others])])
        console.note(f"no head was named, so those in {others} are left out: `{command}` takes them too")
