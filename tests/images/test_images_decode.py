"""ltfix.images.decode: every kind of image file becomes upright RGB, a depth of one scale, or an error."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import make_image
from PIL import Image, ImageOps

from ltfix.errors import EnvironmentFault, InputError
from ltfix.images import decode as decoding
from ltfix.images.decode import decode
from ltfix.images.pictures import FilePictures
from ltfix.images.watch import PixelGate, watching


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    image = decode(data, "here")
    assert image.mode == "RGB"
    return np.asarray(image)


def test_rgb_is_what_pillow_reads():
    for kind in ("png", "jpeg", "webp", "bmp", "tiff"):
        data = encoded(make_image(0), kind)
        np.testing.assert_array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_orientation_is_applied(orientation: int):
    image = make_image(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = pixels(encoded(image, "png", exif=exif))
    turns = {1: 0, 2: "h", 3: 2, 4: "v", 5: "t", 6: 3, 7: "tt", 8: 1}[orientation]
    own = np.asarray(image)
    expected = {
        "h": lambda: own[:, ::-1],
        "v": lambda: own[::-1],
        "t": lambda: own.transpose(1, 0, 2),
        "tt": lambda: own[::-1, ::-1].transpose(1, 0, 2),
    }.get(turns, lambda: np.rot90(own, turns))()  # type: ignore[call-overload,arg-type]
    np.testing.assert_array_equal(upright, expected)


def test_grey_palette_and_bilevel():
    grey = make_image(1).convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(encoded(grey)), expected)
    palette = make_image(2).quantize(16)
    np.testing.assert_array_equal(pixels(encoded(palette)), np.asarray(palette.convert("RGB")))
    assert set(np.unique(pixels(encoded(grey.convert("1"))))) <= {0, 255}


def test_transparency_lies_over_white():
    rgba = make_image(3).convert("RGBA")
    rgba.putalpha(0)
    assert (pixels(encoded(rgba)) == 255).all()
    rgba.putalpha(255)
    np.testing.assert_array_equal(pixels(encoded(rgba)), np.asarray(make_image(3)))
    grey = make_image(3).convert("LA")
    grey.putalpha(0)
    assert (pixels(encoded(grey)) == 255).all()
    palette = make_image(4).quantize(8)
    seen = pixels(encoded(palette, "png", transparency=bytes([0] * 8)))
    assert (seen == 255).all()


def test_cmyk():
    assert pixels(encoded(make_image(5).convert("CMYK"), "jpeg")).shape == (32, 40, 3)


def huge_png() -> bytes:
    """A PNG whose header promises 30,000 × 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an image file"),
        (b"<html>", "not an image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image file"),
        (encoded(make_image(0), "ico"), "not an image file"),
        (encoded(make_image(0), "jpeg")[:500], "a corrupt image"),
        (encoded(make_image(0))[:900], "a corrupt image"),
        (huge_png(), "the image is enormous"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, data: bytes, message: str):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(InputError, match=rf"{message}.*\(.*bad\.png\)"):
        decode(FilePictures(tmp_path, ["bad.png"]).read(0), tmp_path / "bad.png")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["png", "jpeg", "webp", "tiff", "bmp"]), st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_escapes_as_another_error(kind: str, data: st.DataObject):
    whole = bytearray(encoded(make_image(0, (12, 9)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        assert decode(bytes(whole[:cut]), "bad").mode == "RGB"
    except InputError as err:
        assert err.where == "bad"


def test_a_missing_file_and_a_folder(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        FilePictures(tmp_path, ["gone.png"]).read(0)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises((InputError, EnvironmentFault), match=r"folder\.png"):
        FilePictures(tmp_path, ["folder.png"]).read(0)


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ltfix.images.decode import decode, register_formats
register_formats()
data = open(sys.argv[1], "rb").read()
with ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(lambda _: decode(data, 'x').size, range(32)))))
"""


def test_threads_may_be_the_first_to_decode(tmp_path: Path):
    make_image(0).save(tmp_path / "a.webp")
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(tmp_path / "a.webp")], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def grey(data: bytes) -> np.ndarray:
    seen = np.asarray(decode(data, "here"))
    assert (seen == seen[..., :1]).all()
    return seen[..., 0]


def pgm(values: np.ndarray, most: int) -> bytes:
    height, width = values.shape
    return f"P5 {width} {height} {most}\n".encode() + values.astype(">u2").tobytes()


def tiff(values: bytes, bits: int, form: int, white: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A minimal little-endian grey TIFF; ``form``: 1 unsigned, 2 signed, 3 float; ``white`` 0: 0 is white."""
    tags = [
        (256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, white),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, size[1]), (279, 4, 1, len(values)), (339, 3, 1, form),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(values)) + values + directory + bytes(4)


RAMPS = [np.linspace(0, most, 64).reshape(8, 8).astype(np.uint16) for most in (0, 200, 255, 256, 4095, 65535)]


@pytest.mark.parametrize("values", RAMPS, ids=lambda v: str(v.max()))
@pytest.mark.parametrize("kind", ["png", "tiff", "big-endian", "pgm"])
def test_16_bits_are_divided_by_257_whatever_the_largest_value(values: np.ndarray, kind: str):
    data = (
        pgm(values, 65535)
        if kind == "pgm"
        else encoded(Image.fromarray(values.astype(">u2")), "tiff")
        if kind == "big-endian"
        else encoded(Image.fromarray(values), kind)
    )
    np.testing.assert_array_equal(grey(data), np.floor(values / 257))


def test_a_pgm_of_12_bits_fills_its_own_range():
    values = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    np.testing.assert_allclose(grey(pgm(values, 4095)), values * (255 / 4095), atol=1)
    assert grey(pgm(values, 4095)).max() == 255


def test_a_tiff_of_12_bits_fills_its_own_range():
    values = np.linspace(0, 4095, 64).astype(int)
    pairs = values.reshape(-1, 2)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())
    np.testing.assert_array_equal(grey(tiff(packed, 12, 1, 1)).ravel(), values * 255 // 4095)


def test_where_zero_is_white():
    values = RAMPS[-1]
    np.testing.assert_array_equal(grey(tiff(values.tobytes(), 16, 1, 0)), 255 - np.floor(values / 257))
    ones = np.linspace(0, 1, 64, dtype=np.float32)
    np.testing.assert_array_equal(
        grey(tiff(ones.tobytes(), 32, 3, 0)).ravel(), 255 - np.rint(ones * np.float32(255))
    )


@pytest.mark.parametrize("largest", [0.2, 0.5, 1.0])
def test_float_of_0_to_1_is_scaled_by_255(largest: float):
    values = np.linspace(0, largest, 64).reshape(8, 8).astype(np.float32)
    seen = grey(encoded(Image.fromarray(values), "tiff"))
    np.testing.assert_allclose(seen, values.astype(np.float64) * 255, rtol=0, atol=0.5001)


def test_8_bits_written_as_float_come_back():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    floats = Image.fromarray((values / 255).astype(np.float32))
    np.testing.assert_array_equal(grey(encoded(floats, "tiff")), values)


@pytest.mark.parametrize("value", [255.0, 1.1, -0.5, np.nan, np.inf])
def test_float_of_another_range_is_refused(value: float):
    values = np.full((8, 8), 0.5, np.float32)
    values[3, 3] = value
    with pytest.raises(InputError, match=r"float values from .* expected 0 to 1 \(here\): scale them"):
        decode(encoded(Image.fromarray(values), "tiff"), "here")


@pytest.mark.parametrize(("dtype", "form"), [("<i2", 2), ("<i4", 2), ("<u4", 1)])
def test_whole_numbers_without_a_range_are_refused(dtype: str, form: int):
    values = np.arange(64).astype(dtype)
    with pytest.raises(InputError, match=r"grey values of (16|32) bits.* have no range to scale by \(here\)"):
        decode(tiff(values.tobytes(), values.dtype.itemsize * 8, form, 1), "here")


def test_the_scale_is_told():
    for data, told in (
        (encoded(Image.fromarray(RAMPS[1]), "png"), ["16-bit grey, times 255/65535"]),
        (encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "tiff"), ["float grey of 0 to 1, times 255"]),
        (encoded(make_image(0).convert("L"), "png"), []),
    ):
        with watching(PixelGate()) as seen:
            decode(data, "here")
        assert seen.remarks == told


def palette_with_alpha() -> Image.Image:
    alphas = bytes(range(0, 256, 32))
    return Image.open(io.BytesIO(encoded(make_image(4).quantize(8), "png", transparency=alphas)))


OPENED: dict[str, Callable[[], Image.Image]] = {
    "16 bits": lambda: Image.fromarray(np.arange(40 * 32, dtype=np.uint16).reshape(32, 40) * 50),
    "float": lambda: Image.fromarray(np.linspace(0, 1, 40 * 32, dtype=np.float32).reshape(32, 40)),
    "alpha": lambda: Image.merge("RGBA", [*make_image(1).split(), make_image(2).convert("L")]),
    "grey and alpha": lambda: Image.merge("LA", [make_image(i).convert("L") for i in (1, 2)]),
    "palette": palette_with_alpha,
}


@pytest.mark.parametrize("kind", OPENED)
def test_strips_make_no_difference(kind: str, monkeypatch: pytest.MonkeyPatch):
    whole = np.asarray(decoding.to_rgb(OPENED[kind]()))
    for strip in (1, 40, 100, 1279):
        monkeypatch.setattr(decoding, "_STRIP", strip)
        np.testing.assert_array_equal(np.asarray(decoding.to_rgb(OPENED[kind]())), whole)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 9])
def test_turned_as_pillow_turns(kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(make_image(3), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(decode(data, "here")), np.asarray(expected.convert("RGB")))
