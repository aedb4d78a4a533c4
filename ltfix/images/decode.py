"""Bytes of an image file to an upright RGB image of 8 bits.

Deeper modes have one scale a depth, from what the file says, never from its values. That work goes by strips,
so that a large picture never lies in memory at several depths at once.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import InputError, extra
from ltfix.images import watch
from ltfix.images.pictures import UNREADABLE
from ltfix.images.watch import MAX_PIXELS, JpegDecoder

if TYPE_CHECKING:
    from PIL.Image import Image

# what docs/extract.md names. Pillow knows more; PostScript, for one, it hands to another program
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
UNTURNED = "the camera's orientation (EXIF) cannot be read: taken as it is stored"
_ORIENTATION = 0x0112
_STRIP = 1 << 20  # pixels
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_SIGNED = 2


def register_formats() -> None:
    """Load all of Pillow's readers; needed before threads decode.

    Pillow loads them at the first image that wants one, and a second thread that opens an image
    meanwhile can find its format unknown.
    """
    from PIL import Image

    Image.init()


def decode(data: bytes, where: object) -> Image:
    """Decode a whole image and make it upright RGB.

    The format is told by the content, never by the name, and is one of ``FORMATS``. The orientation that a
    camera noted (EXIF) is applied, grey and palette images are widened, transparency is laid over white,
    images of more than 8 bits are scaled as :func:`to_rgb` says. Of several frames or pages
    the first is taken.

    Raises:
        InputError: not an image, corrupt, truncated, of a depth without a rule, or of more than
            ``MAX_PIXELS`` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        seen = watch.current()
        seen.hold(image.width * image.height)
        if seen.jpeg is not None and image.format == "JPEG" and image.mode == "RGB":
            return upright(Image.fromarray(seen.jpeg(data)), image)
        image.load()
        return to_rgb(upright(image, image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise InputError(
            f"the image is enormous, above {MAX_PIXELS:,} pixels", where=where, hint="shrink it"
        ) from err
    except MemoryError:
        raise
    except InputError as err:
        raise InputError(err.what, where=where, hint=err.hint) from err
    except UnidentifiedImageError as err:
        hint = f"{', '.join(FORMATS)} are read; {UNREADABLE}"
        raise InputError("not an image file", where=where, hint=hint) from err
    except Exception as err:  # Pillow's readers raise whatever their parsing trips over
        raise InputError(f"a corrupt image: {err}", where=where, hint=UNREADABLE) from err


def upright(image: Image, file: Image) -> Image:
    """The image turned as its file's EXIF block says; where that cannot be read, as it is, with a remark.

    Pillow's own ``exif_transpose`` also rewrites the block, which is more that can fail.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(file.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # whatever the parsing of a broken block trips over: the pixels are fine
        watch.current().remarks.append(UNTURNED)
        return image
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image) -> Image:
    """A loaded image of any mode as RGB.

    Raises:
        InputError: whole numbers whose range says nothing (signed, or of 32 bits), or floats outside 0 to 1.
    """
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        watch.current().remarks.append("float grey of 0 to 1, times 255")
        return _by_strips(image, _inverted(image, _from_float))
    if image.mode.startswith("I"):
        top = (1 << _depth(image)) - 1
        watch.current().remarks.append(f"{top.bit_length()}-bit grey, times 255/{top}")
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
        hint = "scale them to 0 to 1, or write it with 8 or 16 bits"
        raise InputError(f"float values from {low:g} to {high:g}, expected 0 to 1", hint=hint)
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


def fast_jpeg(side: int) -> JpegDecoder:
    """A decoder (simplejpeg's) that halves a picture as long as its sides stay twice ``side``; 0: never.

    Raises:
        EnvironmentFault: simplejpeg is missing.
    """
    with extra("fast", "decoder"):
        import simplejpeg
    if not side:
        return functools.partial(simplejpeg.decode_jpeg)
    return functools.partial(simplejpeg.decode_jpeg, min_height=2 * side, min_width=2 * side)
