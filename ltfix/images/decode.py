"""Bytes of an image file to an upright RGB image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ltfix.errors import InputError
from ltfix.images import watch
from ltfix.images.depth import to_rgb
from ltfix.images.pictures import UNREADABLE
from ltfix.images.watch import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

# what docs/extract.md names. Pillow knows more; PostScript, for one, it hands to another program
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
UNTURNED = "the camera's orientation (EXIF) cannot be read: taken as it is stored"
_ORIENTATION = 0x0112


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
    images of more than 8 bits are scaled as :mod:`ltfix.images.depth` says. Of several frames or pages
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
        watch.hold(image.width * image.height)
        jpeg = watch.jpeg_decoder()
        if jpeg is not None and image.format == "JPEG" and image.mode == "RGB":
            return upright(Image.fromarray(jpeg(data)), image)
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
        watch.remark(UNTURNED)
        return image
    return image if turn is None else image.transpose(turn)
