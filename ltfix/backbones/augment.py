"""Augmentation: crop and flip of whole uint8 batches, and torchvision's transforms for single images.

In training, draws come before their use: an epoch's draws are made at once on the CPU, so they are the same
on every device, for any number of processes, and cost no synchronisation. A view of a cache is drawn from
the seed, the sample's index and the view's number, and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from ltfix.errors import UsageError, nearest
from ltfix.images import SMALL_IMAGE
from ltfix.seeds import derive, seeded

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
    """The names in an ``augment`` value, in order: ``"crop,flip"`` or ``"none"`` (else UsageError)."""
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


class RandomViews:
    """Augmented copies of single images for a cache, safe to draw in many threads.

    Args:
        text: names as :func:`parse` reads them. crop_pad: of ``crop``. size: of the result, in pixels.
        interpolation: of what resizes. seed: decides every draw.
    """

    def __init__(self, text: str, crop_pad: int, size: int, interpolation: str, seed: int) -> None:
        self.names, self.pad, self.size, self.seed = parse(text), crop_pad, size, seed
        self.interpolation = interpolation
        self._global = threading.Lock()  # torchvision draws from torch's one generator

    def __call__(self, image: Image.Image, centre: np.ndarray, index: int, view: int) -> np.ndarray:
        """View ``view`` of sample ``index``: of the whole image, or of its ``centre`` crop [S, S, 3] where
        nothing among the names crops by itself; [S, S, 3] uint8."""
        rng = np.random.default_rng(derive(self.seed, "view", index, view))
        if "resized-crop" not in self.names:
            image = Image.fromarray(centre)
        for name in self.names:
            image = self._apply(name, image, rng)
        return np.asarray(image)

    def _apply(self, name: str, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        if name == "flip":
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
        if name == "crop":
            left, top = rng.integers(-self.pad, self.pad + 1, 2).tolist()
            return image.crop((left, top, left + self.size, top + self.size))  # zeros beyond the edges
        if name == "resized-crop":
            how = Image.Resampling[self.interpolation.upper()]
            return image.resize((self.size, self.size), how, random_box(*image.size, rng))
        mode = InterpolationMode(self.interpolation)
        with self._global, seeded(int(rng.integers(1 << 62))):
            changed: Image.Image = _TRANSFORMS[name](self.size, self.pad, mode)(image)
            return changed


def random_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a crop of 8 % to all of an image and of aspect 3/4 to 4/3, as
    torchvision's RandomResizedCrop draws it: the largest centred one after ten draws that do not fit."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, max(1, round(height * 4 / 3))), min(height, max(1, round(width * 4 / 3)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


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
