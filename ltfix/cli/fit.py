"""``ltfix fit``: a method and a cache in, a head out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from ltfix.cli import config, console
from ltfix.cli.caches import locate, locate_val
from ltfix.cli.inspect import written
from ltfix.cli.options import ArrayNames, LossName, ValCache, WorkFolder, WrittenFormat, pairs, refuse_pairs
from ltfix.cli.signature import ARGUMENT
from ltfix.errors import Unused
from ltfix.option import Option, RunOptions
from ltfix.stage2.methods.catalog import TRAINING
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import Method, find_method
from ltfix.stage2.methods.registry import methods as known_methods

if TYPE_CHECKING:
    from ltfix.evaluation.table import ColumnKind
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head
    from ltfix.stage2.fit import FitPlan

AUTO = "auto"
OWN = {name: value for name, value in find_method("samn").values().items() if name in ("metric", *TRAINING)}

TraceFile = Annotated[
    Path | None,
    Option(
        "Write loss, row norms by class and shot and, with validation features, accuracies of every epoch "
        "here, as JSON lines.",
        metavar="FILE",
    ),
]


def fit(
    *,
    cache: Annotated[
        Path | None, Option("Training features.  [default: features/train]", metavar="CACHE"), ARGUMENT
    ] = None,
    method: Annotated[
        str, Option("What to fit (`ltfix methods` lists them), auto, or my.py:NAME.", metavar="M")
    ] = "samn",
    values: Annotated[dict[str, Any], OWN],
    methods: Annotated[
        str | None, Option("Of method auto: choose among these.  [default: all]", metavar="A,B,…")
    ] = None,
    loss: LossName = None,
    set_: Annotated[Mapping[str, str], pairs("A value without an option of its own; repeatable.")],
    options: Options,
    out: Annotated[
        Path | None, Option("The head file.  [default: heads/<name>.safetensors]", metavar="HEAD")
    ] = None,
    val: ValCache = None,
    names: ArrayNames,
    trace: TraceFile = None,
    folder: Annotated[
        Path | None,
        Option(
            "Of method auto: keep tuned methods here.  [default: WORK/auto]", metavar="DIR", flag="save-heads"
        ),
    ] = None,
    seeds: Annotated[int | None, Option("Fit so many seeds; one head each and a summary.", low=1)] = None,
    format: WrittenFormat = "table",
    work: WorkFolder = Path(),
    run: RunOptions,
) -> None:
    """Retrain the classifier on cached features with one method and write a head.

    Values that are not given are the published ones (`ltfix methods NAME` shows them).
    """
    options = dataclasses.replace(options, device=run.device)
    plan = look_up(method, values, set_, options, methods=methods, loss=loss)
    numbers = [run.seed] if seeds is None else list(range(run.seed, run.seed + seeds))
    train = locate(cache, work, "train", "ltfix fit CACHE", names)
    held = locate_val(val, cache, work, names)
    places = _places(out, work, plan.name, numbers, many=seeds is not None)
    console.claim(*places, trace, overwrite=run.overwrite)
    plan.open(train, held)

    from ltfix import files
    from ltfix.compute import use_threads
    from ltfix.progress import Noted
    from ltfix.stage2.fitting.trace import Trace

    use_threads(run.threads)
    told = None if trace is None else Trace()
    began = perf_counter()
    kept: dict[str, Any] = {"folder": folder or work / AUTO, "overwrite": run.overwrite}
    progress = Noted(console.progress())
    heads = plan.train(train, numbers, val=held, trace=told, progress=progress, **kept)
    seconds = perf_counter() - began
    asked: dict[str, Any] = {"seeds": seeds, "seed": run.seed} if seeds and method == AUTO else {}
    if folder is not None:  # a head holds no path of this machine
        near = folder.relative_to(here) if folder.is_relative_to(here := Path.cwd()) else folder
        asked["save_heads"] = f"DIR/{near.name}" if near.is_absolute() else str(near)
    if asked:  # what was chosen for all of them cannot be asked of one
        asked |= heads[0].meta.get("asked", {})
        heads = [dataclasses.replace(head, meta={**head.meta, "asked": asked}) for head in heads]
    packed = {place: head.pack(place) for head, place in zip(heads, places, strict=True)}
    if trace is not None and told is not None:
        packed[trace] = told.pack()
    files.write_together(packed, overwrite=run.overwrite)
    accuracy = {n: _accuracies(heads, c) for n, c in (("train", train), ("val", held)) if c is not None}
    if format == "json":
        written(places, seconds=seconds, accuracy=accuracy, notes=[*map(console.one_line, progress.notes)])
    else:
        _summarise(heads[0], accuracy)
        where = f"{places[0]}" if len(places) == 1 else f"{places[0]} … {places[-1].name}"
        console.write(f"{seconds:.1f} s; written to {where}")


def look_up(
    method: str,
    values: Mapping[str, Any],
    set_: Mapping[str, str],
    options: Options,
    *,
    methods: str | None,
    loss: str | None,
    **rest: object,
) -> FitPlan:
    """The plan of what was asked, looked up and checked without torch.

    Raises:
        UsageError: as :func:`ltfix.stage2.fit.plan_fit`. Unused: what does nothing beside this method.
    """
    from ltfix.stage2.fit import plan_fit
    from ltfix.stage2.methods.values import with_loss

    among = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    if method == AUTO:
        console.refuse_unused([*values, "loss", "set", "trace"], "method auto")
        return plan_fit(AUTO, options=options, methods=among)
    entry = with_loss(find_method(method), loss)
    idle = ["save_heads", *(["trace"] if entry.loss is None else [])]
    console.refuse_unused(idle, f"method {entry.name}")
    given, origins = given_values(entry, values, set_)
    own = entry.loss if loss is not None else None
    return plan_fit(entry, given, loss=own, origins=origins, options=options, methods=among)


def given_values(
    entry: Method, typed: Mapping[str, Any], pairs: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What was asked of a method, by name, and where it came from: its own options, then ``--set`` pairs.

    Raises:
        UsageError: an option of the command among the pairs. Unused: a value of other methods.
    """
    used = entry.values({**typed, **pairs})
    console.refuse_unused([name for name in typed if name not in used], f"method {entry.name}")
    refuse_pairs(pairs, used)
    for key in pairs:
        if key not in used and any(key in method.values() for method in known_methods()):
            raise Unused(f"method {entry.name} has no value {key!r}", where="set", values=[key])
    origins = {name: str(config.origin(name)) for name in typed}
    return {**typed, **pairs}, {**origins, **dict.fromkeys(pairs, str(config.origin("set")))}


def _places(out: Path | None, work: Path, name: str, seeds: Sequence[int], *, many: bool) -> list[Path]:
    """Where the heads go, one a seed (UsageError: to stdout)."""
    if console.is_stdout(out):
        from ltfix.errors import UsageError

        raise UsageError("a head goes to a file, not to stdout", where=f"--out {out}")
    place = out or work / "heads" / f"{name}.safetensors"
    if not many:
        return [place]
    return [place.with_name(f"{place.stem}-s{seed}{place.suffix}") for seed in seeds]


def _summarise(head: Head, accuracy: Mapping[str, Mapping[str, Any]]) -> None:
    """What was fitted, and how it does on what it saw and on validation samples."""
    from ltfix.evaluation.table import format_value
    from ltfix.stage2.loop.scaling import told_scaling

    values = head.meta["values"]
    _tell_auto(head.meta["selection"].get("auto"))
    shown = ", ".join(f"{k.replace('_', '-')} {_short(v['value'])}" for k, v in values.items())
    start = head.meta["init"].get("file", head.meta["init"]["from"])
    console.tell(f"{head.method}: K = {head.n_classes}, D = {head.dim}, start {start}")
    selection, scaling = head.meta["selection"], head.meta.get("coordinates")
    if scaling is not None:  # an untouched start was not fitted
        console.tell(shown)
        told = told_scaling(scaling["normalize"], scaling["feature_scale"])
        console.tell(f"features while fitting: {told}")
    if "score" in selection:
        score, start_score = (f"{100 * selection[key]:.1f}" for key in ("score", "start_score"))
        gain = "" if selection["score"] > selection["start_score"] else " (no gain)"
        auto = selection.get("auto", {})
        means = f" (without the class means {100 * auto['alone']:.1f})" if auto.get("averaged") else ""
        told = f"{score}{means}, the start's {start_score}{gain}"
        console.tell(f"{selection['by']} {told}, on {selection['on']}")
    if selection.get("chosen"):
        console.tell(f"chosen there: {', '.join(selection['chosen']).replace('_', ' ')}")
    if isinstance(selection["epoch"], int):
        console.tell(f"best epoch {selection['epoch']}, on {selection['on']}")
    if "calibration" in head.meta:
        if "budget" in selection and "score" in selection:
            console.tell(
                "the score above is on what the budget left to choose on; below, all cuts and samples count"
            )
        tell_calibration(head.meta["calibration"])
    rows = [
        [n, *(format_value(score, "spread") for score in found.values())] for n, found in accuracy.items()
    ]
    console.table(["accuracy on", "all", "many", "medium", "few"], rows)


def tell_calibration(record: Mapping[str, Any]) -> None:
    """The temperatures, what chose them, and what they changed there."""
    from ltfix.evaluation.table import format_value

    found = ", ".join(f"{name} {t:.3g}".removeprefix("all ") for name, t in record["temperature"].items())
    console.write(f"temperature {found}: least {record['by']}, on {record['on']}")
    kinds: dict[str, ColumnKind] = {"accuracy": "percent", "ece": "percent", "nll": "number"}
    rows = [
        [label, *(format_value(record[when][key], kind) for key, kind in kinds.items())]
        for when, label in (("before", "without it"), ("after", "with it"))
    ]
    console.table(["", "mean class accuracy", "ECE", "NLL"], rows)
    n, fall = record["n_effective"], record["before"]["nll"] - record["after"]["nll"]
    if 2 * n * fall < 4 * len(record["temperature"]):
        told = f"the NLL falls by no more than chance lets it on {record['n']} samples"
        told += f" (which count as {n:.0f}, every class alike)" if n < 0.95 * record["n"] else ""
        console.note(f"{told}: they do not tell this temperature from 1, and their ECE is a rough number")


def _tell_auto(auto: Mapping[str, Any] | None) -> None:
    """What ``--method auto`` tried, by score, and why it took what it took."""
    if auto is None:
        return
    console.tell(f"tried on {auto['on']}:")
    rows = [
        [
            row["method"],
            f"{100 * row['score']:.1f}",
            f"{100 * row['behind']:.1f} ± {100 * row['error']:.1f}",
            row["changes"],
        ]
        for row in auto["tried"]
    ]
    console.table(["method", auto["by"], "behind the best (± standard error)", "changes"], rows)
    for name, why in auto["left_out"].items():
        console.tell(f"left out {name}: {why}")
    console.tell(f"taken: {auto['why']}")
    console.write("")


def _accuracies(heads: Sequence[Head], cache: FeatureCache) -> dict[str, Any]:
    """All, Many, Medium and Few, each its mean and its deviation over several heads."""
    import ltfix
    from ltfix.evaluation.scores import spread
    from ltfix.evaluation.shots import SHOTS
    from ltfix.heads.head import BEFORE

    rows = [row for row in ltfix.evaluate(list(heads), cache).heads if row["method"] not in BEFORE]
    return {shot: spread(row[shot] for row in rows) for shot in ("all", *SHOTS)}


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
