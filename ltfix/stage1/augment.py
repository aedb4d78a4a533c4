"""Augmentation: crop and flip of whole uint8 batches, and torchvision's transforms for single images.

Draws come before their use: an epoch's draws are made at once on the CPU, so they are the same on
every device, for any number of processes, and cost no synchronisation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from ltfix.errors import UsageError, nearest
from ltfix.stage1.recipes import SMALL_IMAGE

BATCHED = frozenset({"crop", "flip"})
JITTER = 0.4  # brightness, contrast and saturation, as the decoupling code has it


@dataclasses.dataclass(frozen=True, slots=True)
class CropFlip:
    """Zero-pad, crop at random, mirror at random: He et al. 2016 for CIFAR.

    Attributes:
        pad: pixels added on each side; 0 is no crop.
        flip: mirror every second image, on average.
    """

    pad: int
    flip: bool

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws for ``n`` images: [3, n] int64 with rows top, left (0..2·pad) and mirrored (0 or 1)."""
        corner = torch.randint(0, 2 * self.pad + 1, (2, n), generator=generator)
        mirrored = torch.randint(0, 2 if self.flip else 1, (1, n), generator=generator)
        return torch.cat([corner, mirrored])

    def apply(self, windows: Tensor, index: Tensor, draws: Tensor) -> Tensor:
        """The augmented images of one batch.

        Args:
            windows: :func:`crop_windows` of the padded set.
            index: [B] rows of the set.
            draws: [3, B] of :meth:`draw`.

        Returns:
            [B, C, S, S], of the set's dtype.
        """
        top, left, mirrored = draws
        images = windows[index, top, left]
        return (
            torch.where(mirrored.bool()[:, None, None, None], images.flip(-1), images)
            if self.flip
            else images
        )


def crop_windows(pixels: Tensor, pad: int) -> Tensor:
    """Every crop of ``pixels`` [N, C, S, S] with zeros around it: a view [N, 2·pad+1, 2·pad+1, C, S, S]."""
    size = pixels.shape[-1]
    padded = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    return padded.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)


def parse(text: str) -> tuple[str, ...]:
    """The names in an ``augment`` value, in order: ``"crop,flip"``, or ``"none"``.

    Raises:
        UsageError: an unknown name.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip() not in ("", "none"))
    for name in names:
        if name not in _TRANSFORMS:
            raise UsageError("unknown augmentation", where=name, hint=nearest(name, _TRANSFORMS))
    return names


def image_transform(
    names: tuple[str, ...], size: int, crop_pad: int, interpolation: str
) -> Callable[[Any], Tensor]:
    """torchvision's transforms by name, from a PIL image to a [3, size, size] uint8 tensor.

    Images come fitted to ``size`` already unless ``resized-crop`` is among the names.
    """
    built = [_TRANSFORMS[name](size, crop_pad, InterpolationMode(interpolation)) for name in names]
    transform: Callable[[Any], Tensor] = v2.Compose([*built, v2.PILToTensor()])
    return transform


def _policy(size: int) -> v2.AutoAugmentPolicy:
    """The policy that was found on images of about this size (Cubuk et al. 2019)."""
    return v2.AutoAugmentPolicy.CIFAR10 if size <= SMALL_IMAGE else v2.AutoAugmentPolicy.IMAGENET


_TRANSFORMS: dict[str, Callable[[int, int, InterpolationMode], v2.Transform]] = {
    "crop": lambda size, pad, mode: v2.RandomCrop(size, padding=pad),
    "flip": lambda size, pad, mode: v2.RandomHorizontalFlip(),
    "resized-crop": lambda size, pad, mode: v2.RandomResizedCrop(size, interpolation=mode),
    "color-jitter": lambda size, pad, mode: v2.ColorJitter(JITTER, JITTER, JITTER, 0),
    "randaugment": lambda size, pad, mode: v2.RandAugment(interpolation=mode),
    "autoaugment": lambda size, pad, mode: v2.AutoAugment(_policy(size), interpolation=mode),
}
