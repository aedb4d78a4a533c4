"""``ltfix fit``: a method and a cache in, a head out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltfix.cli import config, console
from ltfix.cli import options as opt
from ltfix.cli import parsing as texts
from ltfix.cli.caches import locate, locate_val

if TYPE_CHECKING:
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head

AUTO = "auto"
_VALUES = ("lr", "epochs", "batch_size", "momentum", "weight_decay", "schedule", "sampler", "metric")


def fit(
    cache: Annotated[
        Path | None,
        typer.Argument(metavar="CACHE", help="Training features.  [default: features/train]"),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="M", help="What to fit (`ltfix methods` lists them), or auto.")
    ] = "samn",
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="freq|norm", help="SAMN's class metric.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="HEAD", help="The head file.  [default: heads/<name>.safetensors]"),
    ] = None,
    val: opt.ValCache = None,
    val_fraction: Annotated[
        float | None,
        typer.Option("--val-fraction", help="Cut this share of every class from train.  [default: 0.2]"),
    ] = None,
    val_per_class: Annotated[
        int | None, typer.Option("--val-per-class", min=1, help="Cut so many samples a class from train.")
    ] = None,
    tune: opt.Tune = False,
    select: Annotated[
        str,
        typer.Option(
            "--select", metavar="last|best-val", help="Keep the last epoch, or the best on validation."
        ),
    ] = "last",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Fit so many seeds; one head each and a summary.")
    ] = None,
    epochs: opt.Epochs = None,
    lr: opt.Rate = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Samples a step.")] = None,
    momentum: opt.Momentum = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="L2 penalty on what trains.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="cosine|constant", help="Rate over the epochs.")
    ] = None,
    sampler: opt.Sampler = None,
    loss: opt.Loss = None,
    init: opt.Init = None,
    views_used: Annotated[
        str,
        typer.Option(
            "--views-used", metavar="KIND", help="Views: one at random per sample and step, first, or all."
        ),
    ] = "random",
    feature_scale: opt.FeatureScale = "auto",
    normalize: opt.Normalize = "auto",
    precision: Annotated[
        str,
        typer.Option("--precision", metavar="fp32|bf16", help="Type of the matrix products."),
    ] = "fp32",
    stream: Annotated[
        str,
        typer.Option("--stream", metavar="WHEN", help="Read features block-wise: auto, always or never."),
    ] = "auto",
    set_: opt.OwnValues = None,
    work: opt.Work = Path(),
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Retrain the classifier on cached features with one method and write a head.

    Values that are not given are the published ones (`ltfix methods NAME` shows them).
    """
    from time import perf_counter

    from ltfix.stage2.methods.registry import Method, find_method
    from ltfix.stage2.methods.values import with_loss

    typed = {name: value for name, value in locals().items() if name in _VALUES and value is not None}
    entry: Method | str = method
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if method == AUTO:
        config.refuse_unused([*typed, *(["loss"] if loss else []), *(["set"] if set_ else [])], "method auto")
        loss = None
    else:
        found = find_method(method)
        if loss is not None and found.loss is None:
            config.refuse_unused(["loss"], f"method {found.name}")
            loss = None
        entry = with_loss(found, loss)
        given, origins = given_values(entry, typed, set_ or [])

    from ltfix.compute import use_threads
    from ltfix.stage2.fit import Options, plan_fit

    use_threads(threads)
    options = Options(
        init=init,
        views_used=views_used,
        feature_scale=feature_scale,
        normalize=normalize,
        tune=tune,
        select=select,
        val_fraction=val_fraction,
        val_per_class=val_per_class,
        stream=stream,
        device=device,
        precision=precision,
    )
    plan = plan_fit(entry, given, loss=loss, origins=origins, options=options)
    numbers = [seed] if seeds is None else list(range(seed, seed + seeds))
    train, held = locate(cache, work, "train", "ltfix fit CACHE"), locate_val(val, cache, work)
    places = _places(out, work, plan.name, numbers, many=seeds is not None)
    for place in places:
        console.claim(place, overwrite=overwrite)
    began = perf_counter()
    heads = plan.train(train, numbers, val=held, progress=console.progress())
    seconds = perf_counter() - began
    for head, place in zip(heads, places, strict=True):
        head.save(place)
    _summarise(heads, train, held)
    where = f"{places[0]}" if len(places) == 1 else f"{places[0]} … {places[-1].name}"
    console.write(f"{seconds:.1f} s; written to {where}")


def given_values(
    entry: Any, typed: Mapping[str, Any], pairs: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What was asked of a method, by name, and where it came from: its own options, then ``--set`` pairs.

    Raises:
        UsageError: an option the method does not use, or a pair without ``=``.
    """
    from ltfix.stage2.methods.registry import methods

    used = entry.values()
    config.refuse_unused([name for name in typed if name not in used], f"method {entry.name}")
    given = {name: value for name, value in typed.items() if name in used}
    origins = {name: str(config.origin(name)) for name in given}
    for pair in pairs:
        (key, value), source = texts.pair(pair, "--set", "fit"), str(config.origin("set"))
        if key not in used and source != "option" and any(key in m.values() for m in methods()):
            console.note(
                f"--set {key.replace('_', '-')} from the {source} is not used by method {entry.name}"
            )
        else:
            given[key], origins[key] = value, source
    return given, origins


def _places(out: Path | None, work: Path, name: str, seeds: Sequence[int], *, many: bool) -> list[Path]:
    """Where the heads go, one a seed.

    Raises:
        UsageError: to stdout.
    """
    if str(out) == "-":
        from ltfix.errors import UsageError

        raise UsageError("a head goes to a file, not to stdout", where="--out -")
    place = out or work / "heads" / f"{name}.safetensors"
    if not many:
        return [place]
    return [place.with_name(f"{place.stem}-s{seed}{place.suffix}") for seed in seeds]


def _summarise(heads: Sequence[Head], train: FeatureCache, held: FeatureCache | None) -> None:
    """What was fitted, and how it does on what it saw and on validation samples."""
    head = heads[0]
    values = head.meta["values"]
    _tell_auto(head.meta["selection"].get("auto"))
    shown = ", ".join(f"{k.replace('_', '-')} {_short(v['value'])}" for k, v in values.items())
    start = head.meta["init"]["from"]
    console.write(f"{head.method}: K = {head.n_classes}, D = {head.dim}, start {start}")
    selection, coordinates = head.meta["selection"], head.meta.get("coordinates", {})
    if coordinates.get("normalize", "none") != "none" or "feature_scale" in selection.get("chosen", ()):
        shown += f", features {coordinates['normalize']}, scale {coordinates['feature_scale']:.3g}"
    console.write(shown)
    if "score" in selection:
        score, start_score = (f"{100 * selection[key]:.1f}" for key in ("score", "start_score"))
        console.write(f"{selection['by']} {score}, the start's {start_score}, on {selection['on']}")
    if selection.get("chosen"):
        console.write(f"chosen there: {', '.join(selection['chosen']).replace('_', ' ')}")
    if isinstance(selection["epoch"], int):
        console.write(f"best epoch on {selection['on']}: {selection['epoch']}")
    rows = []
    for name, cache in (("train", train), ("val", held)):
        if cache is not None:
            rows.append([name, *_accuracies(heads, cache)])
    console.table(["accuracy on", "all", "many", "medium", "few"], rows)


def _tell_auto(auto: Mapping[str, Any] | None) -> None:
    """What ``--method auto`` tried, by score, and why it took what it took."""
    if auto is None:
        return
    console.write(f"tried on {auto['on']}:")
    rows = [
        [
            row["method"],
            f"{100 * row['score']:.1f}",
            f"{100 * row['behind']:.1f} ± {100 * row['error']:.1f}",
            row["changes"],
        ]
        for row in auto["tried"]
    ]
    console.table(["method", auto["by"], "behind the best", "changes"], rows)
    for name, why in auto["left_out"].items():
        console.write(f"left out {name}: {why}")
    console.write(f"taken: {auto['why']}\n")


def _accuracies(heads: Sequence[Head], cache: FeatureCache) -> list[str]:
    """All, Many, Medium and Few in percent; mean ± deviation over several heads."""
    import ltfix
    from ltfix.evaluation.scores import spread
    from ltfix.evaluation.shots import SHOTS
    from ltfix.evaluation.table import format_value

    rows = [row for row in ltfix.evaluate(list(heads), cache).heads if row["method"] != "stage-1"]
    return [format_value(spread(row[shot] for row in rows), "spread") for shot in ("all", *SHOTS)]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
