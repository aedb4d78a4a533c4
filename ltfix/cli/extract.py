"""``ltfix extract``: images and a backbone in, feature caches out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltfix.cli import console, tables
from ltfix.cli import options as opt
from ltfix.cli import parsing as texts

if TYPE_CHECKING:
    import numpy as np

    from ltfix.extraction.plan import Extraction
    from ltfix.features.read import FeatureCache


def extract(
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="B", help="A timm name, torchvision:NAME, or a run folder."),
        opt.NameOrPath,
    ] = None,
    data: opt.Data = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME", help="Only this split; repeatable.  [default: all]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Each split goes to DIR/<split>.  [default: WORK/features]"
        ),
    ] = None,
    checkpoint: opt.Checkpoint = None,
    pretrained: opt.Pretrained = True,
    model_arg: opt.ModelArg = None,
    root: opt.Root = None,
    classes: opt.Classes = None,
    image_size: opt.ImageSize = None,
    crop_pct: opt.CropPct = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    interpolation: opt.Interpolation = None,
    views: Annotated[str, typer.Option("--views", help="center, or center,hflip.")] = "center",
    imbalance_factor: opt.ImbalanceFactor = None,
    imbalance_seed: opt.ImbalanceSeed = 0,
    limit: opt.Limit = None,
    precision: Annotated[
        str,
        typer.Option("--precision", help="auto, fp32, bf16 or fp16; auto: bf16 on a GPU that has it."),
    ] = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the stored features: float16, float32.")
    ] = "float16",
    batch_size: Annotated[str, typer.Option("--batch-size", help="Images a batch, or auto.")] = "auto",
    workers: Annotated[
        str, typer.Option("--workers", help="Decoding threads, or auto: one a core.")
    ] = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Run the model through torch.compile.")
    ] = False,
    on_error: Annotated[
        str, typer.Option("--on-error", help="At an unreadable image: error, or skip and list it.")
    ] = "error",
    shard_rows: Annotated[
        int,
        typer.Option(
            "--shard-rows", metavar="N", help="Samples a shard file; what an interruption can cost."
        ),
    ] = 1024,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    work: opt.Work = Path(),
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Run a frozen backbone over images and cache its features, one cache a split.

    The same command again goes on where an interrupted one stopped.
    """
    texts.demand("extract", backbone=backbone, data=data)
    given: dict[str, Any] = {
        "mean": texts.numbers(mean, "--mean"),
        "std": texts.numbers(std, "--std"),
        "model_args": texts.pairs(model_arg or [], "--model-arg", "extract"),
        "batch_size": texts.count(batch_size, "--batch-size"),
        "workers": texts.count(workers, "--workers"),
    }

    import warnings

    from ltfix.extraction.plan import prepare
    from ltfix.extraction.request import Request
    from ltfix.extraction.run import refuse_finished, run

    warnings.filterwarnings("ignore", module="PIL")  # what matters in them is an error of ours
    extraction = prepare(
        Request(
            data=str(data),
            backbone=str(backbone),
            out=out or work / "features",
            split=split or (),
            root=root,
            classes=classes,
            checkpoint=checkpoint,
            pretrained=pretrained,
            image_size=image_size,
            crop_pct=crop_pct,
            interpolation=interpolation,
            views=views,
            imbalance_factor=imbalance_factor,
            imbalance_seed=imbalance_seed,
            limit=limit,
            precision=precision,
            dtype=dtype,
            threads=threads,
            device=device,
            compile=compile_,
            on_error=on_error,
            seed=seed,
            shard_rows=shard_rows,
            overwrite=overwrite,
            **given,
        )
    )
    if dry_run:
        _describe(extraction)
        return
    refuse_finished(extraction.jobs)
    _summarise(run(extraction, console.progress()), extraction.train_counts)


def _describe(extraction: Extraction) -> None:
    """What would be written where."""
    backbone, compute = extraction.backbone, extraction.compute
    size = backbone.preprocess.image_size
    console.write(
        f"{backbone.info['name']} ({backbone.info['weights']}): D = {backbone.dim}, "
        f"{size} × {size} pixels, {compute.precision} on {compute.device}"
    )
    for note in backbone.notes:
        console.note(note)
    rows = []
    for job in extraction.jobs:
        plan = job.plan
        stored = len(plan.samples) * (plan.views * plan.dim * (2 if plan.dtype == "float16" else 4) + 8)
        counts = extraction.train_counts if extraction.train_counts is not None else job.split.counts
        sizes = [len(job.split), len(plan.classes), _shots(counts), plan.views, tables.size(stored)]
        rows.append([job.split.name, *sizes, job.folder])
    console.table(["split", "samples", "K", "many/medium/few", "views", "to be written", "cache"], rows)


def _summarise(caches: dict[str, FeatureCache], counts: np.ndarray | None) -> None:
    """One line a cache; shots by the training samples that were kept, else by ``counts`` [K]."""
    rows = []
    for name, cache in caches.items():
        if cache.head is not None:
            counts = cache.head.counts
        elif name == "train":
            counts = cache.counts
        left = "" if cache.manifest is None else len(cache.manifest.skipped) or ""
        shots = "–" if counts is None else _shots(counts)
        head = "yes" if cache.head is not None else "no"
        rows.append([name, cache.n, left, cache.n_classes, shots, cache.views, cache.dim, head, cache.path])
    columns = ["split", "samples", "left out", "K", "many/medium/few", "views", "D", "stage-1 head", "cache"]
    keep = [i for i in range(len(columns)) if columns[i] != "left out" or any(row[i] for row in rows)]
    console.table([columns[i] for i in keep], [[row[i] for i in keep] for row in rows])


def _shots(counts: np.ndarray) -> str:
    """Classes per shot, by training samples."""
    from ltfix.evaluation.shots import group

    return "/".join(str(n) for n in group(counts).n_classes.values())
