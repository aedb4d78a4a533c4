"""Crop and flip of whole batches against one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ltfix.errors import UsageError
from ltfix.stage1 import augment
from ltfix.stage1.augment import CropFlip, crop_windows


@settings(deadline=None, max_examples=30)
@given(pad=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 2**32))
def test_batch_equals_pad_crop_flip_of_each_image(pad: int, flip: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.integers(0, 256, (5, 3, 6, 6)).astype(np.uint8))
    crop, index = CropFlip(pad, flip), torch.from_numpy(rng.integers(0, 5, 9))
    draws = crop.draw(9, torch.Generator().manual_seed(seed))
    found = crop.apply(crop_windows(pixels, pad), index, draws)
    for row, (sample, (top, left, mirrored)) in enumerate(zip(index, draws.t().tolist(), strict=True)):
        padded = np.pad(pixels[sample].numpy(), ((0, 0), (pad, pad), (pad, pad)))
        expected = padded[:, top : top + 6, left : left + 6]
        assert np.array_equal(found[row], expected[:, :, ::-1] if mirrored else expected)


def test_draws_cover_their_range_and_no_more() -> None:
    top, left, mirrored = CropFlip(4, True).draw(20_000, torch.Generator().manual_seed(0))
    for corner in (top, left):
        assert corner.unique().tolist() == list(range(9))
        assert abs(corner.float().mean() - 4) < 0.1
    assert abs(mirrored.float().mean() - 0.5) < 0.02
    assert not CropFlip(0, False).draw(100, torch.Generator()).any()


def test_names_are_read_in_order_and_none_is_nothing() -> None:
    assert augment.parse("flip, crop") == ("flip", "crop")
    assert augment.parse("none") == ()
    with pytest.raises(UsageError, match="did you mean flip"):
        augment.parse("crop,flipp")


@pytest.mark.parametrize(
    "names", ["crop,flip", "resized-crop,flip,color-jitter", "randaugment", "autoaugment"]
)
def test_single_images_come_out_as_pixels_of_the_size(names: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8))
    pixels = augment.image_transform(augment.parse(names), 16, 2, "bilinear")(image)
    assert (pixels.shape, pixels.dtype) == ((3, 16, 16), torch.uint8)
