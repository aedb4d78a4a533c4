"""JPEGs by simplejpeg: libjpeg-turbo without Pillow's copies, large pictures at a part of their size."""

from __future__ import annotations

import functools

from ltfix.errors import extra
from ltfix.images.watch import JpegDecoder


def fast_jpeg(side: int) -> JpegDecoder:
    """A decoder that halves a picture as long as both of its sides stay twice ``side``; 0: never.

    Raises:
        EnvironmentFault: simplejpeg is not installed.
    """
    with extra("fast", "decoder"):
        import simplejpeg
    if not side:
        return functools.partial(simplejpeg.decode_jpeg)
    return functools.partial(simplejpeg.decode_jpeg, min_height=2 * side, min_width=2 * side)
