"""Bytes of an image file to an upright RGB image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ltfix import files
from ltfix.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 178_956_970  # where Pillow, too, speaks of a decompression bomb


class FileReader:
    """Opens images below a root folder; picklable, so it may be sent to workers.

    Args:
        root: the folder that sample names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, sample: str) -> Image:
        """The image of one sample, RGB.

        Raises:
            InputError: missing, corrupt, truncated or enormous; the file is named.
            EnvironmentFault: it cannot be read.
        """
        path = self.root / sample
        with files.os_errors(path):
            data = path.read_bytes()
        return decode(data, path)


def register_formats() -> None:
    """Load all of Pillow's readers; needed before threads decode.

    Pillow loads them at the first image that wants one, and a second thread that opens an image
    meanwhile can find its format unknown.
    """
    from PIL import Image

    Image.init()


def decode(data: bytes, where: object) -> Image:
    """Decode a whole image and make it upright RGB.

    The orientation that a camera noted (EXIF) is applied, grey and palette images are widened,
    transparency is laid over white, 16-bit grey is scaled to 8 bits.

    Raises:
        InputError: not an image, corrupt, truncated, or of more than ``MAX_PIXELS`` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        return to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise InputError(
            f"the image is enormous, above {MAX_PIXELS:,} pixels", where=where, hint="shrink it"
        ) from err
    except MemoryError:
        raise
    except Exception as err:  # Pillow's readers raise whatever their parsing trips over
        what = "not an image file" if isinstance(err, UnidentifiedImageError) else f"a corrupt image: {err}"
        raise InputError(
            what, where=where, hint="replace it, or leave such files out by on_error=skip"
        ) from err


def to_rgb(image: Image) -> Image:
    """An image of any mode as upright RGB."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_deep(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _scale_deep(image: Image) -> Image:
    """Grey images of more than 8 bits: Pillow's own conversion would clip all above 255 to white."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    if values.max(initial=0) > 255:
        values = values / 257 if values.max() <= 65535 else values * (255 / values.max())
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
