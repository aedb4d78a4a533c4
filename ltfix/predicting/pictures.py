"""Pictures as they come, decoded ahead of a classifier: never more of them in memory than some batches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np

from ltfix.compute import available_cpus, default_batch_size, resolve_device
from ltfix.errors import InputError
from ltfix.extraction.decode import decode_batches, renderer
from ltfix.images.decode import register_formats
from ltfix.images.pictures import UNREADABLE
from ltfix.images.watch import Remarks
from ltfix.predicting.classifiers import Classifier
from ltfix.predicting.listing import Item
from ltfix.predicting.request import PredictRequest
from ltfix.progress import Progress

Answered = Iterator[tuple[list[str], np.ndarray | None, dict[int, str]]]
"""Names, the logits [B, K] of those that could be read, and by place in the names why others could not."""


def answer(
    classifier: Classifier, items: Iterator[Item], request: PredictRequest, progress: Progress
) -> Answered:
    """The logits of pictures that can be read; only those of some batches are in memory.

    Others end it, are left out, or keep their places, as the request says.
    """
    register_formats()
    waiting = dict[int, Item]()
    side = classifier.preprocess.image_size
    size = request.batch_size or default_batch_size(
        resolve_device(request.device), side, len(classifier.views)
    )

    def batches() -> Iterator[list[int]]:
        numbered = enumerate(items)
        while batch := dict(itertools.islice(numbered, size)):
            waiting.update(batch)
            yield list(batch)

    render = renderer(
        lambda row: waiting[row][1](),
        lambda row: waiting[row][0],
        classifier.views,
        classifier.preprocess.crop,
    )
    workers = available_cpus() if request.workers is None else request.workers
    told, keep, seen, unread = Remarks("the pictures"), request.on_error == "keep", 0, 0
    with contextlib.closing(decode_batches(batches(), render, workers)) as decoded:
        for batch, logits in classifier.over(decoded, size):
            for _, err in batch.failed:
                if request.on_error == "error":
                    raise type(err)(err.what, where=err.place, hint=_remedies(err.hint, seen)) from err
                if not keep:
                    progress.note(f"left out: {err.what} ({err.where})")
            for row, text in batch.remarks:
                told.add(waiting[row][0], text)
            why = {row: err.what for row, err in batch.failed}
            rows = sorted([*batch.index, *why] if keep else batch.index)
            names = [waiting[row][0] for row in rows]
            for row in (*batch.index, *why):
                del waiting[row]
            if names:
                yield names, logits, {place: why[row] for place, row in enumerate(rows) if row in why}
            seen, unread = seen + len(batch.index), unread + len(why)
            progress.advance(len(batch.index) + len(why))
    progress.finish()
    told.tell(progress)
    if keep and unread:
        progress.note(f"{unread} of {seen + unread} pictures cannot be read and have no label")
    elif not seen:
        what = "none of the pictures can be read" if unread else "no pictures"
        raise InputError(what, where=None if unread else "standard input")


def _remedies(own: str | None, seen: int) -> str:
    """What the error says to do, and what can be asked for here."""
    before = f"{seen or 'no'} picture{'s were' if seen > 1 else ' was'} answered before"
    told = f"on_error=skip leaves it out, on_error=keep keeps its row; {before}"
    return told if own is None else f"{own.replace(UNREADABLE, 'replace it')}; {told}"
