"""Features for the engine: gathered from the memory map in the order an epoch visits them.

A cache of up to ``RESIDENT_BYTES`` is visited in any order. A larger one is streamed: blocks of
``BLOCK_ROWS`` consecutive rows in shuffled order are copied into a buffer of ``BUFFER_BYTES``, whose rows are
shuffled again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ltfix import filemap
from ltfix.errors import UsageError
from ltfix.features.arrays import gather
from ltfix.features.cache import FeatureCache
from ltfix.seeds import derive
from ltfix.stage2.loop import samplers
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.methods.method import find_part
from ltfix.stage2.methods.parts import Part

CHUNK_VALUES = 1 << 22  # gathered at once: 16 MB of float32
BUFFER_BYTES = 1 << 24
BLOCK_ROWS = 64
RESIDENT_BYTES = 8 << 30
SCALE_ROWS = 16384
SCALED_AT_ONCE = 1024
KEPT_BYTES = 1 << 26
"""Scaled features that take no more are made once a fit, not at every epoch."""


@dataclasses.dataclass(frozen=True, slots=True)
class Visits:
    """How samples are visited: the sampler, B at a time, for E epochs (which a progressive sampler reads)."""

    sampler: Part | str
    batch_size: int
    epochs: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Training samples of a cache, or a part of them.

    Attributes:
        shards: [n_i, V, D] float16 or float32, usually memory maps.
        rows: [N] the cache rows that are used. labels: [N] int64. counts: [K] samples per class of these.
        views_used: "random" one view per sample and visit, "first", or "all" (each view is a sample).
        streamed: rows are visited block-wise, so that the cache need not fit into memory.
        tested_views: how many of the V views are tested with, the first ones; 0: all.
        scaled: they lie in memory as they are trained on (:meth:`resident`).
    """

    shards: Sequence[np.ndarray]
    rows: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    views_used: str = "random"
    streamed: bool = False
    tested_views: int = 0
    scaled: bool = False

    @classmethod
    def of(cls, cache: FeatureCache, views_used: str = "random", stream: str = "auto") -> Features:
        """All samples of a cache.

        Args:
            stream: "auto" (where the cache is larger than ``RESIDENT_BYTES``, on every machine, as the order
                of visits decides the head), "always" or "never".

        Raises:
            InputError: a feature is not finite; its row is named.
        """
        cache.check()
        rows, labels = np.arange(cache.n), cache.labels
        if views_used == "all":
            rows, labels = np.repeat(rows, cache.views), np.repeat(labels, cache.views)
        size = sum(shard.nbytes for shard in cache.shards)
        streamed = stream == "always" or (stream == "auto" and size > RESIDENT_BYTES)
        return cls(cache.shards, rows, labels, cache.counts, views_used, streamed, cache.tested_views)

    def tested(self) -> Features:
        """The same with the views alone that are tested with."""
        if self.tested_views in (0, self.views):
            return self
        kept = np.flatnonzero(np.arange(len(self)) % self.copies < self.tested_views)
        shards = [shard[:, : self.tested_views] for shard in self.shards]
        return dataclasses.replace(self, shards=shards).subset(kept)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dim(self) -> int:
        """D."""
        return int(self.shards[0].shape[2])

    @property
    def views(self) -> int:
        """V."""
        return int(self.shards[0].shape[1])

    @property
    def copies(self) -> int:
        """How many consecutive entries are views of one cache row: V with views "all", else 1."""
        return self.views if self.views_used == "all" else 1

    def subset(self, index: np.ndarray) -> Features:
        """The samples ``index``, with their own counts."""
        labels = self.labels[index]
        counts = np.bincount(labels, minlength=len(self.counts)) // self.copies
        return dataclasses.replace(self, rows=self.rows[index], labels=labels, counts=counts)

    def entries_of(self, rows: np.ndarray) -> np.ndarray:
        """The entries of the samples ``rows`` [n], each view of one beside the other: [n · copies]."""
        return np.asarray((rows[:, None] * self.copies + np.arange(self.copies)).reshape(-1))

    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> np.ndarray:
        """One view of each sample ``index`` [...] as [..., D], or all views as [..., V, D], as stored."""
        view = index % self.views if self.views_used == "all" else view
        return gather(self.shards, self.rows[index], view)

    def views_of(self, index: np.ndarray) -> np.ndarray:
        """All views that serve the samples ``index`` [n], as stored: [n, V, D], or [n, 1, D]."""
        one = self.views_used != "random" or self.views == 1
        return self.take(index, np.zeros(len(index), np.int64))[:, None] if one else self.take(index)

    def mean_of(self, index: np.ndarray) -> np.ndarray:
        """[n, D] float32 of the samples ``index``: the mean over the views used.

        For a linear head that is the feature of its mean logits.
        """
        x = self.views_of(index)
        one = x.shape[1] == 1  # torch converts twice as fast
        found: np.ndarray = torch.from_numpy(x[:, 0]).float().numpy() if one else x.mean(1, dtype=np.float32)
        self.release()
        return found

    @property
    def parts(self) -> list[slice]:
        """All samples, some thousand at a time."""
        rows = max(BLOCK_ROWS, CHUNK_VALUES // (4 * self.dim))
        return [slice(start, min(start + rows, len(self))) for start in range(0, len(self), rows)]

    def mean_views(self) -> Iterator[tuple[slice, np.ndarray]]:
        """:meth:`mean_of` all samples, one of the ``parts`` after the other."""
        for part in self.parts:
            yield part, self.mean_of(np.arange(part.start, part.stop))

    def mean_view(self) -> np.ndarray:
        """:meth:`mean_of` all samples, [N, D]."""
        out = np.empty((len(self), self.dim), np.float32)
        for part, x in self.mean_views():
            out[part] = x
        return out

    def blocks(self, scaling: Scaling) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All samples as :meth:`mean_of` has them, scaled, [n, D] float32, and their labels, [n]."""
        for part, x in self.mean_views():
            yield scaling.apply(torch.from_numpy(x)).numpy(), self.labels[part]

    def some_rows(self) -> np.ndarray:
        """[n, D] float32: the first view of evenly spaced samples, enough for a mean and a deviation."""
        wanted = min(len(self), SCALE_ROWS, max(1024, CHUNK_VALUES // self.dim))
        index = np.unique(np.linspace(0, len(self) - 1, wanted).astype(np.int64))
        out = np.empty((len(index), self.dim), np.float32)
        for start in range(0, len(index), BLOCK_ROWS):
            rows = index[start : start + BLOCK_ROWS]
            out[start : start + BLOCK_ROWS] = self.take(rows, np.zeros(len(rows), np.int64))
            self.release()
        return out

    def release(self) -> None:
        """Give back the memory of the maps where they are streamed."""
        if self.streamed:
            for shard in self.shards:
                filemap.release(shard)

    def resident(self, scaling: Scaling, like: Tensor) -> Features:
        """The same, scaled in ``like``'s dtype, where that takes few bytes of a CPU's memory."""
        size = len(self) // self.copies * self.views * self.dim * like.element_size()
        if self.streamed or like.device.type != "cpu" or size > KEPT_BYTES:
            return self
        used, rows = np.unique(self.rows, return_inverse=True)
        made = torch.empty(len(used), self.views, self.dim, dtype=like.dtype)
        for start in range(0, len(used), SCALED_AT_ONCE):
            part = slice(start, start + SCALED_AT_ONCE)
            made[part] = _scaled(gather(self.shards, used[part]), scaling, like)
        return dataclasses.replace(self, shards=(made.numpy(),), rows=rows, scaled=True)

    def batches(
        self, visits: Visits, seeds: Sequence[int], epoch: int, *, scaling: Scaling, like: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch: x [S, B, D], scaled, in ``like``'s dtype and device, y [S, B].

        The last may be short.
        """
        held: tuple[Tensor, Tensor] | None = None
        visited = 0
        drawn = self._draw_views(seeds, epoch)
        chunks = self._streamed_chunks if self.streamed else self._chunks
        for source, index in chunks(visits, seeds, epoch):
            end = visited + index.shape[1]
            view = np.zeros_like(index) if drawn is None else drawn[:, visited:end]
            visited = end
            x, y = source.ready(index, view, scaling, like)
            if held is not None:
                x, y = torch.cat([held[0], x], 1), torch.cat([held[1], y], 1)
            whole = y.shape[1] // visits.batch_size * visits.batch_size
            for first in range(0, whole, visits.batch_size):
                yield x[:, first : first + visits.batch_size], y[:, first : first + visits.batch_size]
            held = (x[:, whole:], y[:, whole:]) if whole < y.shape[1] else None
        if held is not None:
            yield held

    def ready(
        self, index: np.ndarray, view: np.ndarray, scaling: Scaling, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One view of each sample ``index`` [...] as it is trained on: x [..., D], scaled, and y [...]."""
        labels = torch.from_numpy(self.labels[index]).to(like.device)
        if not self.scaled:
            return _scaled(self.take(index, view), scaling, like), labels
        view = index % self.views if self.views_used == "all" else view
        every = torch.from_numpy(self.shards[0]).view(-1, self.dim)
        x = every.index_select(0, torch.from_numpy((self.rows[index] * self.views + view).reshape(-1)))
        return x.view(*index.shape, self.dim), labels

    def _chunks(
        self, visits: Visits, seeds: Sequence[int], epoch: int
    ) -> Iterator[tuple[Features, np.ndarray]]:
        """Samples and indices [S, n] of them: one epoch, in pieces that are gathered at once."""
        drawn = [samplers.draw(visits.sampler, self.labels, seed, epoch, visits.epochs) for seed in seeds]
        for piece in self._pieces(np.stack(drawn), visits, CHUNK_VALUES):
            yield self, piece

    def _pieces(self, order: np.ndarray, visits: Visits, values: int) -> Iterator[np.ndarray]:
        """``order`` [S, N] cut into whole batches of at most so many values."""
        size = max(1, values // (self.dim * len(order) * visits.batch_size)) * visits.batch_size
        for start in range(0, order.shape[1], size):
            yield order[:, start : start + size]

    def _streamed_chunks(
        self, visits: Visits, seeds: Sequence[int], epoch: int
    ) -> Iterator[tuple[Features, np.ndarray]]:
        sampler = find_part("sampler", visits.sampler)
        if not sampler.every_sample:
            what = "a cache that is streamed is visited instance by instance"
            hint = "use sampler=instance, or stream=never where memory holds it"
            raise UsageError(what, where=f"sampler={sampler.name}", hint=hint)
        blocks = np.random.default_rng(derive(0, "blocks", epoch))  # all seeds read the same blocks
        starts = blocks.permutation(np.arange(0, len(self), BLOCK_ROWS * self.copies))
        itemsize = self.shards[0].dtype.itemsize
        at_once = max(1, BUFFER_BYTES // (BLOCK_ROWS * self.views * self.dim * itemsize))
        for first in range(0, len(starts), at_once):
            buffer = self._copied(np.sort(starts[first : first + at_once]))
            order = [
                np.random.default_rng(derive(seed, "stream", epoch, first)).permutation(len(buffer))
                for seed in seeds
            ]
            for piece in self._pieces(np.stack(order), visits, CHUNK_VALUES // 4):
                yield buffer, piece

    def _copied(self, starts: np.ndarray) -> Features:
        """The blocks that begin at ``starts``, in memory of their own."""
        size = BLOCK_ROWS * self.copies  # whole rows: a view is told by its place among a row's
        index = [np.arange(start, min(start + size, len(self))) for start in starts]
        used = [np.unique(self.rows[block]) for block in index]
        shard = np.empty((sum(map(len, used)), self.views, self.dim), self.shards[0].dtype)
        rows, filled = [], 0
        for block, mine in zip(index, used, strict=True):
            shard[filled : filled + len(mine)] = gather(self.shards, mine)
            rows.append(filled + np.searchsorted(mine, self.rows[block]))
            filled += len(mine)
            self.release()
        chosen = np.concatenate(index)
        return dataclasses.replace(
            self, shards=(shard,), rows=np.concatenate(rows), labels=self.labels[chosen], streamed=False
        )

    def _draw_views(self, seeds: Sequence[int], epoch: int) -> np.ndarray | None:
        """Which view each visit of an epoch takes, [S, N]; None where there is no choice."""
        if self.views_used != "random" or self.views == 1:
            return None
        n = len(self)
        generators = [np.random.default_rng(derive(seed, "views", epoch)) for seed in seeds]
        kind = np.min_scalar_type(self.views - 1)
        return np.stack([rng.integers(self.views, size=n, dtype=kind) for rng in generators])


def _scaled(x: np.ndarray, scaling: Scaling, like: Tensor) -> Tensor:
    """Features [..., D] as they are stored, scaled, in ``like``'s dtype and device."""
    raw = torch.from_numpy(x).to(like.device)
    return scaling.apply(raw.double() if like.dtype == torch.float64 else raw).to(like.dtype)
