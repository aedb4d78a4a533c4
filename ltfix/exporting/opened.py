"""An exported classifier opened again, whatever its format: pixels in, logits out."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from ltfix import files
from ltfix._version import __version__
from ltfix.backbones.preprocess import Preprocess, from_dict
from ltfix.errors import InputError
from ltfix.exporting.request import FORMATS
from ltfix.tensorfile import load_tensors, ltfix_metadata

if TYPE_CHECKING:
    from ltfix.exporting.joined import Joined

METADATA = "ltfix-export/1"


class ExportFormat(Protocol):
    """What the module of a format has."""

    def write(self, joined: Joined, folder: Path) -> Path:
        """Write the export into an empty folder, and say where it is.

        Raises:
            UsageError: the format cannot express the head or the body.
            EnvironmentFault: an extra is missing.
        """

    def load(self, path: Path, device: str) -> Exported:
        """Open it as its users do; see :func:`open_export`."""

    def usage(self, path: Path, joined: Joined) -> str:
        """The line of Python that loads it without ltfix."""


def lookup(name: str) -> ExportFormat:
    """The module of a format."""
    module = importlib.import_module(f"ltfix.exporting.formats.{name.replace('-', '_')}")
    return cast(ExportFormat, module)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """An exported classifier, loaded as its users load it.

    Attributes:
        path: the file or folder. format: "timm", "torchvision", "onnx" or "torch-export".
        classes: the K class names.
        preprocess: from an image to its input; None where it takes features.
        run: [B, 3, S, S] float32 in 0…1 (or features [B, D]) to logits [B, K]; on the CPU or any device.
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    preprocess: Preprocess | None
    run: Callable[[Tensor], Tensor]

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """Logits [B, K] float32.

        Args:
            batch: [B, S, S, 3] uint8, crops as ``preprocess.crop`` gives them; without ``preprocess``
                features [B, D].
        """
        with torch.inference_mode():
            found: np.ndarray = self.run(as_input(batch)).float().cpu().numpy()
        return found


def as_input(batch: np.ndarray) -> Tensor:
    """[B, S, S, 3] uint8 as the pixels [B, 3, S, S] in 0…1 that exports take; features [B, D] as float32."""
    values = torch.tensor(batch)
    return values.float() if values.ndim == 2 else values.permute(0, 3, 1, 2).contiguous().float().div_(255)


def normalised(model: nn.Module, preprocess: Preprocess, device: str) -> Callable[[Tensor], Tensor]:
    """A model of normalised images as a function of pixels in 0…1."""
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (preprocess.mean, preprocess.std))
    frozen = model.eval().to(device)
    return lambda pixels: frozen((pixels.to(device) - mean) / std)


def is_export(path: Path) -> bool:
    """Whether a path looks like an export, as opposed to a head file or a feature cache."""
    if path.is_dir():
        return (path / "config.json").exists()
    if path.suffix != ".safetensors":
        return path.suffix in FORMATS.values() and path.exists()
    return ltfix_metadata(load_tensors(path)[1], path).get("format") == METADATA


def open_export(path: Path | str, device: str = "cpu") -> Exported:
    """Open what :func:`ltfix.export` wrote, or any folder that timm loads and that names its classes.

    >>> import numpy as np, ltfix
    >>> head = ltfix.Head(np.eye(3), np.zeros(3), "mine", classes=("cat", "dog", "owl"))
    >>> written = ltfix.export(head, "owls.pt2", to="torch-export", features=True)
    >>> exported = ltfix.open_export(written.path)
    >>> exported.classes[exported.logits(np.array([[0.1, 0.2, 0.9]])).argmax()]
    'owl'

    Args:
        path: a timm folder, ``.safetensors`` for torchvision, ``.onnx`` or ``.pt2``.
        device: where timm and torchvision models run; the others run on the CPU.

    Raises:
        InputError: none of these, torn, or without class names.
        EnvironmentFault: an extra is missing.
    """
    path = Path(path)
    with files.os_errors(path):
        path.stat()
    suffix = "" if path.is_dir() else path.suffix or "none"
    name = next((name for name, ending in FORMATS.items() if ending == suffix), None)
    if name is None:
        hint = "exports are a timm folder, .safetensors, .onnx or .pt2"
        raise InputError("not an export", where=path, hint=hint)
    return lookup(name).load(path, device)


def metadata(joined: Joined) -> dict[str, Any]:
    """What a file says of itself, as JSON."""
    backbone = joined.backbone
    return {
        "format": METADATA,
        "classes": list(joined.classes),
        "preprocess": None if backbone is None else backbone.preprocess.to_dict(),
        "backbone": None if backbone is None else backbone.info,
        "method": joined.head.method,
        "created_by": f"ltfix {__version__}",
    }


def described(meta: Any, path: Path) -> tuple[tuple[str, ...], Preprocess | None]:
    """The class names and the preprocessing that :func:`metadata` wrote.

    Raises:
        InputError: they are not there, or of another kind.
    """
    if not isinstance(meta, dict) or "format" not in meta:
        raise InputError("not written by `ltfix export`: it does not name its classes", where=path)
    files.check_format(meta["format"], METADATA, path)
    classes, values = meta.get("classes"), meta.get("preprocess")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InputError("its classes are not a list of names", where=path)
    try:
        return tuple(classes), None if values is None else from_dict(values)
    except (KeyError, TypeError, ValueError) as err:
        raise InputError(f"its preprocessing cannot be read: {err}", where=path) from err
