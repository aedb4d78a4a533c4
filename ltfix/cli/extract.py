"""``ltfix extract``: images and a backbone in, feature caches out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from ltfix.cli import config, console, tables
from ltfix.cli.caches import refuse_other_weights
from ltfix.cli.inspect import written
from ltfix.cli.options import WorkFolder, WrittenFormat
from ltfix.extraction.request import Request
from ltfix.option import Option
from ltfix.ranks import ranks

if TYPE_CHECKING:
    import numpy as np

    from ltfix.extraction.plan import Extraction, SplitJob
    from ltfix.features.read import FeatureCache

_DONE = {"done": "kept", "resume": "resumed"}  # by what was found in its place


def extract(
    request: Request,
    dry_run: Annotated[bool, Option("Say what would be written, and stop.")] = False,
    format: WrittenFormat = "table",
    work: WorkFolder = Path(),
) -> None:
    """Run a frozen backbone over images and cache its features, one cache a split.

    The same command again goes on where an interrupted one stopped. Given to several processes at once, by
    `torchrun --nproc-per-node N -m ltfix extract …` or on hosts that share the folder, the work is shared.
    """
    from ltfix.extraction.opening import open_data

    out = work / request.out if config.origin("out") == "default" else request.out
    refuse_other_weights(request.backbone)
    if request.checkpoint is not None and not request.pretrained:
        console.refuse_unused(("pretrained",), "the checkpoint, which brings the weights,")
    request = dataclasses.replace(request, out=out, beside=work / "features")
    began = perf_counter()
    opened = open_data(request)

    from ltfix.extraction.plan import prepare
    from ltfix.extraction.run import run

    extraction = prepare(opened)
    if dry_run:
        _describe(extraction, format)
        return
    caches = run(extraction, console.progress())
    if not ranks().first:
        return
    if format == "json":
        seconds = perf_counter() - began
        found = {job.split.name: job.state for job in extraction.jobs}
        states = [_DONE.get(found[name], "made") for name in caches]
        kept = [
            f"{job.folder} is finished already and kept" for job in extraction.jobs if job.state == "done"
        ]
        notes = [*extraction.notes, *kept]
        written([cache.path for cache in caches.values()], "", states, seconds=seconds, notes=notes)
    else:
        _summarise(caches, extraction.train_counts)


def _describe(extraction: Extraction, format: str) -> None:
    """What would be written where, or why nothing would be."""
    from ltfix.extraction.run import refuse_taken
    from ltfix.features.store import refuse_unfinished

    refuse_taken(extraction.jobs)
    for job in extraction.jobs:
        if job.state == "resume":
            refuse_unfinished(job.folder, job.plan)
    backbone, compute = extraction.backbone, extraction.compute
    planned = [_planned(job) for job in extraction.jobs]
    if format == "json":
        about = {"backbone": backbone.info, "device": str(compute.device), "precision": compute.precision}
        written([], **about, notes=extraction.notes, planned=planned)
        return
    console.write(
        f"{backbone.info['name']} ({backbone.info['weights']}): D = {backbone.dim}, "
        f"{backbone.preprocess.takes}, {compute.precision} on {compute.device}"
    )
    for note in extraction.notes:
        console.note(note)
    rows = []
    for job, told in zip(extraction.jobs, planned, strict=True):
        counts = extraction.train_counts if extraction.train_counts is not None else job.split.counts
        size = tables.size(told["bytes"])
        left = {"done": "finished already", "resume": f"the rest of {size}"}.get(job.state, size)
        rows.append(
            [told["split"], told["n"], told["classes"], _shots(counts), told["views"], left, job.folder]
        )
    console.table(["split", "samples", "K", "many/medium/few", "views", "to be written", "cache"], rows)


def _planned(job: SplitJob) -> dict[str, Any]:
    """What a cache would be; ``bytes``: of features and labels, all in all."""
    plan, n = job.plan, len(job.plan.samples)
    size = n * (plan.views * plan.dim * (2 if plan.dtype == "float16" else 4) + 8)
    sizes = {"n": n, "classes": len(plan.classes), "views": plan.views, "dim": plan.dim, "bytes": size}
    return {
        "path": str(job.folder),
        "split": job.split.name,
        "state": job.state,
        "dtype": plan.dtype,
        **sizes,
    }


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
        n_classes = "–" if cache.unlabelled else cache.n_classes
        rows.append([name, cache.n, left, n_classes, shots, cache.views, cache.dim, head, cache.path])
    columns = ["split", "samples", "left out", "K", "many/medium/few", "views", "D", "stage-1 head", "cache"]
    keep = [i for i in range(len(columns)) if columns[i] != "left out" or any(row[i] for row in rows)]
    console.table([columns[i] for i in keep], [[row[i] for i in keep] for row in rows])


def _shots(counts: np.ndarray) -> str:
    """Classes per shot, by training samples."""
    from ltfix.evaluation.shots import group

    return "/".join(str(n) for n in group(counts).n_classes.values())
