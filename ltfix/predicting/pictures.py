"""Pictures as they come, decoded ahead of a classifier: never more of them in memory than some batches."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ltfix.compute import available_cpus, default_batch_size, resolve_device
from ltfix.errors import InputError, UsageError
from ltfix.extraction.decode import decode_batches, renderer
from ltfix.images.decode import decode, register_formats
from ltfix.images.pictures import FilePictures
from ltfix.images.unlabelled import open_unlabelled, read_paths
from ltfix.images.watch import Remarks
from ltfix.predicting.classifiers import Classifier
from ltfix.predicting.request import PredictRequest
from ltfix.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

Item = tuple[str, Callable[[], "Image"]]  # a picture: its name, and what opens it
Answered = Iterator[tuple[list[str], np.ndarray]]  # names, and their logits [B, K]


def list_pictures(data: str, request: PredictRequest, progress: Progress) -> Iterator[Item]:
    """The pictures, those named on standard input as their names come in."""
    if data == "-":
        root = str(request.root or ".")
        return ((path, functools.partial(_open, root, path)) for path in read_paths("-"))
    split = open_unlabelled(data, root=request.root, split=request.split, columns=request.columns)
    if split.kept is not None:
        raise UsageError("only caches keep columns", where="columns", hint="leave keep=… out")
    progress.start("predict", len(split), "pictures")
    return ((name, functools.partial(split.open, row)) for row, name in enumerate(split.samples))


def _open(root: str, path: str) -> Image:
    picture = FilePictures(root, [path])
    return decode(picture.read(0), picture.where(0))


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
