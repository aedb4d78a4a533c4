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
from ltfix.backbones.preprocess import Preprocess, check_preprocess
from ltfix.errors import InputError, UsageError
from ltfix.exporting.request import FORMATS, METADATA
from ltfix.public import public
from ltfix.records import record_of

if TYPE_CHECKING:
    from ltfix.exporting.joined import Joined

ToLogits = Callable[[Tensor], Tensor]
"""[B, 3, S, S] float32 in 0…1 (or features [B, D]) to logits [B, K]."""


class ExportFormat(Protocol):
    """What the module of a format has."""

    def write(self, joined: Joined, folder: Path) -> Path:
        """Write the export into an empty folder, and say where it is.

        Raises:
            UsageError: the format cannot express the head or the body.
            EnvironmentFault: an extra is missing.
        """

    def load(self, path: Path, device: str) -> tuple[ExportRecord, ToLogits]:
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
        run: tensors on the CPU to logits.
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    preprocess: Preprocess | None
    run: ToLogits

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """Logits [B, K] float32.

        Args:
            batch: [B, S, S, 3] uint8, crops as ``preprocess.crop`` gives them; without ``preprocess``
                features [B, D].

        Raises:
            InputError: there are not K of them, or it takes no such input.
        """
        try:
            with torch.inference_mode():
                found: np.ndarray = self.run(as_input(batch)).float().cpu().numpy()
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as err:  # of several runtimes
            kind = f"features of {batch.shape[1]} dimensions" if batch.ndim == 2 else "such pictures"
            raise InputError(f"the export does not take {kind}", where=self.path) from err
        if found.shape[1:] != (len(self.classes),):
            told = f"it has {len(self.classes)} class names for logits of {list(found.shape)}"
            raise InputError(told, where=self.path)
        return found


def as_input(batch: np.ndarray) -> Tensor:
    """[B, S, S, 3] uint8 as the pixels [B, 3, S, S] in 0…1 that exports take; features [B, D] as float32."""
    values = torch.tensor(batch)
    return values.float() if values.ndim == 2 else values.permute(0, 3, 1, 2).contiguous().float().div_(255)


def normalised(model: nn.Module, preprocess: Preprocess, device: str) -> ToLogits:
    """A model of normalised images as a function of pixels in 0…1."""
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (preprocess.mean, preprocess.std))
    frozen = model.eval().to(device)
    return lambda pixels: frozen((pixels.to(device) - mean) / std)


@public
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
    record, run = lookup(name).load(path, device)
    return Exported(path, name, tuple(record.classes), record.preprocess, run)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """What an exported file says of itself.

    Attributes:
        classes: K names. preprocess: from an image to its input; None where it takes features.
        method: the head's. backbone: as the cache's manifest has it.
        created_by: the program and its version.
        model, model_args: of a state dict: what it is for.
        temperature: the least and the largest of the head's. head: SHA-256 of its file.
    """

    classes: list[str]
    preprocess: Preprocess | None
    method: str = ""
    backbone: dict[str, Any] | None = None
    created_by: str = f"ltfix {__version__}"
    model: str = ""
    model_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    temperature: list[float] | None = None
    head: str | None = None

    @classmethod
    def of(cls, joined: Joined, **more: Any) -> ExportRecord:
        """The record of what is exported."""
        body, head = joined.backbone, joined.head
        heat = head.temperature
        return cls(
            classes=list(joined.classes),
            preprocess=None if body is None else body.preprocess,
            backbone=None if body is None else body.info,
            method=head.method,
            temperature=None if heat is None else [float(heat.min()), float(heat.max())],
            head=None if head.path is None else files.sha256_file(head.path),
            **more,
        )

    @classmethod
    def read(cls, value: Any, path: Path) -> ExportRecord:
        """The record that :meth:`to_dict` wrote (InputError: the file is no export, or a key is wrong)."""
        record = record_of(cls, value, path, METADATA, hint="exports are written by `ltfix export`")
        if record.preprocess is not None:
            try:
                check_preprocess(record.preprocess)
            except UsageError as err:
                raise InputError(f"its preprocessing: {err.what}", where=path) from err
        return record

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, with ``format``."""
        return {"format": METADATA, **dataclasses.asdict(self)}
