"""``ltfix compare``: every method × seeds on one pair of caches, one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltfix.cli import console
from ltfix.cli import options as opt

if TYPE_CHECKING:
    from ltfix.features.cache import FeatureCache


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
    shared = dict(pair(text, "ltfix compare") for text in set_ or [])
    asked = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    caches = (
        locate(train, work, "train", "--train"),
        locate(test, work, "test", "--test"),
    )
    held = default_val(val, train, work)

    from ltfix.backbones.device import resolve_device, use_threads
    from ltfix.stage2.compare import compare as run
    from ltfix.stage2.options import Options

    use_threads(threads)
    folder = save_heads or work / "compare"
    found = run(
        *caches,
        asked,
        seeds=range(seed, seed + seeds),
        val=held,
        values=shared,
        options=Options(tune=tune, device=str(resolve_device(device))),
        folder=folder,
        overwrite=overwrite,
        many=many,
        few=few,
        progress=console.progress(),
    )
    console.deliver_result(found, format, output, overwrite=overwrite)
    console.note(f"heads are in {folder}")


def pair(text: str, where: str) -> tuple[str, str]:
    """``KEY=VALUE`` as its two parts, the key with ``_``.

    Raises:
        UsageError: there is no ``=``.
    """
    from ltfix.errors import UsageError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set takes KEY=VALUE, found {text!r}", where=where)
    return name.replace("-", "_"), value


def locate(given: Path | None, work: Path, split: str, option: str) -> FeatureCache:
    """A cache that was given, or the split's in the default layout.

    Raises:
        InputError: neither is there, or it is wrong.
    """
    from ltfix.errors import InputError
    from ltfix.features.read import open_cache

    usual = work / "features" / split
    if given is None and not usual.exists():
        hint = f"`ltfix extract` writes them, or name a cache with {option}"
        raise InputError(f"no {split} features", where=usual, hint=hint)
    return open_cache(given or usual)


def default_val(given: Path | None, train: Path | None, work: Path) -> FeatureCache | None:
    """The validation cache: given, or the default layout's beside its training cache."""
    from ltfix.features.read import open_cache

    usual = work / "features" / "val"
    place = given or (usual if train is None and usual.exists() else None)
    return None if place is None else open_cache(place)
