"""Running the frozen backbone over the shards that are pending."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Generator, Iterable, Iterator
from typing import Annotated

import msgspec
import numpy as np

from ltfix.backbones.load import Backbone
from ltfix.backbones.mlp import rows_for
from ltfix.compute import available_cpus, use_threads
from ltfix.errors import UsageError
from ltfix.extraction.decode import DecodedBatch, decode_batches, renderer
from ltfix.extraction.forward import Forward
from ltfix.extraction.found import difference
from ltfix.extraction.plan import Extraction, SplitJob
from ltfix.extraction.share import ShardContent, SharedCache, enter, pause
from ltfix.features.layout import Shard
from ltfix.features.manifest import PARTIAL
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import CacheWriter
from ltfix.heads.head import STAGE1, Head
from ltfix.images.decode import register_formats
from ltfix.images.split import Split
from ltfix.images.watch import Remarks
from ltfix.option import MOST_THREADS
from ltfix.progress import SILENT, Progress
from ltfix.ranks import OneProgress, end_together, first_then_others, ranks
from ltfix.records import Positive, record_of
from ltfix.tensorfile import load_tensors


@dataclasses.dataclass(frozen=True, slots=True)
class _Resolved:
    """What a resumed extraction takes over from its first start."""

    batch_size: Positive
    threads: Annotated[int, msgspec.Meta(ge=1, le=MOST_THREADS)]


def run(extraction: Extraction, progress: Progress | None = None) -> dict[str, FeatureCache]:
    """Write the caches that are not there yet, beside other processes that are given the same.

    Returns:
        The cache of every split, train first.

    Raises:
        UsageError: a finished cache of another request is there.
        InputError: an unreadable image, a feature that overflows, an unfinished cache of another request.
        EnvironmentFault: no memory, no space, no permission; another extraction is writing one of them.
    """
    progress = progress or SILENT
    refuse_taken(extraction.jobs)
    own = ranks()
    if own.first:
        for note in extraction.notes:
            progress.note(note)
    with contextlib.ExitStack() as stack:
        overwrite = extraction.request.overwrite and own.first
        opened = first_then_others(
            lambda: enter([job for job in extraction.jobs if job.state != "done"], overwrite, stack)
        )
        jobs = {job.split.name: (job, None) for job in extraction.jobs} | {
            job.split.name: (job, cache) for job, cache in opened
        }
        refuse_taken([job for job, _ in jobs.values()])  # by one that held the folder meanwhile
        if own.first:
            extraction.indexes.keep()
            for job, cache in jobs.values():
                _tell_state(extraction, job, cache, progress)
        shown = progress if own.size == 1 else OneProgress(progress)
        caches = _write(extraction, list(jobs.values()), shown)
        end_together()
        return caches


def _write(
    extraction: Extraction, jobs: list[tuple[SplitJob, SharedCache | None]], progress: Progress
) -> dict[str, FeatureCache]:
    """Every cache, those that are finished read and the others written."""
    caches: dict[str, FeatureCache] = {}
    counts, forward = extraction.train_counts, None
    for job, shared in jobs:
        if shared is None:
            cache = open_cache(job.folder)
        else:
            forward = forward or Forward(
                extraction.backbone, extraction.compute, compile=extraction.request.compile
            )
            _write_shards(extraction, shared, forward, progress)
            cache = shared.finish(
                functools.partial(_stage1_head, extraction.backbone, job.split, shared.writer, counts)
            )
        if job.split.name == "train":
            counts = cache.counts
            empty = int((counts == 0).sum())
            if empty and ranks().first:
                progress.note(f"{empty} of {len(counts)} classes have no training sample")
        caches[job.split.name] = cache
    return caches


def refuse_taken(jobs: list[SplitJob]) -> None:
    """Finished caches of the same request are kept; one of another request is in the way (UsageError)."""
    for job in jobs:
        if job.state == "taken":
            told, keeps = difference(job.folder, job.plan)
            differ, joins = "pictures differ" in told, "and `ltfix.import_features([...])` joins both"
            what = f"a feature cache of another extraction is there; {told}"
            others = "source.root" in told or differ
            other = "out=DIR or, of a source without splits, split=NAME" if others else "out=DIR"
            hint = f"{keeps}overwrite=True replaces it, {other} writes elsewhere"
            if "source.root" in told:
                hint += f", {joins}"
            elif differ and "source." not in told:
                hint += f"; new pictures alone go into a folder of their own, with split=NAME, {joins}"
            raise UsageError(what, where=job.folder, hint=hint)


def _tell_state(extraction: Extraction, job: SplitJob, cache: SharedCache | None, progress: Progress) -> None:
    """What was found in a folder."""
    if cache is None:
        progress.note(f"{job.folder} is finished already and kept")
        return
    writer = cache.writer
    if writer.resumed:
        n = len(writer.plan.shards())
        progress.note(f"{job.folder} is unfinished: going on after {n - len(cache.left)} of {_shards(n)}")
        if writer.doubted:
            progress.note(f"made again, as their bytes or images have changed: {_shards(writer.doubted)}")
        asked, size = extraction.request.batch_size, _resolved(writer).batch_size
        if asked is not None and asked != size:
            progress.note(f"the batch size stays {size}, as at the first start")


def _shards(n: int) -> str:
    return f"{n} shard{'s' * (n != 1)}"


def _resolved(writer: CacheWriter) -> _Resolved:
    return record_of(_Resolved, writer.run, writer.folder / PARTIAL)


def _write_shards(extraction: Extraction, shared: SharedCache, forward: Forward, progress: Progress) -> None:
    """Extract and write every shard that no other process does; batches never straddle two."""
    split = shared.job.split
    use_threads(_resolved(shared.writer).threads)
    progress.start(f"extract {split.name}", sum(shard.stop - shard.start for shard in shared.left), "images")
    told = Remarks(split.name)
    while shared.left:
        before = len(shared.left)
        for shard, made in _made(extraction, shared, forward, progress):
            shared.write(shard, made)
            for index, text in made.remarks:
                told.add(split.samples[index], text)
        if len(shared.left) == before:
            pause()
            progress.advance(0)
    progress.finish()
    told.tell(progress)


def _made(
    extraction: Extraction, shared: SharedCache, forward: Forward, progress: Progress
) -> Iterator[tuple[Shard, ShardContent]]:
    """The shards that nobody makes, claimed and made; decoding runs ahead of them, into the next one."""
    size, begun = _resolved(shared.writer).batch_size, collections.deque[Shard]()

    def ranges() -> Iterator[range]:
        for shard in shared.claim(progress):
            begun.append(shard)
            for start in range(shard.start, shard.stop, size):
                yield range(start, min(start + size, shard.stop))

    decoding = _decode(extraction, shared.job, ranges())
    computing = forward.over(decoding, size, len(shared.job.views))
    with contextlib.closing(decoding), contextlib.closing(computing):
        content, seen = ShardContent(), 0
        for batch, features in computing:
            _take(extraction, content, batch, features, progress)
            seen += len(batch.index) + len(batch.failed)
            if seen == begun[0].stop - begun[0].start:
                yield begun.popleft(), content
                content, seen = ShardContent(), 0


def _take(
    extraction: Extraction,
    content: ShardContent,
    batch: DecodedBatch,
    features: np.ndarray | None,
    progress: Progress,
) -> None:
    """Add a batch to what is made of a shard."""
    for index, err in batch.failed:
        if extraction.request.on_error == "error":
            raise err
        progress.note(f"left out: {err.what} ({err.where})")
        content.skipped.append(index)
    if features is not None:
        content.rows.append(features.reshape(len(batch.index), -1, features.shape[-1]))
    content.remarks += batch.remarks
    progress.advance(len(batch.index) + len(batch.failed))


def _decode(
    extraction: Extraction, job: SplitJob, ranges: Iterable[range]
) -> Generator[DecodedBatch, None, None]:
    crop, split = extraction.backbone.preprocess.crop, job.split
    workers = extraction.request.workers
    if workers is None:
        workers = max(1, available_cpus() // ranks().local_size)
    register_formats()
    rows = rows_for(split, extraction.backbone.preprocess)
    if rows is not None:
        return decode_batches(ranges, rows[:, None].__getitem__, 0)
    render = renderer(split.open, split.samples.__getitem__, job.views, crop, extraction.draw)
    return decode_batches(ranges, render, workers, extraction.jpeg)


def _stage1_head(
    backbone: Backbone, split: Split, writer: CacheWriter, counts: np.ndarray | None
) -> Head | None:
    """The backbone's classifier as a cache keeps it, with the data's classes and training counts [K]."""
    if backbone.head is None:
        return None
    if split.name == "train":  # of what is in the shards: those skipped are not training samples
        labels = [load_tensors(writer.folder / shard.file)[0]["labels"] for shard in writer.plan.shards()]
        counts = np.bincount(np.concatenate(labels), minlength=len(split.classes))
    meta = {"backbone": backbone.info}
    if "recipe" in backbone.head.meta:  # by which stage 2 knows what was published for such a backbone
        meta["recipe"] = backbone.head.meta["recipe"]
    return dataclasses.replace(
        backbone.head, method=STAGE1, classes=split.classes, counts=counts, meta=meta, path=None
    )
