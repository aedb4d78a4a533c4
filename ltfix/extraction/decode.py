"""Decoding ahead of the backbone: a pool of threads, batches in order.

Pillow lets go of the interpreter while it decodes and resizes, so threads run side by side, share
memory with the caller and end with it. The order of batches and of rows in them is the caller's,
whatever the number of threads.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import EnvironmentFault, InputError, LtfixError
from ltfix.images.views import Crop, DrawView, Views
from ltfix.images.watch import JpegDecoder, PixelGate, watching

if TYPE_CHECKING:
    from PIL.Image import Image

AHEAD = 2  # batches decoded beyond the one in use


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DecodedBatch:
    """Decoded images.

    Attributes:
        index: [B] the samples that could be read, in order.
        pixels: [B, V, S, S, 3] uint8, or None where none could be read.
        failed: the others, with what was wrong.
        remarks: samples with what was noticed while they were decoded (`ltfix.images.watch`).
    """

    index: list[int]
    pixels: np.ndarray | None
    failed: list[tuple[int, LtfixError]]
    remarks: list[tuple[int, str]]


Rendered = tuple[np.ndarray | LtfixError, list[str]]  # views or what was wrong, and remarks


def renderer(
    open_image: Callable[[int], Image],
    name: Callable[[int], str],
    views: Views,
    crop: Crop,
    draw: DrawView | None = None,
) -> Callable[[int], np.ndarray]:
    """What turns a sample into its views [V, S, S, 3] uint8; an error of its pixels names it."""

    def render(index: int) -> np.ndarray:
        try:
            return views.render(open_image(index), index, crop, draw)
        except InputError as err:
            if err.where is not None:
                raise
            raise InputError(err.what, where=name(index), hint=err.hint) from err

    return render


def decode_batches(
    batches: Iterable[Sequence[int]],
    render: Callable[[int], np.ndarray],
    workers: int,
    jpeg: JpegDecoder | None = None,
) -> Generator[DecodedBatch, None, None]:
    """Render every sample of every batch, ahead of the consumer.

    Threads wait for each other where their pictures together would take too much memory.

    Args:
        batches: sample indices of each batch.
        render: a sample to its views [V, S, S, 3] uint8; an InputError and a file that may not be read are
            collected, anything else ends.
        workers: threads; 0 decodes in the caller's own.
        jpeg: decodes JPEGs in place of Pillow.

    Yields:
        One :class:`DecodedBatch` for each of ``batches``, in order.
    """

    gate = PixelGate()

    def attempt(index: int) -> Rendered:
        with watching(gate, jpeg) as seen:
            try:
                return render(index), seen.remarks
            except InputError as err:
                return err, []
            except EnvironmentFault as err:
                if not isinstance(err.__cause__, PermissionError):
                    raise
                return err, []

    if workers == 0:
        for batch in batches:
            yield _collate(batch, map(attempt, batch))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        waiting: collections.deque[tuple[Sequence[int], list[Future[Rendered]]]]
        waiting = collections.deque()
        for batch in batches:
            waiting.append((batch, [pool.submit(attempt, index) for index in batch]))
            # small batches: enough of them to keep every thread busy
            while len(waiting) > AHEAD and sum(len(futures) for _, futures in waiting) > 2 * workers:
                done, futures = waiting.popleft()
                yield _collate(done, (future.result() for future in futures))
        while waiting:
            done, futures = waiting.popleft()
            yield _collate(done, (future.result() for future in futures))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collate(batch: Sequence[int], rendered: Iterable[Rendered]) -> DecodedBatch:
    kept, arrays, failed, remarks = [], [], [], []
    for index, (result, seen) in zip(batch, rendered, strict=True):
        if isinstance(result, LtfixError):
            failed.append((index, result))
        else:
            kept.append(index)
            arrays.append(result)
            remarks += [(index, remark) for remark in seen]
    return DecodedBatch(kept, np.stack(arrays) if arrays else None, failed, remarks)
