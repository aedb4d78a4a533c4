"""One cache and several processes: each enters its folder, claims shards, and waits for what others claimed.

A folder is held alone while its cache is opened, which may take over or remove what is there, and is then
shared with every process that writes the same cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np

from ltfix import files
from ltfix.claims import Claims
from ltfix.errors import InputError, UsageError
from ltfix.extraction.plan import SplitJob
from ltfix.features.layout import Shard
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import CacheWriter, cache_state
from ltfix.heads.head import Head
from ltfix.images.decode import UNTURNED
from ltfix.locking import Hold
from ltfix.progress import Progress
from ltfix.ranks import ranks

_PAUSE = 0.2  # seconds between two looks at what others do
_PATIENCE = 1.0  # seconds that a folder may be held by others and hold no cache that could be shared


@dataclasses.dataclass(slots=True, eq=False)
class ShardContent:
    """What was made of one shard so far.

    Attributes:
        rows: [b, V, D] float32 each, in order. skipped: samples without. remarks: on samples.
    """

    rows: list[np.ndarray] = dataclasses.field(default_factory=list)
    skipped: list[int] = dataclasses.field(default_factory=list)
    remarks: list[tuple[int, str]] = dataclasses.field(default_factory=list)


class SharedCache:
    """A cache that this process writes, and perhaps others.

    Attributes:
        job: what is extracted. writer: of the cache.
        left: the shards that are neither written nor known to be.

    Args:
        stack: holds the folder until it is closed.
        alone: whether nobody else is in the folder; then ``hold`` is shared from here on.

    Raises:
        EnvironmentFault: another extraction came in between.
    """

    def __init__(self, job: SplitJob, hold: Hold, alone: bool, overwrite: bool) -> None:
        self.job = job
        self.writer = CacheWriter(job.folder, job.plan, overwrite=overwrite)
        self.left = self.writer.pending() if alone else self.writer.missing()
        if alone:
            self.writer.forget(self.left)
        while not hold.take(shared=True):  # who came in between shares it, too, if it writes the same
            if not _is_of(job):
                raise files.occupied(job.folder)
            pause()
        self.claims = Claims(job.folder)

    def claim(self, progress: Progress) -> Iterator[Shard]:
        """The shards that are left and nobody makes, each claimed when it is asked for.

        Those of this process's own rank come first. When it ends, ``left`` has what others claimed.
        """
        own, busy = ranks(), list[Shard]()
        for shard in sorted(self.left, key=lambda shard: (shard.index - own.rank) % own.size != 0):
            if not self.writer.has(shard):
                if not self.claims.take(shard.file):
                    busy.append(shard)
                    continue
                if not self.writer.has(shard):
                    yield shard
                    continue
                self.claims.release(shard.file)
            if own.size == 1:
                progress.advance(shard.stop - shard.start)
        self.left = busy

    def write(self, shard: Shard, made: ShardContent) -> None:
        """Write a shard that was claimed, and give the claim up."""
        plan = self.job.plan
        features = np.concatenate(made.rows) if made.rows else np.empty((0, plan.views, plan.dim), np.float32)
        self.writer.write_shard(
            shard, features, made.skipped, {text for _, text in made.remarks} - {UNTURNED}
        )
        self.claims.release(shard.file)

    def finish(self, head: Callable[[], Head | None]) -> FeatureCache:
        """Publish the cache, if nobody else does, and open it."""
        while cache_state(self.job.folder)[0] != "finished":
            if self.claims.take("publish"):
                if cache_state(self.job.folder)[0] != "finished":
                    self.writer.publish(head())
                self.claims.clear()
            else:
                pause()
        return open_cache(self.job.folder)


def pause() -> None:
    """Wait a moment for others."""
    time.sleep(_PAUSE)


def enter(
    jobs: list[SplitJob], overwrite: bool, stack: contextlib.ExitStack
) -> list[tuple[SplitJob, SharedCache | None]]:
    """Enter the folders of caches, alone or beside processes that write the same ones.

    Nothing is written before all can be entered.

    Args:
        stack: holds the folders until it is closed.

    Returns:
        Each job as it is found then, and its cache; None where that is finished, by this request or another.

    Raises:
        UsageError, InputError: as :class:`CacheWriter`.
        EnvironmentFault: another extraction is in a folder.
    """
    found = []
    for job in jobs:
        hold = stack.enter_context(files.enter(job.folder))
        found.append((hold, *_wait_for_room(hold, job, overwrite)))
    opened = list[tuple[SplitJob, SharedCache | None]]()
    for hold, alone, job in found:
        cache = None
        if job.state not in ("done", "taken"):
            try:
                cache = SharedCache(job, hold, alone, overwrite and job.state == "todo")
            except (UsageError, InputError):
                job = job.again(overwrite=False)  # noqa: PLW2901 - another may have finished it since the look
                if alone or job.state != "done":
                    raise
            else:
                stack.enter_context(cache.claims)
        opened.append((job, cache))
    return opened


def _wait_for_room(hold: Hold, job: SplitJob, overwrite: bool) -> tuple[bool, SplitJob]:
    """Whether this process has the folder alone, and the job as it is found there."""
    began = time.monotonic()
    while True:
        alone = hold.take()
        shared = not alone and hold.take(shared=True)
        now = job.again(overwrite and alone)
        if alone or (shared and (now.state == "done" or _is_of(now))):
            return alone, now
        if not _is_of(now) and time.monotonic() - began > _PATIENCE:
            raise files.occupied(job.folder)
        pause()


def _is_of(job: SplitJob) -> bool:
    """Whether the unfinished cache in its folder is a job's own."""
    return cache_state(job.folder) == ("partial", job.plan.fingerprint)
