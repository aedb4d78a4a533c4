"""Everything that an extraction can be told, and what training is told in the same words.

Neither numpy nor torch is needed to say it, so the command line reads its options from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.errors import UsageError, nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """Which images, which model and which machine: what extracting and training have in common.

    Attributes:
        data: a folder, ``list:FILE``, ``list:train=F,test=G``, or another ``prefix:rest``.
        root: the folder that a list's paths start from.
        classes: class names in index order, or a file of them, one a line.
        imbalance_factor, imbalance_seed: cut the training split to the exponential profile.
        limit: at most so many samples a split, evenly spaced.
        checkpoint: weights for the model.
        model_args: for the model's constructor.
        image_size, crop_pct, mean, std, interpolation: override the model's own preprocessing.
        seed: of everything random.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: of torch on the CPU; None leaves torch's own choice.
        workers: how many decode; None is one a core.
        overwrite: replace what is there.
    """

    data: str | Path
    root: str | Path | None = None
    classes: str | Path | Sequence[str] | None = None
    imbalance_factor: float | None = None
    imbalance_seed: int = 0
    limit: int | None = None
    checkpoint: str | Path | None = None
    model_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image_size: int | None = None
    crop_pct: float | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    interpolation: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Refuse values that no extraction or training can have.

        Raises:
            UsageError: naming the option.
        """
        self._check_least(limit=1, workers=0, threads=1)

    def _check_least(self, **least: int) -> None:
        for option, bound in least.items():
            number = getattr(self, option)
            if number is not None and number < bound:
                raise UsageError(f"must be at least {bound}, not {number}", where=option)

    def preprocess(self) -> dict[str, Any]:
        """What overrides the model's own preprocessing; None where nothing was given."""
        names = ("image_size", "crop_pct", "mean", "std", "interpolation")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(ImageRequest):
    """The options of an extraction; the defaults are the command line's.

    Attributes:
        backbone: a timm name, ``torchvision:NAME``, or a run folder.
        out: the folder of the caches; each split gets ``out/<split>/``.
        split: the splits to extract; none: all that the data has.
        pretrained: without a checkpoint: the backbone's own weights, or random ones.
        views: ``center`` or ``center,hflip``.
        precision: auto, fp32, bf16 or fp16, of the computation.
        dtype: float16 or float32, of the cache.
        batch_size: images a batch; None fits it to device and image size.
        compile: run the model through torch.compile.
        on_error: "error" ends at an unreadable image, "skip" leaves it out and lists it in the manifest.
        shard_rows: samples a shard file; an interrupted extraction loses at most one shard.
    """

    backbone: str
    out: str | Path = "features"
    split: Sequence[str] = ()
    pretrained: bool = True
    views: str = "center"
    precision: str = "auto"
    dtype: str = "float16"
    batch_size: int | None = None
    compile: bool = False
    on_error: str = "error"
    shard_rows: int = 1024

    def check(self) -> None:
        """Refuse values that no extraction can have.

        Raises:
            UsageError: naming the option.
        """
        super().check()
        self._check_least(batch_size=1, shard_rows=1)
        _check_known("dtype", self.dtype, ("float16", "float32"))
        _check_known("on_error", self.on_error, ("error", "skip"))


def _check_known(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UsageError(f"unknown value {value!r}", where=option, hint=nearest(value, known))
