"""Everything that an extraction can be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.features.layout import SHARD_ROWS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The options of an extraction; the defaults are the command line's.

    Attributes:
        data: a folder, ``list:FILE``, ``list:train=F,test=G``, or another ``prefix:rest``.
        backbone: a timm name, ``torchvision:NAME``, or a run folder.
        out: the folder of the caches; each split gets ``out/<split>/``.
        split: the splits to extract; none: all that the data has.
        root: the folder that a list's paths start from. classes: a file of class names, one a line.
        checkpoint: weights for the backbone. pretrained: without one, its own weights or random ones.
        model_args: for the model's constructor.
        image_size, crop_pct, mean, std, interpolation: override the backbone's own preprocessing.
        views: ``center`` or ``center,hflip``.
        imbalance_factor, imbalance_seed: cut the training split to the exponential profile.
        limit: at most so many samples a split, evenly spaced.
        precision: auto, fp32, bf16 or fp16, of the computation. dtype: float16 or float32, of the cache.
        batch_size: images a batch; None fits it to device and image size.
        workers: decoding threads; None is one a core. threads: of torch on the CPU. device: torch's.
        compile: run the model through torch.compile.
        on_error: "error" ends at an unreadable image, "skip" leaves it out and lists it in the manifest.
        seed: of random weights.
        shard_rows: samples a shard file; an interrupted extraction loses at most one shard.
        overwrite: replace caches that are there.
    """

    data: str | Path
    backbone: str
    out: str | Path = "features"
    split: Sequence[str] = ()
    root: str | Path | None = None
    classes: str | Path | None = None
    checkpoint: str | Path | None = None
    pretrained: bool = True
    model_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image_size: int | None = None
    crop_pct: float | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    interpolation: str | None = None
    views: str = "center"
    imbalance_factor: float | None = None
    imbalance_seed: int = 0
    limit: int | None = None
    precision: str = "auto"
    dtype: str = "float16"
    batch_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    compile: bool = False
    on_error: str = "error"
    seed: int = 0
    shard_rows: int = SHARD_ROWS
    overwrite: bool = False

    def check(self) -> None:
        """Refuse values that no extraction can have.

        Raises:
            UsageError: naming the option.
        """
        for option, value, known in (
            ("--dtype", self.dtype, ("float16", "float32")),
            ("--on-error", self.on_error, ("error", "skip")),
        ):
            if value not in known:
                raise UsageError(f"unknown value {value!r}", where=option, hint=nearest(value, known))
        for option, number, least in (
            ("--batch-size", self.batch_size, 1),
            ("--workers", self.workers, 0),
            ("--threads", self.threads, 1),
            ("--shard-rows", self.shard_rows, 1),
        ):
            if number is not None and number < least:
                raise UsageError(f"must be at least {least}, not {number}", where=option)
