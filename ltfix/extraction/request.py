"""Everything that an extraction can be told, and what training is told in the same words.

Neither numpy nor torch is needed to say it, so the command line reads its options from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.option import RunOptions, option

CUT = ("imbalance_factor", "imbalance_type", "imbalance_order", "imbalance_seed", "val_from_rest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRequest(RunOptions):
    """Which images, which model and which machine: what extracting and training have in common.

    What each may be stands beside it. The cut to a long tail is that of
    :func:`ltfix.images.longtail.cut_long_tail`; what ``columns`` keeps goes into a cache's ``samples.jsonl``.

    Raises:
        UsageError: a value that no extraction or training can have.
    """

    data: str | Path = option(
        ...,
        "A folder of class folders, list:FILE, list:train=F,test=G, csv:FILE, … (docs/extract.md).",
        metavar="SRC",
        path="data",
    )
    root: str | Path | None = option(
        None, "Where the paths of a list or table start from.", metavar="DIR", path="place"
    )
    columns: str | None = option(
        None,
        "Of a table, like path=file,label=species; keep=place,date are kept, too.  [default: found by name]",
        metavar="MEANING=NAME,…",
    )
    classes: str | Path | Sequence[str] | None = option(
        None, "Class names in index order, one a line.", metavar="FILE"
    )
    classes_order: str = option(
        "text", "Of class names that the data shows: of text, or of numbers.", choices=("text", "numeric")
    )
    imbalance_factor: float | None = option(
        None, "Cut training images to a long tail n_max/n_min.", metavar="F"
    )
    imbalance_type: str = option("exp", "Of the cut: exponential, or two steps.", choices=("exp", "step"))
    imbalance_order: str = option(
        "shuffle", "The cut keeps shuffled images, or the first ones.", choices=("shuffle", "first")
    )
    imbalance_seed: int = option(0, "Decides which shuffled images the cut keeps.", low=0)
    val_from_rest: int | None = option(
        None, "N images a class that the cut leaves are the split val.", metavar="N", low=1
    )
    limit: int | None = option(None, "At most N samples a split, evenly spaced.", low=1)
    checkpoint: str | Path | None = option(
        None, "Weights for the model: safetensors or .pth.", metavar="FILE"
    )
    checkpoint_key: str | None = option(
        None,
        "Where in it the state dict lies, like model or teacher.  [default: averaged weights first]",
        metavar="KEY",
    )
    ignore_tensors: Sequence[str] = option(
        (), "Leave these tensors of it out, like 'decoder.*'; repeatable.", metavar="GLOB"
    )
    model_args: Mapping[str, Any] = option(
        {}, "For the model's constructor; repeatable.", metavar="KEY=VALUE", flag="model-arg"
    )
    image_size: int | None = option(None, "Side of the crop in pixels.  [default: the model's]", low=1)
    crop_pct: float | None = option(
        None, "Crop over resized shorter side.  [default: the model's]", metavar="F"
    )
    mean: Sequence[float] | None = option(
        None, "Of pixels in 0..1, like 0.5,0.5,0.5.  [default: the model's]", metavar="R,G,B"
    )
    std: Sequence[float] | None = option(None, "Of pixels in 0..1.  [default: the model's]", metavar="R,G,B")
    interpolation: str | None = option(
        None, "Of the resize: bilinear, bicubic, …  [default: the model's]", metavar="NAME"
    )

    def cut(self) -> dict[str, Any]:
        """What a record of the training images says of their cut; empty where they are not cut."""
        usual = {"imbalance_type": "exp", "imbalance_order": "shuffle", "imbalance_seed": self.imbalance_seed}
        asked = {name: getattr(self, name) for name in CUT if getattr(self, name) != usual.get(name)}
        return {**asked, "imbalance_seed": self.imbalance_seed} if asked else {}

    def preprocess(self) -> dict[str, Any]:
        """What was given to override the model's own preprocessing."""
        names = ("image_size", "crop_pct", "mean", "std", "interpolation")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(ImageRequest):
    """The options of an extraction, which are the command line's; ``seed`` is that of random weights.

    ``beside``, which no option is, names another folder of caches, whose train has the classes where nothing
    nearer has. An interrupted extraction loses at most one shard.
    """

    backbone: str = option(..., "A timm name, torchvision:NAME, or a run folder.", metavar="B", path="model")
    unlabelled: bool = option(
        False, "Pictures without labels, or of classes that training had not: to predict, not to measure."
    )
    split: Sequence[str] = option((), "Only this split; repeatable.  [default: all]", metavar="NAME")
    out: str | Path = option(
        "features", "Each split goes to DIR/<split>.  [default: WORK/features]", metavar="DIR"
    )
    pretrained: bool = option(True, "The model's own weights, or random ones.", negatable=True)
    beside: str | Path | None = None
    experts: str | None = option(
        None, "Of a network of several: mean, concat, or one from 0.  [default: concat]", metavar="WHICH"
    )
    views: str = option("center", "center, or center,hflip; train:N adds N random ones of training images.")
    augment: str | None = option(
        None,
        "Of random views, like crop,flip.  [default: as the run trained, else resized-crop,flip]",
        metavar="NAMES",
    )
    precision: str = option(
        "auto", "Of the model; auto: bf16 on a GPU that has it.", choices=("auto", "fp32", "bf16", "fp16")
    )
    dtype: str = option("float16", "Of the stored features.", choices=("float16", "float32"))
    decoder: str = option(
        "pillow",
        "Of JPEGs; simplejpeg is faster and gives other pixels (pip install 'ltfix[fast]').",
        choices=("pillow", "simplejpeg"),
    )
    batch_size: int | None = option(None, "Images a batch, or auto.", low=1, unset="auto")
    workers: int | None = option(None, "Decoding threads, or auto: one a core.", low=0, unset="auto")
    compile: bool = option(False, "Run the model through torch.compile.", negatable=True)
    on_error: str = option(
        "error", "At an unreadable image: error, or skip and list it.", choices=("error", "skip")
    )
    shard_rows: int | None = option(
        None,
        "Samples a shard file; what an interruption can cost.  [default: 1024, or as it was begun]",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        from ltfix.images.views import parse_views

        parse_views(self.views)
