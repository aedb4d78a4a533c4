"""Crop and flip of whole batches against one image at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from ltfix.backbones import augment
from ltfix.backbones.augment import CropFlip, crop_windows
from ltfix.errors import UsageError


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


class TestRandomViews:
    def test_a_view_is_of_its_seed_sample_and_number_alone(self):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
        centre = np.asarray(image.resize((16, 16)))
        for text in ("resized-crop,flip", "crop,flip", "resized-crop,color-jitter", "randaugment", "none"):
            draw = augment.RandomViews(text, 2, 16, "bilinear", seed=0)
            wanted = {(i, v): draw(image, centre, i, v) for i in range(4) for v in range(3)}
            assert all(pixels.shape == (16, 16, 3) for pixels in wanted.values())
            with ThreadPoolExecutor(4) as pool:  # in threads, in another order
                keys = sorted(wanted, reverse=True)
                found = pool.map(partial(draw, image, centre), *zip(*keys, strict=True))
                for key, pixels in zip(keys, found, strict=True):
                    np.testing.assert_array_equal(pixels, wanted[key])
            different = {pixels.tobytes() for pixels in wanted.values()}
            assert len(different) > 6 or text == "none"
            other = augment.RandomViews(text, 2, 16, "bilinear", seed=1)
            again = [other(image, centre, *key).tobytes() for key in wanted]
            assert text == "none" or again != [pixels.tobytes() for pixels in wanted.values()]

    def test_no_augmentation_is_the_centre_crop(self):
        image = Image.new("RGB", (30, 20))
        centre = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
        draw = augment.RandomViews("none", 0, 16, "bilinear", seed=0)
        np.testing.assert_array_equal(draw(image, centre, 0, 0), centre)

    @pytest.mark.parametrize("size", [(100, 80), (300, 2), (1, 1)])
    def test_boxes_lie_inside_and_have_the_areas_and_shapes_of_torchvision(self, size: tuple[int, int]):
        rng = np.random.default_rng(0)
        boxes = [augment.random_box(*size, rng) for _ in range(2000)]
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
        image = torch.empty(1, size[1], size[0])
        theirs = [v2.RandomResizedCrop(8).make_params([image]) for _ in range(2000)]
        ours = np.mean([(r - x) * (b - y) for x, y, r, b in boxes])
        assert ours == pytest.approx(np.mean([p["height"] * p["width"] for p in theirs]), rel=0.05)
