"""ltfix.images.decode: every kind of image file becomes upright RGB, or an error that names it."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import make_image
from PIL import Image

from ltfix.errors import EnvironmentFault, InputError
from ltfix.images.decode import decode
from ltfix.images.pictures import FilePictures


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
