"""From an RGB image to what the backbone was trained to see."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor

from ltfix.errors import InputError, Unused, UsageError, nearest
from ltfix.images.watch import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
MAX_SIDE = 8192  # pixels
CROP_MODES = ("center", "squash", "border")
_KEYS = ("input_size", "crop_pct", "mean", "std", "interpolation", "crop_mode")


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, normalise; the same pixels as timm's evaluation transform.

    Attributes:
        image_size: side of the square that the backbone sees, in pixels.
        crop_pct: ``image_size`` over the side that the image's shorter side is resized to.
        mean, std: per channel, for pixels in 0..1.
        interpolation: of the resize.
        crop_mode: timm's: "center", "squash" (ignores the aspect ratio) or "border" (pads).
    """

    image_size: int
    crop_pct: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_mode: str = "center"

    @property
    def takes(self) -> str:
        """What the network sees, in words."""
        return f"{self.image_size} × {self.image_size} pixels"

    def to_dict(self) -> dict[str, Any]:
        """The JSON of manifests and runs."""
        return {
            **dataclasses.asdict(self),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @functools.cached_property
    def _transform(self) -> Callable[[Image], Image]:
        transform = create_transform(
            (3, self.image_size, self.image_size),
            is_training=False,
            use_prefetcher=True,  # ends in uint8 pixels, without normalisation
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
        )
        transform.transforms.pop()  # the step to a tensor: an array is what is batched here
        return transform  # type: ignore[no-any-return]

    def crop(self, image: Image) -> np.ndarray:
        """RGB image to [S, S, 3] uint8; InputError of one too elongated to be resized."""
        side = math.floor(self.image_size / self.crop_pct)
        short, long = min(image.size), max(image.size)
        if self.crop_mode == "center" and side * math.ceil(long * side / short) > MAX_PIXELS:
            raise InputError(f"an image of {image.width} × {image.height} pixels is too elongated to resize")
        return np.asarray(self._transform(image))

    def normalize(self, pixels: Tensor) -> Tensor:
        """[B, S, S, 3] uint8 to ``(pixels / 255 - mean) / std``, [B, 3, S, S] float32, channels last."""
        mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (self.mean, self.std))
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)


@dataclasses.dataclass(frozen=True)
class Columns(Preprocess):
    """Rows of numbers instead of pictures: every column standardised by the training rows.

    Attributes:
        columns: names of d columns; ``mean`` and ``std`` have a number for each.
    """

    image_size: int = 1
    crop_pct: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = "nearest"
    columns: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """What the network sees, in words."""
        return f"{len(self.columns)} columns"

    def to_dict(self) -> dict[str, Any]:
        """The JSON of manifests and runs."""
        return {"columns": list(self.columns), "mean": list(self.mean), "std": list(self.std)}

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Rows [N, d] float64 to (x − mean)/std, float32."""
        rows: np.ndarray = (values - np.array(self.mean)) / np.array(self.std)
        return rows.astype(np.float32)

    def crop(self, image: Image) -> np.ndarray:
        """Refuse a picture."""
        raise InputError("the network takes rows of numbers, not pictures")

    def normalize(self, pixels: Tensor) -> Tensor:
        """Rows that are standardised already, as they are."""
        return pixels


def resolve_preprocess(
    config: Mapping[str, Any], metadata: Mapping[str, str], overrides: Mapping[str, Any], where: object
) -> Preprocess:
    """The preprocessing of a backbone: override > the checkpoint's metadata > the model's own config.

    Args:
        config: timm's ``pretrained_cfg`` of the model.
        metadata: of the checkpoint: a ``pretrained_cfg`` as JSON, or ``mean``, ``std``, ``crop_pct``,
            ``interpolation``, ``input_size`` as text.
        overrides: image_size, crop_pct, mean, std, interpolation, those that are given.
        where: the checkpoint, for messages.

    Raises:
        UsageError: an override out of range.
        InputError: metadata that cannot be read, or a model that does not take square RGB images.
    """
    if "columns" in config:
        columns = from_dict({**overrides, **config})
        check_preprocess(columns)
        return columns
    own: dict[str, Any] = resolve_data_config(pretrained_cfg=dict(config))  # type: ignore[no-untyped-call]
    try:
        known = {**own, **_read_metadata(metadata)}
        channels, height, width = map(int, known["input_size"])
        values = {"image_size": height, **{key: known[key] for key in _KEYS if key != "input_size"}}
        preprocess = from_dict({**values, **overrides})
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as err:
        raise InputError(f"the preprocessing in its metadata cannot be read: {err}", where=where) from err
    if channels != 3 or height != width:
        raise InputError(
            f"the model takes {channels} × {height} × {width}, not square RGB images", where=where
        )
    check_preprocess(preprocess)
    return preprocess


def from_dict(values: Mapping[str, Any]) -> Preprocess:
    """The preprocessing that :meth:`Preprocess.to_dict` wrote, or that options gave."""
    if "columns" in values:
        columns, mean, std = (tuple(values.get(key) or ()) for key in ("columns", "mean", "std"))
        return Columns(columns=columns, mean=mean, std=std)
    return Preprocess(
        image_size=int(values["image_size"]),
        crop_pct=float(values["crop_pct"]),
        mean=_triple(values["mean"], "mean"),
        std=_triple(values["std"], "std"),
        interpolation=str(values["interpolation"]),
        crop_mode=str(values.get("crop_mode", "center")),
    )


def _triple(values: Any, where: str) -> tuple[float, float, float]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) not in (1, 3):
        raise UsageError(f"one number is needed, or three, not {len(numbers)}", where=where)
    return numbers if len(numbers) == 3 else (numbers[0],) * 3


def check_preprocess(preprocess: Preprocess) -> None:
    """Refuse what no image can be brought to: numbers out of range, unknown words (UsageError)."""
    check_size(preprocess.image_size)
    sides = len(preprocess.columns) if isinstance(preprocess, Columns) else 3
    if {len(preprocess.mean), len(preprocess.std)} != {sides} or not sides:
        raise UsageError(f"mean and std must be {sides} numbers each")
    if not 0 < preprocess.crop_pct <= 2:
        raise UsageError(f"crop_pct is a fraction like 0.875, not {preprocess.crop_pct:g}")
    if not all(map(math.isfinite, (*preprocess.mean, *preprocess.std))):
        raise UsageError("mean and std must be finite numbers")
    if not min(preprocess.std) > 0:
        raise UsageError("a std must be above 0")
    for value, known in (
        (preprocess.interpolation, INTERPOLATIONS),
        (preprocess.crop_mode, CROP_MODES),
    ):
        if value not in known:
            raise UsageError("unknown interpolation or crop mode", where=value, hint=nearest(value, known))


def check_size(image_size: object) -> None:
    """Refuse a side that no image has: no whole number, or too large (UsageError); None is none given."""
    if image_size is None:
        return
    if not isinstance(image_size, int) or isinstance(image_size, bool) or not 1 <= image_size <= MAX_SIDE:
        what = f"the image size must be a whole number from 1 to {MAX_SIDE}, not {str(image_size)[:40]}"
        raise UsageError(what, where="image_size")


def refuse_pixels(given: Mapping[str, Any]) -> None:
    """Refuse options of pictures where a network takes rows of numbers (UsageError)."""
    for name in given:
        raise Unused("rows of numbers are no pictures", where=name)


def _read_metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    found = json.loads(metadata.get("pretrained_cfg", "{}"))
    plain: dict[str, Any] = {
        key: [float(part) for part in metadata[key].split(",")]
        for key in ("mean", "std", "crop_pct", "input_size")
        if key in metadata
    }
    if "crop_pct" in plain:
        plain["crop_pct"] = plain["crop_pct"][0]
    for key in ("interpolation", "crop_mode"):
        if key in metadata:
            plain[key] = metadata[key]
    return {key: value for key, value in {**found, **plain}.items() if key in _KEYS and value is not None}
