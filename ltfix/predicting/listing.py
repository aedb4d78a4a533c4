"""The pictures to predict by their names; none is opened yet, and torch is not needed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ltfix.errors import UsageError
from ltfix.images.decode import decode
from ltfix.images.pictures import FilePictures
from ltfix.images.unlabelled import open_unlabelled, read_paths
from ltfix.predicting.request import PredictRequest
from ltfix.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

Item = tuple[str, Callable[[], "Image"]]  # a picture: its name, and what opens it


def list_pictures(
    data: str, request: PredictRequest, progress: Progress
) -> tuple[Iterator[Item], int | None]:
    """The pictures and how many; those named on standard input as their names come in, who knows how many.

    Args:
        progress: told of what lies there and is no picture.
    """
    if data == "-":
        root = str(request.root or ".")
        return ((path, functools.partial(_open, root, path)) for path in read_paths("-")), None
    split = open_unlabelled(data, root=request.root, split=request.split, columns=request.columns)
    if split.kept is not None:
        raise UsageError("only caches keep columns", where="columns", hint="leave keep=… out")
    for note in split.notes:
        progress.note(note)
    return ((name, functools.partial(split.open, row)) for row, name in enumerate(split.samples)), len(split)


def _open(root: str, path: str) -> Image:
    picture = FilePictures(root, [path])
    return decode(picture.read(0), picture.where(0))
