"""Two images in one: MixUp and CutMix, by draws that are made before they are used."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """What one step draws for mixing.

    Attributes:
        share: λ, of the first image in the mixture.
        cut: by box (CutMix) instead of by weights (MixUp).
        centre: of the box, as shares of height and width.
    """

    share: float
    cut: bool
    centre: tuple[float, float]


def draw(rng: np.random.Generator, mixup: float, cutmix: float) -> Draw | None:
    """The draw of a step: λ ~ Beta(α, α) of one of the two (each as often where both are on), or None.

    Args:
        mixup, cutmix: α; 0 is off.
    """
    cut = bool(rng.random() < 0.5) if mixup and cutmix else cutmix > 0
    alpha = cutmix if cut else mixup
    if not alpha:
        return None
    share = float(rng.beta(alpha, alpha))
    return Draw(share, cut, (float(rng.random()), float(rng.random())))


def mixup(first: Tensor, second: Tensor, share: float) -> Tensor:
    """λ x + (1 − λ) x′ (Zhang et al. 2018)."""
    return first * share + second * (1 - share)


def box(size: tuple[int, int], share: float, centre: tuple[float, float], ceil: bool = False) -> list[slice]:
    """Rows and columns of CutMix's box: sides √(1 − λ) of the image's, clipped at its border.

    Args:
        size: height and width in pixels.
        share: λ.
        centre: in [0, 1)², of the box.
        ceil: round its sides up (GLMC's code) instead of down (Yun et al. 2019, torchvision).
    """
    slices = []
    for length, where in zip(size, centre, strict=True):
        ratio = math.sqrt(1 - share)
        if ceil:
            before = after = math.ceil(length * ratio) // 2
        else:
            before = after = int(0.5 * ratio * length)
        middle = int(where * length)
        slices.append(slice(max(middle - before, 0), min(middle + after, length)))
    return slices


def cutmix(first: Tensor, second: Tensor, where: list[slice]) -> Tensor:
    """The first images [B, C, H, W] with the second's pixels in a box."""
    rows, columns = where
    mixed = first.clone()
    mixed[..., rows, columns] = second[..., rows, columns]
    return mixed


def mix(images: Tensor, partner: Tensor, drawn: Draw) -> tuple[Tensor, float]:
    """A batch mixed with its own images in another order.

    Args:
        images: [B, C, H, W].
        partner: [B] int64, the second image of each.
        drawn: of the step.

    Returns:
        The mixtures, and the first label's share: λ, or for CutMix the area that is left to it.
    """
    second = images[partner]
    if not drawn.cut:
        return mixup(images, second, drawn.share), drawn.share
    height, width = images.shape[-2:]
    where = box((height, width), drawn.share, drawn.centre)
    area = math.prod(max(side.stop - side.start, 0) for side in where)
    return cutmix(images, second, where), 1 - area / (height * width)
