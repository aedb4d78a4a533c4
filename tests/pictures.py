"""Small image folders that several test files write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

TREE = {"train": {"Zebra": 4, "ant": 3, "bee": 2}, "test": {"Zebra": 2, "ant": 2, "bee": 2}}


def make_image(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A smooth random RGB image of (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_photos(
    folder: Path, tree: Mapping[str, Mapping[str, int]] = TREE, size: tuple[int, int] = (40, 32)
) -> Path:
    """``folder/<split>/<class>/NN.png`` with so many images a class; returns ``folder``."""
    seed = 0
    for split, classes in tree.items():
        for label, n in classes.items():
            place = folder / split / label
            place.mkdir(parents=True)
            for i in range(n):
                make_image(seed, size).save(place / f"{i:02}.png")
                seed += 1
    return folder
