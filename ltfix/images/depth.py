"""Any mode of Pillow's to 8-bit RGB: one scale a depth, from what the file says, never from its values.

Work goes by strips, so that a large picture never lies in memory at several depths at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import InputError
from ltfix.images import watch

if TYPE_CHECKING:
    from PIL.Image import Image

_STRIP = 1 << 20  # pixels
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_SIGNED = 2


def to_rgb(image: Image) -> Image:
    """A loaded image of any mode as RGB.

    Raises:
        InputError: whole numbers whose range says nothing (signed, or of 32 bits), or floats outside 0 to 1.
    """
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        watch.remark("float grey of 0 to 1, times 255")
        return _by_strips(image, _inverted(image, _from_float))
    if image.mode.startswith("I"):
        top = (1 << _depth(image)) - 1
        watch.remark(f"{top.bit_length()}-bit grey, times 255/{top}")
        return _by_strips(image, _inverted(image, lambda values: values.astype(np.uint32) * 255 // top))
    if image.has_transparency_data:
        return _by_strips(image, _over_white)
    return image.convert("RGB")


def _depth(image: Image) -> int:
    """The bits of a grey image of Pillow's deep modes.

    PNG and PGM fill 16 whatever their own maximum; TIFF says how many it has.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 16
    bits, form = int(tags.get(_BITS, (16,))[0]), int(tags.get(_SAMPLE_FORMAT, (1,))[0])
    if form == _SIGNED or bits > 16:
        raise InputError(
            f"grey values of {bits} bits{' and a sign' if form == _SIGNED else ''} have no range to scale by",
            hint="write it with 8 or 16 bits without a sign, or as float of 0 to 1",
        )
    return bits


def _from_float(values: np.ndarray) -> np.ndarray:
    """Values of 0 to 1 times 255, rounded; a 255th beyond is an overshoot of some filter and clipped."""
    low, high = float(values.min()), float(values.max())
    if not (low >= -1 / 255 and high <= 1 + 1 / 255):
        raise InputError(
            f"float values from {low:g} to {high:g}, expected 0 to 1",
            hint="scale them to 0 to 1, or write it with 8 or 16 bits",
        )
    rounded: np.ndarray = np.rint(values.clip(0, 1) * 255)
    return rounded


def _inverted(image: Image, scale: Callable[[np.ndarray], np.ndarray]) -> Callable[[Image], Image]:
    """Strips of a deep image to RGB; where a TIFF says that 0 is white, Pillow leaves that to its caller."""
    from PIL import Image as images

    white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0

    def convert(strip: Image) -> Image:
        grey = scale(np.asarray(strip)).astype(np.uint8)
        return images.fromarray(255 - grey if white_is_zero else grey).convert("RGB")

    return convert


def _over_white(strip: Image) -> Image:
    from PIL import Image as images

    strip = strip.convert("RGBA")
    return images.alpha_composite(images.new("RGBA", strip.size, "white"), strip).convert("RGB")


def _by_strips(image: Image, convert: Callable[[Image], Image]) -> Image:
    from PIL import Image as images

    width, height = image.size
    rows = max(1, _STRIP // width)
    if rows >= height:
        return convert(image)
    whole = images.new("RGB", image.size)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        whole.paste(convert(image.crop(box)), box)
    return whole
