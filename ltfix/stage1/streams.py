"""Training images, augmented and normalised on the device: the whole set there, or through a DataLoader.

Both streams give the same kind of batches and take all their randomness from one seed and the position
in the epoch, so batches depend neither on workers nor on processes nor on where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ltfix import seeds
from ltfix.backbones import augment
from ltfix.backbones.mlp import rows_for
from ltfix.backbones.preprocess import Preprocess
from ltfix.compute import Compute
from ltfix.errors import LtfixError
from ltfix.images.split import Split
from ltfix.images.watch import PixelGate, Remarks, watching
from ltfix.progress import Progress

RESIDENT_BYTES = 2 << 30  # of uint8 pixels
PREFETCH = 4
Batch = tuple[list[Tensor], Tensor]
Sample = tuple[Tensor, int] | LtfixError


class ImageStream(Protocol):
    """A set of images that streams batches."""

    def stream(self, index: Tensor, steps: Sequence[slice], seed: int, views: int = 1) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            index: [n] int64, the sample at each position of the epoch.
            steps: the positions of each batch (of this process).
            seed: decides the augmentation.
            views: independently augmented copies of each image.

        Yields:
            ``views`` tensors [B, 3, S, S] float32, normalised, and labels [B] int64, on the device.
        """


class Normaliser:
    """(pixel/255 − mean)/std on the device, in its memory format."""

    def __init__(self, preprocess: Preprocess, compute: Compute) -> None:
        self.device, self.memory_format = compute.device, compute.memory_format
        self.mean = torch.tensor(preprocess.mean, device=self.device).mul_(255)[:, None, None]
        self.scale = torch.tensor(preprocess.std, device=self.device).mul_(255).reciprocal_()[:, None, None]

    def __call__(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] uint8 to float32."""
        laid_out = pixels.contiguous(memory_format=self.memory_format)
        return laid_out.float().sub_(self.mean).mul_(self.scale)


class ResidentImages:
    """The whole set on the device as uint8; crop and flip are one gather a batch.

    Args:
        pixels: [N, 3, S, S] uint8.
        labels: [N] int64.
        crop: the augmentation.
        normalise: applied to every batch; its device is where the set lives.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, crop: augment.CropFlip, normalise: Normaliser
    ) -> None:
        self.crop, self.normalise, self.device = crop, normalise, normalise.device
        self.windows = augment.crop_windows(torch.from_numpy(pixels).to(self.device), crop.pad)
        self.labels = torch.from_numpy(labels).to(self.device)

    def stream(self, index: Tensor, steps: Sequence[slice], seed: int, views: int = 1) -> Iterator[Batch]:
        """See :class:`ImageStream`."""
        draws = [
            self.crop.draw(len(index), seeds.generator(seed, "view", view)).to(self.device)
            for view in range(views)
        ]
        index = index.to(self.device)
        for step in steps:
            rows = index[step]
            images = [self.normalise(self.crop.apply(self.windows, rows, draw[:, step])) for draw in draws]
            yield images, self.labels[rows]


class ResidentRows:
    """The rows of a table on the device.

    Args:
        rows: [N, d] float32, standardised.
        labels: [N] int64.
        device: where they lie.
    """

    def __init__(self, rows: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self.rows, self.labels = torch.from_numpy(rows).to(device), torch.from_numpy(labels).to(device)

    def stream(self, index: Tensor, steps: Sequence[slice], seed: int, views: int = 1) -> Iterator[Batch]:
        """See :class:`ImageStream`; nothing is augmented."""
        index = index.to(self.rows.device)
        for step in steps:
            yield [self.rows[index[step]]] * views, self.labels[index[step]]


class AugmentedImages(Dataset[Sample]):
    """Decodes and augments single images; an item is (sample, seed, views), so workers have no state.

    Args:
        split: where images are opened.
        names: augmentations in order.
        crop_pad: pixels of ``crop``.
        preprocess: size and interpolation.
    """

    def __init__(self, split: Split, names: tuple[str, ...], crop_pad: int, preprocess: Preprocess) -> None:
        self.split, self.preprocess = split, preprocess
        self.fitted = "resized-crop" not in names
        self.transform = augment.image_transform(
            names, preprocess.image_size, crop_pad, preprocess.interpolation
        )

    def __getitem__(self, item: tuple[int, int, int]) -> Sample:
        from PIL import Image

        sample, seed, views = item
        try:
            image = self.split.open(sample)
            if self.fitted:
                image = Image.fromarray(self.preprocess.crop(image))
        except LtfixError as err:  # handed over as it is: the loader would wrap it in its traceback
            return err
        with seeds.seeded(seed):
            pixels = torch.stack([self.transform(image) for _ in range(views)])
        return pixels, int(self.split.labels[sample])


def _collate(items: list[Sample]) -> tuple[Tensor, Tensor] | LtfixError:
    for item in items:
        if isinstance(item, LtfixError):
            return item
    pixels, labels = zip(*items, strict=True)
    return torch.stack(pixels), torch.tensor(labels)


class LoadedImages:
    """Images decoded and augmented by worker processes that live as long as the stream.

    Args:
        dataset: decodes and augments one image.
        normalise: applied to every batch on its device.
        workers: processes; 0 decodes in this one.
    """

    def __init__(self, dataset: AugmentedImages, normalise: Normaliser, workers: int) -> None:
        self.normalise, self.device = normalise, normalise.device
        self._items: list[list[tuple[int, int, int]]] = []
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._items,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=PREFETCH if workers else None,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else it draws from the global one
        )

    def stream(self, index: Tensor, steps: Sequence[slice], seed: int, views: int = 1) -> Iterator[Batch]:
        """See :class:`ImageStream`."""
        samples = index.tolist()
        # in place: the loader holds this very list, and its workers outlive the epoch
        self._items[:] = [
            [(samples[at], seeds.derive(seed, at), views) for at in range(step.start, step.stop)]
            for step in steps
        ]
        for batch in self._loader:
            if isinstance(batch, LtfixError):
                raise batch
            pixels, labels = batch
            moved = pixels.to(self.device, non_blocking=True)
            images = [self.normalise(moved[:, view]) for view in range(views)]
            yield images, labels.to(self.device, non_blocking=True)


def decode(split: Split, preprocess: Preprocess, progress: Progress) -> np.ndarray:
    """All images of a split, fitted to the network's input: [N, 3, S, S] uint8.

    Raises:
        InputError: an image that cannot be decoded; the file is named.
    """
    size = preprocess.image_size
    pixels = np.empty((len(split), 3, size, size), np.uint8)
    progress.start(f"read {split.name}", len(split), "images")
    told, gate = Remarks(split.name), PixelGate()
    for row in range(len(split)):
        with watching(gate) as seen:
            pixels[row] = preprocess.crop(split.open(row)).transpose(2, 0, 1)
        for text in seen.remarks:
            told.add(split.samples[row], text)
        progress.advance(1)
    progress.finish()
    told.tell(progress)
    return pixels


def open_stream(
    split: Split,
    preprocess: Preprocess,
    compute: Compute,
    *,
    names: tuple[str, ...],
    crop_pad: int,
    workers: int,
    progress: Progress,
) -> ImageStream:
    """The stream that suits a split: resident where it fits and is augmented by crop and flip alone."""
    numbers = rows_for(split, preprocess)
    if numbers is not None:
        return ResidentRows(numbers, split.labels, compute.device)
    normalise = Normaliser(preprocess, compute)
    pad = crop_pad if "crop" in names else 0
    padded_bytes = 3 * len(split) * (preprocess.image_size + 2 * pad) ** 2
    if augment.BATCHED.issuperset(names) and padded_bytes <= RESIDENT_BYTES:
        crop = augment.CropFlip(pad, "flip" in names)
        return ResidentImages(decode(split, preprocess, progress), split.labels, crop, normalise)
    return LoadedImages(AugmentedImages(split, names, crop_pad, preprocess), normalise, workers)
