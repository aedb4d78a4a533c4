"""Small pictures of test samples, where the source that they were extracted from is at hand."""

from __future__ import annotations

import base64
import collections
import dataclasses
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import InputError, LtfixError
from ltfix.features.cache import FeatureCache
from ltfix.features.manifest import command_of
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
        InputError, UsageError: it is no source, or has no such split, or none of the samples, or others
            by the same names.
    """
    said = {} if cache.manifest is None else cache.manifest.source
    name = str(said.get("split", cache.path.stem))
    split = open_source(spec, split=(name,)).split(name)
    known = {sample: row for row, sample in enumerate(split.samples)}
    made = cache.manifest
    listed = made is not None and command_of(said) == "extract"  # by a digest of pictures, not of caches
    times = collections.Counter(() if listed else cache.samples)  # which may have other pictures of one name
    rows = [known.get(sample) if times[sample] < 2 else None for sample in cache.samples or ()]
    here = [row for row in rows if row is not None]
    if not here:
        raise InputError(f"it has none of the samples of {cache.path}", where=spec)
    if listed and made is not None and not made.skipped and len(here) == cache.n:
        found = dataclasses.replace(split.subset(np.array(here)), labels=cache.labels)
        if said.get("digest", found.digest) != found.digest:
            told = f"its pictures have the names of those of {cache.path} and are others"
            raise InputError(told, where=spec, hint="give the source that the features were extracted from")
    register_formats()

    def draw(index: int) -> str | None:
        row = rows[index]
        try:
            return None if row is None else _data_uri(split.open(row))
        except LtfixError:
            return None

    return draw


def _data_uri(image: Image) -> str:
    image.thumbnail((SIZE, SIZE))
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
