"""Options that several commands share, as annotated types (the frame adds --config, --quiet, --debug)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ltfix.cli.signature import Located


class TableFormat(StrEnum):
    """How a table of results is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


class ListFormat(StrEnum):
    """How a listing is printed."""

    table = "table"
    json = "json"


def _move_source(value: str, folder: Path) -> str:
    """A ``--data`` value written in a file of ``folder``, as seen from the working folder.

    ``photos`` and ``list:train=F,test=G`` name paths that move; a prefix stays as it is.
    """
    prefix, colon, rest = value.partition(":")
    if not colon or len(prefix) == 1:  # C:\photos is a path too
        return str(folder / value)
    parts = [part.rpartition("=") for part in rest.split(",")]
    return prefix + ":" + ",".join(f"{split}{equals}{folder / path}" for split, equals, path in parts)


def _move_if_there(value: str, folder: Path) -> str:
    """A name that may also be a path (a model or a run folder): moves where such a path exists."""
    return str(folder / value) if (folder / value).exists() else value


SourceSpec = Located(_move_source)
NameOrPath = Located(_move_if_there)

Work = Annotated[
    Path,
    typer.Option("--work", metavar="DIR", help="Project folder: features/, heads/ and runs/ lie below it."),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of everything random; equal seeds, equal bytes.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; default: what the machine offers.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output that is already there.")]
Format = Annotated[TableFormat, typer.Option("--format", help="How the result is printed.")]
PlainFormat = Annotated[ListFormat, typer.Option("--format", help="How the list is printed.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write the result here instead of stdout (-).")
]

Data = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="SRC", help="A folder of class folders, list:FILE or list:train=F,test=G."
    ),
    SourceSpec,
]
Root = Annotated[
    Path | None, typer.Option("--root", metavar="DIR", help="Where the paths of a list start from.")
]
Classes = Annotated[
    Path | None, typer.Option("--classes", metavar="FILE", help="Class names in index order, one a line.")
]
ImbalanceFactor = Annotated[
    float | None,
    typer.Option(
        "--imbalance-factor", metavar="F", help="Cut training images to an exponential long tail n_max/n_min."
    ),
]
ImbalanceSeed = Annotated[
    int, typer.Option("--imbalance-seed", min=0, metavar="N", help="Decides which images the cut keeps.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N samples a split, evenly spaced."),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="Weights for the model: safetensors or .pth."),
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained/--no-pretrained", help="The model's own weights, or random ones.")
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option("--model-arg", metavar="KEY=VALUE", help="For the model's constructor; repeatable."),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size", min=1, metavar="N", help="Side of the crop in pixels.  [default: the model's]"
    ),
]
CropPct = Annotated[
    float | None,
    typer.Option("--crop-pct", metavar="F", help="Crop over resized shorter side.  [default: the model's]"),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="R,G,B", help="Of pixels in 0..1, like 0.5,0.5,0.5.  [default: the model's]"
    ),
]
Std = Annotated[
    str | None, typer.Option("--std", metavar="R,G,B", help="Of pixels in 0..1.  [default: the model's]")
]
Interpolation = Annotated[
    str | None,
    typer.Option(
        "--interpolation", metavar="NAME", help="Of the resize: bilinear, bicubic, …  [default: the model's]"
    ),
]

TrainCache = Annotated[
    Path | None,
    typer.Option("--train", metavar="CACHE", help="Features to fit on.  [default: features/train]"),
]
ValCache = Annotated[
    Path | None,
    typer.Option("--val", metavar="CACHE", help="Validation features.  [default: features/val if there]"),
]
Tune = Annotated[
    bool, typer.Option("--tune", help="Choose rate, feature scale and a method's values on validation.")
]
Loss = Annotated[
    str | None, typer.Option("--loss", metavar="NAME", help="Use this loss in the method's place.")
]
Init = Annotated[
    str | None,
    typer.Option(
        "--init", metavar="KIND", help="Start: stage1 (else the probe), probe, random or class-mean."
    ),
]
FeatureScale = Annotated[
    str, typer.Option("--feature-scale", metavar="auto|none|C", help="Divide features by this while fitting.")
]
Normalize = Annotated[
    str, typer.Option("--normalize", metavar="KIND", help="Of features: auto, none, standardize or l2.")
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training samples.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Learning rate at its highest.")]
Momentum = Annotated[float | None, typer.Option("--momentum", help="SGD momentum.")]
Sampler = Annotated[
    str | None, typer.Option("--sampler", metavar="NAME", help="How training samples are drawn.")
]
OwnValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A value without an option of its own; repeatable."),
]

Many = Annotated[int, typer.Option("--many", min=0, help="Many: more training samples than this.")]
Few = Annotated[int, typer.Option("--few", min=0, help="Few: fewer training samples than this.")]
