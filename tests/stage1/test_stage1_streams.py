"""Streams of batches: what they hold, and that neither workers nor steps change it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ltfix.backbones.preprocess import Preprocess
from ltfix.compute import Compute
from ltfix.errors import InputError
from ltfix.images.source import open_source
from ltfix.images.split import Split
from ltfix.progress import SILENT
from ltfix.stage1 import streams
from ltfix.stage1.streams import AugmentedImages, LoadedImages, Normaliser, ResidentImages, open_stream

COMPUTE = Compute(torch.device("cpu"))
PREPROCESS = Preprocess(8, 1.0, (0.3, 0.4, 0.5), (0.2, 0.3, 0.4), "bilinear")
STEPS = [slice(0, 16), slice(16, 32), slice(32, 40)]


@pytest.fixture
def split(photos: Path) -> Split:
    return open_source(photos).split("train")


def stream(split: Split, names: tuple[str, ...] = ("crop", "flip"), workers: int = 0) -> streams.ImageStream:
    return open_stream(split, PREPROCESS, COMPUTE, names=names, crop_pad=1, workers=workers, progress=SILENT)


def test_without_augmentation_batches_are_the_preprocessed_images(split: Split) -> None:
    index = torch.arange(len(split)).flip(0)
    images, labels = zip(*stream(split, ()).stream(index, STEPS, seed=0), strict=True)
    pixels = np.stack([PREPROCESS.crop(split.open(row)) for row in index.tolist()])
    expected = PREPROCESS.normalize(torch.from_numpy(pixels))
    assert torch.allclose(torch.cat([view for (view,) in images]), expected, atol=1e-6)
    assert torch.cat(labels).tolist() == split.labels[index.numpy()].tolist()


def test_views_are_drawn_independently(split: Split) -> None:
    (first, second), _ = next(stream(split).stream(torch.arange(40), STEPS, seed=3, views=2))
    assert not torch.equal(first, second)
    (alone,), _ = next(stream(split).stream(torch.arange(40), STEPS, seed=3))
    assert torch.equal(first, alone)


@pytest.mark.parametrize("names", [("crop", "flip"), ("resized-crop", "flip")])
def test_a_process_of_many_sees_its_part_of_the_same_epoch(split: Split, names: tuple[str, ...]) -> None:
    """Half of each step's positions: the images that the whole step would hold there."""
    images, index = stream(split, names), torch.arange(40)
    whole = [batch[0] for batch, _ in images.stream(index, STEPS, seed=5)]
    halves = [slice(step.start, (step.start + step.stop) // 2) for step in STEPS]
    for part, step in zip(images.stream(index, halves, seed=5), whole, strict=True):
        assert torch.equal(part[0][0], step[: len(part[1])])


def test_large_sets_are_loaded_and_workers_change_nothing(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(stream(split), ResidentImages)
    monkeypatch.setattr(streams, "RESIDENT_BYTES", 1000)
    alone, helped = stream(split), stream(split, workers=2)
    assert isinstance(alone, LoadedImages) and isinstance(helped, LoadedImages)
    for seed in (1, 2):
        expected = list(alone.stream(torch.arange(40), STEPS, seed, views=2))
        found = list(helped.stream(torch.arange(40), STEPS, seed, views=2))
        for (a, y), (b, z) in zip(expected, found, strict=True):
            assert torch.equal(y, z) and all(map(torch.equal, a, b))


def test_loading_leaves_the_global_generator_alone(split: Split) -> None:
    state = torch.get_rng_state()
    list(stream(split, ("resized-crop",)).stream(torch.arange(40), STEPS, seed=0))
    list(stream(split).stream(torch.arange(40), STEPS, seed=0))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named_through_the_loader(tmp_path: Path, workers: int) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "broken.png").write_bytes(b"no image")
    broken = open_source(tmp_path).split("train")
    images = LoadedImages(
        AugmentedImages(broken, (), 0, PREPROCESS), Normaliser(PREPROCESS, COMPUTE), workers
    )
    with pytest.raises(InputError, match=r"^not an image file \(.*broken\.png\)"):
        list(images.stream(torch.arange(2), [slice(0, 2)], seed=0))
