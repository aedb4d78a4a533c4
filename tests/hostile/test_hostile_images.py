"""Pictures and folders made to hurt: no program is started, memory is bounded, nothing hangs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import make_image, write_photos
from PIL import Image

from ltfix import cli
from ltfix.errors import InputError
from ltfix.images.decode import FORMATS, decode
from ltfix.images.source import open_source
from ltfix.images.tree import IMAGES

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A gs on the path that leaves a trace: Pillow would call it for a file of this content."""
    trace, programs = tmp_path / "trace", tmp_path / "bin"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\necho called >> {trace}\n")
    (programs / "gs").chmod(0o755)
    code = (
        "import io, sys\nfrom PIL import Image\nfrom ltfix.errors import InputError\n"
        "from ltfix.images.decode import decode\n"
        f"data = {EPS!r}\n"
        "if sys.argv[1] == 'pillow':\n"
        "    try: Image.open(io.BytesIO(data)).load()\n"
        "    except OSError: pass\n"
        "else:\n"
        "    try: decode(data, 'a.png')\n"
        "    except InputError as err: print(err.what)\n"
    )
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for who, called in (("ltfix", False), ("pillow", os.name == "posix")):
        subprocess.run([sys.executable, "-c", code, who], env=env, check=True, timeout=60)
        assert trace.exists() == called


OTHERS = ("eps", "ico", "pcx", "sgi", "tga", "jpeg2000", "dds", "pdf", "icns", "msp", "spider", "xbm")


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_not_opened_whatever_their_name(kind: str):
    out = io.BytesIO()
    mode = {"msp": "1", "xbm": "1", "spider": "F"}.get(kind, "RGB")
    make_image(0, (64, 64)).convert(mode).save(out, kind)
    with pytest.raises(InputError, match="not an image file"):
        decode(out.getvalue(), "a.png")


def test_the_formats_are_those_of_the_endings():
    Image.init()
    known = {Image.registered_extensions()[ending] for ending in IMAGES}
    assert known == set(FORMATS)


MEASURE = """
import resource, sys
import numpy as np
from ltfix.images.decode import decode
data = open(sys.argv[1], "rb").read()
decode(open(sys.argv[2], "rb").read(), "small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = decode(data, "large")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (image.width * image.height))
"""
SIDE = 5000
LARGE: dict[str, Callable[[], Image.Image]] = {
    "16 bits": lambda: Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)),
    "transparent": lambda: Image.new("RGBA", (SIDE, SIDE)),
    "palette": lambda: Image.new("P", (SIDE, SIDE)),
    "colours": lambda: Image.new("RGB", (SIDE, SIDE)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak in KiB")
@pytest.mark.parametrize("kind", LARGE)
def test_a_decoded_picture_takes_eight_bytes_a_pixel_at_most(kind: str, tmp_path: Path):
    """RGB is four in Pillow; beside it lies the picture as it was stored, and no more."""
    LARGE[kind]().save(tmp_path / "large.png", compress_level=1)
    make_image(0).save(tmp_path / "small.png")
    argv = [sys.executable, "-c", MEASURE, str(tmp_path / "large.png"), str(tmp_path / "small.png")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) < 9


@pytest.mark.skipif(os.name != "posix", reason="pipes, devices and links of POSIX")
@pytest.mark.parametrize("on_error", ["error", "skip"])
def test_a_pipe_among_pictures_is_not_waited_for(
    on_error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    photos = write_photos(tmp_path / "photos", {"train": {"ant": 2, "bee": 2}})
    os.mkfifo(photos / "train" / "ant" / "pipe.png")
    monkeypatch.chdir(tmp_path)
    argv = "extract --backbone cifar_resnet32 --no-pretrained --device cpu --data photos --on-error"
    assert cli.run([*argv.split(), on_error]) == (3 if on_error == "error" else 0)
    err = capsys.readouterr().err
    assert "not a file (photos/train/ant/pipe.png)" in err
    assert "Traceback" not in err


WORDS = ["a.png", "train/ant/00.png", "0", "1", "-1", "2.0", "2.5", "1e9", "9" * 30, "cat", "label", "é", "٣"]
ODD = ["\t", " ", "\ufeff", "\0", "\r", "e\u0301", "#", ",", "=", "/", "..", "\x1b[2J", "\u2028"]
LINE = st.lists(st.sampled_from([*WORDS, *ODD]), max_size=6).map(" ".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(LINE, max_size=6).map("\n".join), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])
)
def test_any_list_is_read_or_refused_by_name(tmp_path: Path, text: str, encoding: str):
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode(encoding, "replace"))
    try:
        split = open_source(f"list:{path}").split("train")
    except InputError as err:
        assert "list.txt" in str(err)
        return
    assert split.stamps is not None
    assert len(split.samples) == len(split.labels) == len(split.sizes) == len(split.stamps)
    assert split.labels.min() >= 0
    assert split.labels.max() < split.n_classes
    assert len(split.digest) == 64
