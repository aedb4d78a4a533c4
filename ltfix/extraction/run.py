"""Running the frozen backbone over the shards that are pending."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from typing import Annotated

import msgspec
import numpy as np
import torch
from torch import nn

from ltfix import files
from ltfix.backbones.load import Backbone
from ltfix.compute import MOST_THREADS, available_cpus, use_threads
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.extraction.decode import DecodedBatch, decode_batches
from ltfix.extraction.plan import Extraction, SplitJob
from ltfix.features.layout import Shard
from ltfix.features.manifest import PARTIAL
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import CacheWriter
from ltfix.heads.head import STAGE1, Head
from ltfix.images.decode import UNTURNED, register_formats
from ltfix.images.split import Split
from ltfix.images.watch import Remarks
from ltfix.progress import SILENT, Progress
from ltfix.records import Positive, record_of
from ltfix.tensorfile import load_tensors


@dataclasses.dataclass(frozen=True, slots=True)
class _Resolved:
    """What a resumed extraction takes over from its first start."""

    batch_size: Positive
    threads: Annotated[int, msgspec.Meta(ge=1, le=MOST_THREADS)]


def run(extraction: Extraction, progress: Progress | None = None) -> dict[str, FeatureCache]:
    """Write the caches that are not there yet.

    Returns:
        The cache of every split, train first.

    Raises:
        UsageError: a finished cache of another request is there.
        InputError: an unreadable image, a feature that overflows, an unfinished cache of another request.
        EnvironmentFault: no memory, no space, no permission; another process is writing one of them.
    """
    progress = progress or SILENT
    refuse_taken(extraction.jobs)
    with contextlib.ExitStack() as held:
        for job in extraction.jobs:
            if job.state != "done":
                held.enter_context(files.lock(job.folder))
        jobs = [job.again(extraction.request.overwrite) for job in extraction.jobs]
        refuse_taken(jobs)  # by one that held the folder meanwhile
        return _write(dataclasses.replace(extraction, jobs=jobs), progress)


def _write(extraction: Extraction, progress: Progress) -> dict[str, FeatureCache]:
    """Every cache, those that are finished read and the others written."""
    for note in extraction.notes:
        progress.note(note)
    writers = [(job, _open_writer(extraction, job, progress)) for job in extraction.jobs]
    model = _ready(extraction) if any(writer for _, writer in writers) else extraction.backbone.model
    caches: dict[str, FeatureCache] = {}
    counts = extraction.train_counts
    for job, writer in writers:
        if writer is None:
            cache = open_cache(job.folder)
        else:
            _write_shards(extraction, job.split, writer, model, progress)
            if job.split.name == "train":
                counts = _kept_counts(writer)
            cache = writer.publish(_stage1_head(extraction.backbone, job.split, counts))
        if job.split.name == "train":
            counts = cache.counts
            _tell_empty(counts, progress)
        caches[job.split.name] = cache
    return caches


def refuse_taken(jobs: list[SplitJob]) -> None:
    """Finished caches of the same request are kept; one of another request is in the way.

    Raises:
        UsageError: there is one.
    """
    for job in jobs:
        if job.state == "taken":
            raise UsageError(
                "a feature cache of another extraction is there",
                where=job.folder,
                hint="overwrite=True replaces it, out=DIR writes elsewhere",
            )


def _open_writer(extraction: Extraction, job: SplitJob, progress: Progress) -> CacheWriter | None:
    if job.state == "done":
        progress.note(f"{job.folder} is finished already and kept")
        return None
    writer = CacheWriter(job.folder, job.plan, overwrite=extraction.request.overwrite and job.state == "todo")
    if writer.resumed:
        n = len(writer.plan.shards())
        done = n - len(writer.pending())
        progress.note(f"{job.folder} is unfinished: going on after {done} of {n} shards")
        if writer.doubted:
            progress.note(f"made again, as their bytes or images have changed: {writer.doubted} shards")
        asked, size = extraction.request.batch_size, _resolved(writer).batch_size
        if asked is not None and asked != size:
            progress.note(f"the batch size stays {size}, as at the first start")
    return writer


def _resolved(writer: CacheWriter) -> _Resolved:
    return record_of(_Resolved, writer.run, writer.folder / PARTIAL)


def _ready(extraction: Extraction) -> nn.Module:
    """The model on its device; the backbone's own object, so nothing is kept twice."""
    model = extraction.compute.place(extraction.backbone.model)
    if extraction.request.compile:
        model.compile()
    return model


def _write_shards(
    extraction: Extraction, split: Split, writer: CacheWriter, model: nn.Module, progress: Progress
) -> None:
    """Extract and write every pending shard; batches never straddle two."""
    request, resolved = extraction.request, _resolved(writer)
    size = resolved.batch_size
    use_threads(resolved.threads)
    workers = available_cpus() if request.workers is None else request.workers
    pending = writer.pending()
    progress.start(f"extract {split.name}", sum(shard.stop - shard.start for shard in pending), "images")
    ranges = [
        range(start, min(start + size, shard.stop))
        for shard in pending
        for start in range(shard.start, shard.stop, size)
    ]
    told = Remarks(split.name)
    with contextlib.closing(_decode(extraction, split, ranges, workers)) as batches:
        for shard in pending:
            features, skipped, remarks = _shard(extraction, shard, batches, model, progress)
            writer.write_shard(shard, features, skipped, {text for _, text in remarks} - {UNTURNED})
            for index, text in remarks:
                told.add(split.samples[index], text)
    progress.finish()
    for line in told.lines():
        progress.note(line)


def _shard(
    extraction: Extraction,
    shard: Shard,
    batches: Iterator[DecodedBatch],
    model: nn.Module,
    progress: Progress,
) -> tuple[np.ndarray, list[int], list[tuple[int, str]]]:
    """Features [kept, V, D] float32 of one shard, the samples without, and remarks on samples."""
    views, dim = len(extraction.views), extraction.backbone.dim
    rows, skipped, remarks, seen = [], list[int](), list[tuple[int, str]](), shard.start
    while seen < shard.stop:
        batch = next(batches)
        for index, err in batch.failed:
            if extraction.request.on_error == "error":
                raise err
            progress.note(f"left out: {err.what} ({err.where})")
            skipped.append(index)
        if batch.pixels is not None:
            rows.append(_forward(extraction, model, batch.pixels).reshape(-1, views, dim))
        remarks += batch.remarks
        count = len(batch.index) + len(batch.failed)
        seen += count
        progress.advance(count)
    kept = np.concatenate(rows) if rows else np.empty((0, views, dim), np.float32)
    return kept, skipped, remarks


def _forward(extraction: Extraction, model: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """[B, V, S, S, 3] uint8 to features [B·V, D] float32."""
    compute, size = extraction.compute, pixels.shape[2]
    try:
        with compute.inference():
            images = torch.from_numpy(pixels.reshape(-1, size, size, 3)).to(compute.device)
            features = model(extraction.backbone.preprocess.normalize(images))
            array: np.ndarray = features.float().cpu().numpy()
            return array
    except torch.cuda.OutOfMemoryError as err:
        raise EnvironmentFault(
            f"out of memory with batches of {len(pixels)}",
            where=compute.device,
            hint=f"try batch_size={max(len(pixels) // 2, 1)}",
        ) from err


def _decode(
    extraction: Extraction, split: Split, ranges: list[range], workers: int
) -> Generator[DecodedBatch, None, None]:
    crop, views = extraction.backbone.preprocess.crop, extraction.views
    register_formats()

    def render(index: int) -> np.ndarray:
        try:
            return views.render(split.open(index), index, crop)
        except InputError as err:
            if err.where is not None:
                raise
            raise InputError(err.what, where=split.samples[index], hint=err.hint) from err

    return decode_batches(ranges, render, workers)


def _kept_counts(writer: CacheWriter) -> np.ndarray:
    """[K] samples per class in the shards: those skipped are not training samples."""
    labels = [load_tensors(writer.folder / shard.file)[0]["labels"] for shard in writer.plan.shards()]
    return np.bincount(np.concatenate(labels), minlength=len(writer.plan.classes))


def _stage1_head(backbone: Backbone, split: Split, counts: np.ndarray | None) -> Head | None:
    """The backbone's classifier as a cache keeps it, with the data's classes and training counts [K]."""
    if backbone.head is None:
        return None
    meta = {"backbone": backbone.info}
    return dataclasses.replace(
        backbone.head, method=STAGE1, classes=split.classes, counts=counts, meta=meta, path=None
    )


def _tell_empty(counts: np.ndarray, progress: Progress) -> None:
    empty = int((counts == 0).sum())
    if empty:
        progress.note(f"{empty} of {len(counts)} classes have no training sample")
