"""Everything that an export can be told; neither numpy nor torch is needed to say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.errors import Unused, UsageError
from ltfix.option import Checked, option

FORMATS = {"timm": "", "torchvision": ".safetensors", "onnx": ".onnx", "torch-export": ".pt2"}
"""The formats, and what the names of their files end in (nothing: a folder). Each is a module of
``ltfix.exporting.formats``."""

EVERY_HEAD = "to=onnx and to=torch-export take every head"
SAMPLES = 16  # that an export is checked with
METADATA = "ltfix-export/1"
OF_BODIES = ("backbone", "checkpoint", "checkpoint_key", "ignore_tensors", "model_args")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BodyRequest(Checked):
    """The body that a head goes back into, as `extract` was told it, and the names of its classes.

    Attributes:
        backbone, checkpoint, checkpoint_key, ignore_tensors, model_args, pretrained: what is not given is
            what the cache recorded.
        root: the folder that the paths of a list start from.
        classes: class names in index order, or a file of them, where the head has none.
        seed: of a body with random weights, and of noise.
        said: where the run, folder or file may lie that the cache recorded by its name, if not beside it.
    """

    backbone: str | None = option(
        None, "The body.  [default: what the cache recorded]", metavar="B", path="model"
    )
    checkpoint: str | Path | None = option(None, "The body's weights, as extract had them.", metavar="FILE")
    checkpoint_key: str | None = option(None, "Where in it the state dict lies.", metavar="KEY")
    ignore_tensors: Sequence[str] = option((), "Leave these tensors of it out; repeatable.", metavar="GLOB")
    model_args: Mapping[str, Any] = option(
        {}, "For the model's constructor; repeatable.", metavar="KEY=VALUE", flag="model-arg"
    )
    pretrained: bool = option(True, "The model's own weights, or random ones.", negatable=True)
    root: str | Path | None = option(None, "Where the paths of a list start from.", metavar="DIR")
    classes: str | Path | Sequence[str] | None = option(
        None, "Class names, one a line, where the head has none.", metavar="FILE"
    )
    seed: int = option(0, "Of a body with random weights.", low=0)
    said: Sequence[str | Path] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportRequest(BodyRequest):
    """The options of an export, which are the command line's.

    Attributes:
        to: the format.
        features: export the head alone, from features to logits.
        data: the pictures that the export is checked with; without them noise.
        overwrite: replace an export that is there.

    Raises:
        UsageError: a value out of range, a body for a head that goes alone, or that to a model.
    """

    to: str = option("timm", "The format: timm, torchvision, onnx or torch-export.", choices=tuple(FORMATS))
    features: bool = option(False, "The head alone, from features [B, D]; onnx and torch-export.")
    data: str | Path | None = option(
        None, "Pictures to check the export with.  [default: noise]", metavar="SRC", path="data"
    )
    overwrite: bool = option(False, "Replace output that is already there.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features:
            refuse_given(
                self, (*OF_BODIES, "data", "root"), "a head that goes alone has no body and sees no pictures"
            )
            if self.to in ("timm", "torchvision"):
                hint = "to=onnx and to=torch-export take a head alone"
                raise UsageError(f"{self.to} takes a whole model", where="features=True", hint=hint)


def refuse_given(request: BodyRequest, names: Iterable[str], told: str) -> None:
    """Refuse options, the first of ``names`` that was given, that would do nothing (UsageError)."""
    for name in names:
        if getattr(request, name):
            raise Unused(told, where=name)


def is_export(path: Path) -> bool:
    """Whether a path looks like an export, as opposed to a head file or a feature cache."""
    if path.is_dir():
        return (path / "config.json").exists()
    if path.suffix not in ("", ".safetensors"):  # heads may lack their ending
        return path.suffix in FORMATS.values() and path.exists()
    from ltfix.tensorfile import load_tensors, ltfix_metadata

    return ltfix_metadata(load_tensors(path)[1], path).get("format") == METADATA
