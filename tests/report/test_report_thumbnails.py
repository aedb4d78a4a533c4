"""Pictures of the samples that a cache names, from the source that it was extracted from."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from pictures import TREE
from PIL import Image

from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.report.thumbnails import SIZE, thumbnails


def cache_of(folder: Path, samples: list[str]) -> FeatureCache:
    """A cache in ``folder`` whose samples have these names."""
    folder.mkdir()
    (folder / "samples.txt").write_text("".join(f"{name}\n" for name in samples))
    features = np.ones((len(samples), 1, 3), np.float32)
    return FeatureCache(folder, [features], np.arange(len(samples)) % 3)


def test_a_sample_s_own_picture(photos: Path, tmp_path: Path):
    names = [f"{label}/00.png" for label in TREE["test"]]
    draw = thumbnails(str(photos), cache_of(tmp_path / "test", [*names, "ant/gone.png"]))
    for index, name in enumerate(names):
        said = draw(index)
        assert said is not None
        kind, _, packed = said.partition(",")
        assert kind == "data:image/jpeg;base64"
        with (
            Image.open(io.BytesIO(base64.b64decode(packed))) as shown,
            Image.open(photos / "test" / name) as whole,
        ):
            assert max(shown.size) <= SIZE
            difference = np.asarray(shown.resize(whole.size), float) - np.asarray(whole, float)
        assert np.abs(difference).mean() < 12
    assert draw(3) is None


def test_a_picture_that_is_torn_is_left_out(photos: Path, tmp_path: Path):
    folder = tmp_path / "photos/test/ant"
    folder.mkdir(parents=True)
    (tmp_path / "photos/train").mkdir()
    (folder / "00.png").write_bytes(b"no picture")
    (folder.parent / "bee").mkdir()
    (folder.parent / "bee" / "00.png").write_bytes((photos / "test/bee/00.png").read_bytes())
    draw = thumbnails(str(tmp_path / "photos"), cache_of(tmp_path / "test", ["ant/00.png"]))
    assert draw(0) is None


def test_a_name_of_two_samples_shows_neither(photos: Path, tmp_path: Path):
    names = [f"{label}/00.png" for label in TREE["test"]]
    draw = thumbnails(str(photos), cache_of(tmp_path / "test", [*names, names[0]]))
    shown = [draw(index) is not None for index in range(len(names) + 1)]
    assert shown == [False, *[True] * (len(names) - 1), False]


def test_another_source_is_refused(photos: Path, tmp_path: Path):
    with pytest.raises(InputError, match="none of the samples"):
        thumbnails(str(photos), cache_of(tmp_path / "test", ["cow/7.png"]))
