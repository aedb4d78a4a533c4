"""The table of pictures in docs/extract.md: every row holds, against numpy."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import make_image
from PIL import Image
from test_images_decode import encoded, pgm, tiff

from ltfix.errors import InputError
from ltfix.images.decode import decode
from ltfix.images.watch import MAX_PIXELS

DOCS = (Path(__file__).parents[2] / "docs" / "extract.md").read_text(encoding="utf-8")
TABLE = DOCS.partition("| picture | becomes |\n|---|---|\n")[2].partition("\n\n")[0]
ROWS = [line.strip("| ").split(" | ")[0] for line in TABLE.splitlines()]
RAMP = np.linspace(0, 65535, 192).reshape(8, 8, 3).astype(np.uint16)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, "here")).astype(np.int64)


def equal(data: bytes, expected: np.ndarray) -> None:
    """``expected``: [H, W, 3], or [H, W] of a grey picture."""
    whole = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(data), whole)


def refused(data: bytes) -> None:
    with pytest.raises(InputError, match="here"):
        decode(data, "here")


def png(values: np.ndarray) -> bytes:
    """A PNG of 16-bit colours, [H, W, 3]."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def eight_bits() -> None:
    colours = np.asarray(make_image(0))
    for kind in ("png", "bmp", "ppm", "tiff"):
        equal(encoded(make_image(0), kind), colours)
    equal(encoded(make_image(0), "webp", lossless=True), colours)
    assert np.abs(pixels(encoded(make_image(0), "jpeg", quality=95)) - colours).mean() < 3
    grey = np.asarray(make_image(0).convert("L"))
    for kind in ("png", "gif", "bmp", "ppm", "tiff"):
        equal(encoded(Image.fromarray(grey), kind), grey)
    black = grey > 127
    for kind in ("png", "ppm", "tiff"):  # a PPM of one bit is a PBM
        equal(encoded(Image.fromarray(black), kind), black * 255)
    palette = make_image(0).quantize(16)
    table = np.array(palette.getpalette()).reshape(-1, 3)
    for kind in ("png", "gif", "bmp", "tiff"):
        equal(encoded(palette, kind), table[np.asarray(palette)])
    inks = np.full((8, 8, 4), (255, 0, 0, 0), np.uint8)  # cyan alone
    cyan = pixels(encoded(Image.frombytes("CMYK", (8, 8), inks.tobytes()), "tiff"))
    assert (cyan[..., 0] < 10).all() and (cyan[..., 1:] > 245).all()


def transparency() -> None:
    colours, alpha = np.asarray(make_image(1)), np.asarray(make_image(2).convert("L"))
    data = encoded(Image.fromarray(np.dstack([colours, alpha])), "png")
    share = alpha[..., None] / 255
    assert np.abs(pixels(data) - (colours * share + 255 * (1 - share))).max() <= 1
    palette = make_image(4).quantize(8)
    equal(encoded(palette, "png", transparency=bytes(8)), np.full((32, 40), 255))
    equal(encoded(palette, "gif", transparency=int(np.asarray(palette)[0, 0]))[:], _gif(palette))


def _gif(palette: Image.Image) -> np.ndarray:
    index = np.asarray(palette)
    found = np.array(palette.getpalette()).reshape(-1, 3)[index]
    found[index == index[0, 0]] = 255
    return found


def turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    equal(encoded(make_image(3), "png", exif=exif), np.rot90(np.asarray(make_image(3)), 3))
    broken = encoded(make_image(3), "webp", lossless=True, exif=b"Exif\0\0garbage!")
    equal(broken, np.asarray(make_image(3)))


def grey16() -> None:
    for most in (200, 65535):
        values = np.linspace(0, most, 64).reshape(8, 8).astype(np.uint16)
        for data in (
            encoded(Image.fromarray(values), "png"),
            encoded(Image.fromarray(values), "tiff"),
            pgm(values, 65535),
        ):
            equal(data, np.floor(values / 257))


def grey12() -> None:
    values = np.linspace(0, 4095, 64).astype(int)
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.reshape(-1, 2).tolist()
    )
    equal(tiff(packed, 12, 1, 1), np.floor(values.reshape(8, 8) * 255 / 4095))


def colours16() -> None:
    equal(png(RAMP), RAMP // 256)


def ppm() -> None:
    for most, kind in ((65535, RAMP), (1000, (RAMP % 1001).astype(np.uint16))):
        data = f"P6 8 8 {most}\n".encode() + kind.astype(">u2").tobytes()
        assert np.abs(pixels(data) - kind * (255 / most)).max() <= 0.5001


def floats() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    beyond = values.copy()
    beyond[0, 0], beyond[7, 7] = -0.003, 1.003
    for given in (values, beyond):
        equal(encoded(Image.fromarray(given), "tiff"), np.rint(values * 255))
    equal(b"Pf\n8 8\n-1.0\n" + values[::-1].astype("<f4").tobytes(), np.rint(values * 255))


def other_floats() -> None:
    for value in (2.0, 255.0, -1.0, np.nan, np.inf):
        refused(encoded(Image.fromarray(np.full((4, 4), value, np.float32)), "tiff"))


def no_range() -> None:
    for dtype, form in (("<i2", 2), ("<i4", 2), ("<u4", 1)):
        refused(tiff(np.arange(64).astype(dtype).tobytes(), np.dtype(dtype).itemsize * 8, form, 1))


def inverted() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    equal(tiff(grey.tobytes(), 8, 1, 0), 255 - grey)
    deep = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    equal(tiff(deep.tobytes(), 16, 1, 0), 255 - np.floor(deep / 257))


def bad() -> None:
    wide = encoded(Image.new("1", (MAX_PIXELS + 1, 1)), "png")
    for data in (wide, encoded(make_image(0), "png")[:900], b"", b"GIF", encoded(make_image(0), "ico")):
        refused(data)


CHECKS: dict[str, Callable[[], None]] = {
    "JPEG, PNG, GIF, BMP, PPM/PGM/PBM, TIFF, WebP of 8 bits or fewer": eight_bits,
    "with transparency, also of a palette": transparency,
    "with a camera's orientation (EXIF)": turned,
    "grey of 16 bits: PNG, PGM, TIFF": grey16,
    "grey of 12 bits: TIFF": grey12,
    "colours of 16 bits: PNG, TIFF": colours16,
    "colours of more than 8 bits: PPM": ppm,
    "grey float of 0 to 1: TIFF, PFM": floats,
    "grey float of another range, not a number, or infinite": other_floats,
    "grey of 32 bits, or with a sign: TIFF": no_range,
    "a TIFF where 0 is white": inverted,
    "above 178,956,970 pixels, torn, or of another kind": bad,
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_holds(row: str):
    CHECKS[row]()


def test_every_check_has_its_row():
    assert list(CHECKS) == ROWS
