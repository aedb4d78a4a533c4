"""The views of an image: how many crops of it the backbone sees, and which."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import UsageError, nearest

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Callable[["Image"], np.ndarray]
View = Callable[[np.ndarray], np.ndarray]

_VIEWS: dict[str, View] = {
    "center": lambda crop: crop,
    "hflip": lambda crop: crop[:, ::-1],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Views:
    """V views of every image.

    Attributes:
        names: one name a view, in order.
    """

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return ",".join(self.names)

    def render(self, image: Image, index: int, crop: Crop) -> np.ndarray:
        """All views of one image.

        Args:
            image: RGB.
            index: the sample's index in its split; random views are drawn from it and nothing else.
            crop: the backbone's resize and centre crop, RGB to [H, W, 3] uint8.

        Returns:
            [V, H, W, 3] uint8.
        """
        centre = crop(image)
        return np.stack([_VIEWS[name](centre) for name in self.names])


def parse_views(text: str) -> Views:
    """Read the names of views: ``center`` or ``center,hflip``.

    ``hflip`` mirrors the finished centre crop, as flip-averaged evaluation does.

    Raises:
        UsageError: an unknown view, or one twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in _VIEWS:
            raise UsageError("unknown view", where=name or "views", hint=nearest(name, _VIEWS))
    if len(set(names)) != len(names):
        raise UsageError("a view is there twice", where=text)
    return Views(names)
