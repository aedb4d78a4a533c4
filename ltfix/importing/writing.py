"""Rows of features, wherever they lie, into a cache; never more of them in memory than a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.features.foreign import features_and_labels
from ltfix.features.layout import CachePlan
from ltfix.features.store import CacheWriter, as_stored
from ltfix.filemap import release
from ltfix.heads.head import Head
from ltfix.progress import Progress
from ltfix.tensorfile import TORN


def write(
    out: Path,
    plan: CachePlan,
    parts: Sequence[Any],
    head: Head | None,
    where: Path,
    *,
    overwrite: bool,
    progress: Progress,
) -> FeatureCache:
    """The planned cache; an unfinished one of the same plan is gone on with.

    Args:
        parts: [n_i, D] or [n_i, V, D] each, what a slice of rows can be taken of, one after the other.
        where: what they come from, for messages.

    Raises:
        InputError: a row that cannot be read or stored; nothing is left behind then.
        UsageError, EnvironmentFault: as :class:`CacheWriter`.
    """
    if overwrite and out.exists():  # what is there goes only for features that can be written
        for shard in plan.shards():
            as_stored(rows(parts, shard.start, shard.stop, where), plan, np.arange(shard.start, shard.stop))
    with files.lock(out):
        writer = CacheWriter(out, plan, overwrite=overwrite)
        try:
            pending = writer.pending()
            n = sum(shard.stop - shard.start for shard in pending)
            progress.start(f"import {where.name}", n, "samples")
            for shard in pending:
                writer.write_shard(shard, rows(parts, shard.start, shard.stop, where))
                progress.advance(shard.stop - shard.start)
            progress.finish()
            return writer.publish(head)
        except InputError:
            writer.discard()
            raise


def rows(parts: Sequence[Any], start: int, stop: int, where: Path) -> np.ndarray:
    """[stop - start, V, D] float, rows of parts that follow each other; of a map no page stays in memory."""
    pieces = list(_pieces(parts, start, stop, where))
    whole = np.concatenate(pieces)
    for piece in pieces:
        release(piece)
    return whole


def _pieces(parts: Sequence[Any], start: int, stop: int, where: Path) -> Iterator[np.ndarray]:
    for part in parts:
        n = len(part)
        if start < n and stop > 0:
            try:
                found = np.asarray(part[max(start, 0) : stop])
            except (OSError, *TORN) as err:
                raise InputError(f"a row cannot be read: {err}", where=where) from err
            labels = np.zeros(len(found), np.int64)
            yield features_and_labels({"features": found, "labels": labels}, where)[0]
        start, stop = start - n, stop - n
