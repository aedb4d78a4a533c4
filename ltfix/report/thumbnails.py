"""Small pictures of test samples, where the source that they were extracted from is at hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.images.decode import register_formats
from ltfix.images.source import open_source

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 112  # pixels: twice what the page shows, for fine screens

Thumbnails = Callable[[int], str | None]
"""A sample's number in the cache to its picture, a data URI; None where it cannot be read."""


def thumbnails(spec: str, cache: FeatureCache) -> Thumbnails:
    """What makes the pictures of a cache's samples.

    Args:
        spec: the source, as `extract` took it. cache: of one of its splits.

    Raises:
        InputError, UsageError: it is no source, or has no such split, or none of the cache's samples.
    """
    said = {} if cache.manifest is None else cache.manifest.source
    name = str(said.get("split", cache.path.stem))
    split = open_source(spec, split=(name,)).split(name)
    known = {sample: row for row, sample in enumerate(split.samples)}
    names = cache.samples or ()
    if not any(sample in known for sample in names):
        raise InputError(f"it has none of the samples of {cache.path}", where=spec)
    register_formats()

    def draw(index: int) -> str | None:
        if names[index] not in known:
            return None
        try:
            return _data_uri(split.open(known[names[index]]))
        except InputError:
            return None

    return draw


def _data_uri(image: Image) -> str:
    image.thumbnail((SIZE, SIZE))
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
