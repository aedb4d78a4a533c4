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
from ltfix.images.watch import Remarks
from ltfix.predicting.classifiers import Classifier
from ltfix.predicting.listing import Item
from ltfix.predicting.request import PredictRequest
from ltfix.progress import Progress

Answered = Iterator[tuple[list[str], np.ndarray]]  # names, and their logits [B, K]


def answer(
    classifier: Classifier, items: Iterator[Item], request: PredictRequest, progress: Progress
) -> Answered:
    """The logits of pictures that can be read; only those of some batches are in memory."""
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
    told, seen, left_out = Remarks("the pictures"), 0, 0
    with contextlib.closing(decode_batches(batches(), render, workers)) as decoded:
        for batch, logits in classifier.over(decoded, size):
            for _, err in batch.failed:
                if request.on_error == "error":
                    raise err
                progress.note(f"left out: {err.what} ({err.where})")
            for row, text in batch.remarks:
                told.add(waiting[row][0], text)
            names = [waiting[row][0] for row in batch.index]
            for row in (*batch.index, *(row for row, _ in batch.failed)):
                del waiting[row]
            if logits is not None:
                yield names, logits
            seen, left_out = seen + len(names), left_out + len(batch.failed)
            progress.advance(len(names) + len(batch.failed))
    progress.finish()
    for line in told.lines():
        progress.note(line)
    if not seen:
        what = "none of the pictures can be read" if left_out else "no pictures"
        raise InputError(what, where=None if left_out else "standard input")
