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
    cache_of,
    chosen_heads,
    known_caches,
    locate,
    open_named,
    project_of,
    usual,
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
from ltfix.evaluation.reports import BUILT_IN
from ltfix.option import Option
from ltfix.progress import SILENT

if TYPE_CHECKING:
    from ltfix.evaluation.given import HeadOrPath, NamedHead
    from ltfix.evaluation.measure import Evaluation
    from ltfix.evaluation.report import Report
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head
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
    opened_heads = _told_of_gone(opened_heads, work)
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


def _told_of_gone(heads: Evaluation, work: Path) -> Evaluation:
    """Where a head of the project is of features that are not in it, that is why it has no start."""
    untold = usual(work, "train") is None or any((work / "features").glob("*.npz"))  # which tell nothing
    if not heads.no_start or untold:
        return heads
    known = [row for row in heads.rows if row.path and row.head.meta.get("cache")]
    ours = [row for row in known if project_of(Path(row.path or "")).resolve() == work.resolve()]
    there = known_caches(work) if ours else {}
    gone = [row.name for row in ours if str(row.head.meta["cache"]) not in there]
    if not gone:
        return heads
    why = f"{gone[0]} was fitted on features that are not, or no longer, in features/"
    return dataclasses.replace(heads, no_start=f"{why}: fit it again, or name them first")


def with_start(
    chosen: Sequence[HeadOrPath], cache: FeatureCache, work: Path, names: ArrayNames
) -> Sequence[HeadOrPath]:
    """What was chosen, behind the classifier in the features of the project that a head was fitted on, in
    features/train before others, or the probe that is kept there (or the cache, to say that it has neither).

    Where heads in heads/ come from several training counts, features/train itself, whose counts decide; of
    heads of another number of classes, the largest of the caches that they were fitted on.
    """
    from ltfix.evaluation.given import open_given
    from ltfix.heads.head import BEFORE, Head

    opened, place = list(map(open_given, chosen)), usual(work, "train")
    heads = [head for head in opened if isinstance(head, Head) and head.method not in BEFORE]
    several = len({tuple(head.counts) for head in heads if head.counts is not None}) > 1
    if len(heads) < len(opened) or not (several or cache.head is None):
        return opened
    folder = (work / "heads").resolve()
    if several and any(head.path is None or head.path.parent.resolve() != folder for head in heads):
        return opened
    train = None if place is None else _unnamed(place, names)
    if several:
        places = dict.fromkeys(path for head in heads if (path := cache_of(head, work)))
        known = filter(None, [train, *(_unnamed(path, names) for path in places)])
        fitting = [it for it in known if (it.dim, it.n_classes) == (cache.dim, heads[0].n_classes)]
        return [max(fitting, key=lambda it: (it is train, it.n)), *opened] if fitting else opened
    if train is None or not any(_is_of(head, train) for head in heads):
        each = {(str(head.meta.get("cache")), head.path and head.path.parent): head for head in heads}
        place = next(filter(None, (cache_of(head, work) for head in each.values())), None)
        train = None if place is None else _unnamed(place, names)
    return [train.head or train.kept_probe() or train, *opened] if train else opened


def _unnamed(place: Path, names: ArrayNames) -> FeatureCache | None:
    """The training cache, which nobody named; a file that cannot be read is left out.

    It may have the test file's names of arrays, or the usual ones.
    """
    from ltfix.errors import InputError

    if place.is_dir():
        return open_named(place, names)
    for tried in dict.fromkeys((names, USUAL_NAMES)):
        try:
            return open_named(place, tried)
        except InputError as err:
            why = err
    console.note(f"{place} is left out, which nobody named: {why.what}")
    return None


def _is_of(head: Head, train: FeatureCache) -> bool:
    """Whether it was fitted on this cache; where its file does not say, D and counts tell."""
    known, counts = head.meta.get("cache"), head.counts
    alike = head.dim == train.dim and counts is not None and counts.tolist() == train.counts.tolist()
    return known == train.identity or (known is None and train.fingerprint is None and alike)
