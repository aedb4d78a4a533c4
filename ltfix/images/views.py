"""The views of an image: how many crops of it the backbone sees, and which."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import UsageError, nearest

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Callable[["Image"], np.ndarray]
View = Callable[[np.ndarray], np.ndarray]
DrawView = Callable[["Image", np.ndarray, int, int], np.ndarray]
"""An image, its centre crop, the sample's index and the view's number to one random view."""

_RANDOM = re.compile(r"train:([1-9][0-9]{0,3})")

_VIEWS: dict[str, View] = {
    "center": lambda crop: crop,
    "hflip": lambda crop: crop[:, ::-1],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Views:
    """V views of every image.

    Attributes:
        names: one name a view that is the same every time, in order.
        random: how many random ones follow.
    """

    names: tuple[str, ...]
    random: int = 0

    def __len__(self) -> int:
        return len(self.names) + self.random

    def __str__(self) -> str:
        return ",".join((*self.names, *([f"train:{self.random}"] if self.random else [])))

    def of_split(self, name: str) -> Views:
        """Those of one split: random ones are of the training split alone, and no split is without any."""
        return self if name == "train" or not self.random else Views(self.names or ("center",))

    def render(self, image: Image, index: int, crop: Crop, draw: DrawView | None = None) -> np.ndarray:
        """All views of one image.

        Args:
            image: RGB.
            index: the sample's index in its split; random views are drawn from it and nothing else.
            crop: the backbone's resize and centre crop, RGB to [H, W, 3] uint8.
            draw: makes the random views.

        Returns:
            [V, H, W, 3] uint8.
        """
        centre = crop(image)
        fixed = [_VIEWS[name](centre) for name in self.names]
        drawn = [draw(image, centre, index, view) for view in range(self.random)] if draw else []
        return np.stack([*fixed, *drawn])


def parse_views(text: str) -> Views:
    """Read the names of views: ``center``, ``center,hflip``, ``train:10`` or ``center,hflip,train:4``.

    ``hflip`` mirrors the finished centre crop, as flip-averaged evaluation does. ``train:N`` are N random
    views, as training augments; they come last.

    Raises:
        UsageError: an unknown view, one twice, or one behind the random ones.
    """
    names = tuple(name.strip() for name in text.split(","))
    drawn = _RANDOM.fullmatch(names[-1])
    fixed = names[:-1] if drawn else names
    for name in fixed:
        if _RANDOM.fullmatch(name):
            raise UsageError(f"{name} must come last", where=text)
        if name not in _VIEWS:
            raise UsageError("unknown view", where=name or "views", hint=nearest(name, [*_VIEWS, "train:N"]))
    if len(set(fixed)) != len(fixed):
        raise UsageError("a view is there twice", where=text)
    return Views(fixed, int(drawn[1]) if drawn else 0)
