"""ltfix.backbones.preprocess: timm's evaluation transform, to the last bit, and where its values are from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import make_image
from PIL import Image
from timm.data import create_transform
from torchvision.datasets import ImageFolder

from ltfix.backbones.preprocess import Preprocess, from_dict, resolve_preprocess
from ltfix.errors import InputError, UsageError
from ltfix.images.source import open_source

PLAIN = Preprocess(224, 0.875, (0.5, 0.5, 0.5), (0.5, 0.4, 0.3), "bicubic")
CONFIG = {
    "input_size": (3, 64, 64),
    "crop_pct": 0.9,
    "mean": (0.1,) * 3,
    "std": (0.2,) * 3,
    "interpolation": "bilinear",
}


def timm_transform(preprocess: Preprocess) -> Any:
    return create_transform(
        (3, preprocess.image_size, preprocess.image_size),
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
        crop_mode=preprocess.crop_mode,
    )


def ours(preprocess: Preprocess, image: Image.Image) -> torch.Tensor:
    return preprocess.normalize(torch.from_numpy(preprocess.crop(image).copy())[None])[0]


def test_real_photos_equal_image_folder_and_timm(caltech: Path):
    theirs = ImageFolder(str(caltech / "test"), timm_transform(PLAIN))
    split = open_source(caltech).split("test")
    for index in range(0, len(split), 60):
        image, label = theirs[index]
        assert label == split.labels[index]
        assert torch.equal(ours(PLAIN, split.open(index)), image)


@pytest.mark.parametrize("size", [(32, 32), (40, 32), (31, 47), (300, 20), (1, 1)])
@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 32, "crop_pct": 1.0},
        {"image_size": 32, "crop_pct": 0.9, "interpolation": "bilinear"},
        {"image_size": 32, "crop_pct": 1.2},
        {"image_size": 33, "crop_pct": 0.96, "crop_mode": "squash"},
        {"image_size": 32, "crop_pct": 1.0, "crop_mode": "border", "interpolation": "lanczos"},
    ],
)
def test_every_shape_and_mode_equals_timm(size: tuple[int, int], changes: dict[str, Any]):
    preprocess, image = dataclasses.replace(PLAIN, **changes), make_image(3, size)
    expected = timm_transform(preprocess)(image)
    assert torch.equal(ours(preprocess, image), expected)


def test_batches_are_channels_last():
    pixels = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    assert PLAIN.normalize(pixels).is_contiguous(memory_format=torch.channels_last)


def test_an_elongated_image_is_refused_before_it_fills_the_memory():
    with pytest.raises(InputError, match="1 × 20000 pixels is too elongated"):
        PLAIN.crop(Image.new("RGB", (1, 20_000)))
    assert np.asarray(PLAIN.crop(Image.new("RGB", (20_000, 100)))).shape == (224, 224, 3)


def test_option_beats_metadata_beats_config():
    own = resolve_preprocess(CONFIG, {}, {}, "here")
    assert own == Preprocess(64, 0.9, (0.1,) * 3, (0.2,) * 3, "bilinear")
    packed = {"pretrained_cfg": json.dumps({"input_size": [3, 48, 48], "mean": [0.3] * 3, "crop_pct": 0.8})}
    read = resolve_preprocess(CONFIG, packed, {}, "here")
    assert (read.image_size, read.mean, read.crop_pct, read.std) == (48, (0.3,) * 3, 0.8, (0.2,) * 3)
    plain = {
        "mean": "0.4,0.4,0.4",
        "std": "0.6,0.6,0.6",
        "input_size": "3,40,40",
        "crop_pct": "1",
        "interpolation": "bicubic",
    }
    read = resolve_preprocess(CONFIG, {**packed, **plain}, {}, "here")
    assert read == Preprocess(40, 1.0, (0.4,) * 3, (0.6,) * 3, "bicubic")
    given = {"image_size": 50, "mean": (0.7,), "interpolation": "box"}
    read = resolve_preprocess(CONFIG, plain, given, "here")
    assert read == Preprocess(50, 1.0, (0.7,) * 3, (0.6,) * 3, "box")


def test_round_trip_through_json():
    assert from_dict(json.loads(json.dumps(PLAIN.to_dict()))) == PLAIN


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 0}, "image size"),
        ({"crop_pct": 0.0}, "crop_pct"),
        ({"crop_pct": 87.5}, "crop_pct"),
        ({"mean": (0.5, 0.5)}, "one number is needed, or three, not 2 .mean"),
        ({"std": (0.0, 1.0, 1.0)}, "std must be above 0"),
        ({"interpolation": "bicubik"}, "did you mean bicubic"),
    ],
)
def test_values_out_of_range(given: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        resolve_preprocess(CONFIG, {}, given, "here")


def test_wrong_metadata_and_inputs():
    for metadata in (
        {"pretrained_cfg": "{"},
        {"pretrained_cfg": "[1]"},
        {"pretrained_cfg": '{"input_size": [3, 32]}'},
        {"pretrained_cfg": '{"crop_pct": [1]}'},
        {"mean": "a,b,c"},
        {"input_size": "3,inf,inf"},
    ):
        with pytest.raises(InputError, match=r"metadata cannot be read.*\(here\)"):
            resolve_preprocess(CONFIG, metadata, {}, "here")
    for size in ((1, 32, 32), (3, 32, 64)):
        with pytest.raises(InputError, match="not square RGB images"):
            resolve_preprocess({**CONFIG, "input_size": size}, {}, {}, "here")
