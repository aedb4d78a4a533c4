"""``ltfix fit``: a method and a cache in, a head out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltfix.cli import config, console
from ltfix.cli.options import Device, Overwrite, Seed, Threads, Work

if TYPE_CHECKING:
    from ltfix.features.read import FeatureCache
    from ltfix.heads.head import Head

_VALUES = ("lr", "epochs", "batch_size", "momentum", "weight_decay", "schedule", "sampler", "metric")


def fit(
    cache: Annotated[
        Path | None,
        typer.Argument(metavar="CACHE", help="Training features.  [default: features/train]"),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="M", help="What to fit (`ltfix methods` lists them).")
    ] = "samn",
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="freq|norm", help="SAMN's class metric.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="HEAD", help="The head file.  [default: heads/<name>.safetensors]"),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option("--val", metavar="CACHE", help="Validation features.  [default: features/val if there]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the features.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Samples a step.")] = None,
    momentum: Annotated[float | None, typer.Option("--momentum", help="SGD momentum.")] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="L2 penalty on what trains.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="cosine|constant", help="Rate over the epochs.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", metavar="NAME", help="How samples are drawn.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", metavar="NAME", help="Use this loss in the method's place.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="KIND", help="Start: stage1 (else the probe), probe, random or class-mean."
        ),
    ] = None,
    views_used: Annotated[
        str,
        typer.Option(
            "--views-used", metavar="KIND", help="Views: one at random per sample and step, first, or all."
        ),
    ] = "random",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the method's own; repeatable."),
    ] = None,
    work: Work = Path(),
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Retrain the classifier on cached features with one method and write a head.

    Values that are not given are the published ones (`ltfix methods NAME` shows them).
    """
    from time import perf_counter

    from ltfix.stage2.table import find_method

    options = {name: value for name, value in locals().items() if name in _VALUES and value is not None}
    entry = find_method(method)
    given, origins = _given_values(entry, options, set_ or [])
    if out is not None:
        console.refuse_existing(out, overwrite=overwrite)

    import ltfix
    from ltfix.backbones.device import resolve_device, use_threads
    from ltfix.stage2.naming import head_name
    from ltfix.stage2.values import resolve

    use_threads(threads)
    train, held = _caches(cache, val, work)
    if out is None:  # the name needs no fit, so an existing file is refused before one
        out = work / "heads" / f"{head_name(resolve(entry, given), loss)}.safetensors"
        console.refuse_existing(out, overwrite=overwrite)
    began = perf_counter()
    head = ltfix.fit(
        train,
        method,
        val=held,
        seed=seed,
        init=init,
        views_used=views_used,
        loss=loss,
        device=str(resolve_device(device)),
        origins=origins,
        progress=console.progress(),
        **given,
    )
    seconds = perf_counter() - began
    head.save(out)
    _summarise(head, train, held, out, seconds)


def _given_values(
    entry: Any, options: dict[str, Any], pairs: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What was asked of the method, by name, and where it came from."""
    from ltfix.errors import UsageError

    used = entry.values()
    config.refuse_unused([name for name in options if name not in used], f"method {entry.name}")
    given = {name: value for name, value in options.items() if name in used}
    origins = {name: str(config.origin(name)) for name in given}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set takes KEY=VALUE, found {pair!r}", where="ltfix fit")
        key = name.replace("-", "_")
        given[key], origins[key] = value, str(config.origin("set"))
    return given, origins


def _caches(cache: Path | None, val: Path | None, work: Path) -> tuple[FeatureCache, FeatureCache | None]:
    """The training cache, and the validation cache where one is given or lies in the default place."""
    import ltfix
    from ltfix.errors import InputError

    place = cache or work / "features" / "train"
    if cache is None and not place.exists():
        raise InputError(
            "no training features", where=place, hint="run `ltfix extract`, or name a cache: ltfix fit CACHE"
        )
    default = work / "features" / "val"
    held = val or (default if cache is None and default.exists() else None)
    return ltfix.open_cache(place), None if held is None else ltfix.open_cache(held)


def _summarise(head: Head, train: FeatureCache, held: FeatureCache | None, out: Path, seconds: float) -> None:
    """What was fitted, how it does on what it saw and on validation samples, and where it is."""
    import ltfix

    values = head.meta["values"]
    shown = ", ".join(f"{k.replace('_', '-')} {v['value']}" for k, v in values.items())
    start = head.meta["init"]["from"]
    console.write(f"{head.method}: K = {head.n_classes}, D = {head.dim}, start {start}\n{shown}")
    chosen = head.meta["selection"]
    if "chosen" in chosen:
        console.write(f"chosen by {chosen['by']} on the {chosen['on']}: {', '.join(chosen['chosen'])}")
    rows = []
    for name, cache in (("train", train), ("val", held)):
        if cache is not None:
            row = ltfix.evaluate(head, cache).to_dict()["heads"][-1]
            shots = [row[shot] for shot in ("all", "many", "medium", "few")]
            rows.append([name, *("–" if value is None else f"{100 * value:.1f}" for value in shots)])
    console.table(["accuracy on", "all", "many", "medium", "few"], rows)
    console.write(f"{seconds:.1f} s; head written to {out}")
