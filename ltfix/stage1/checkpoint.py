"""``checkpoint-last.safetensors``: all that the next epoch depends on, without pickle.

Tensors ``model/NAME`` and, per trained parameter, ``momentum/NAME``. The metadata holds the epochs done
and all that the run decided, so that another run's checkpoint is refused. The state of randomness is the
seed in it and the number of the epoch: every epoch makes its generators anew from the two.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltfix import files
from ltfix.errors import InputError
from ltfix.heads.head import check_format
from ltfix.tensorfile import load_tensors, ltfix_metadata

FORMAT = "ltfix-checkpoint/1"
NAME = "checkpoint-last.safetensors"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run's state after ``epoch`` epochs.

    Attributes:
        epoch: epochs done.
        decides: all that decides the weights, as JSON; equal in every checkpoint of a run.
        arrays: tensors by ``model/…``, ``momentum/…``.
    """

    epoch: int
    decides: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def save(self, folder: Path) -> None:
        """Replace the folder's last checkpoint, atomically."""
        meta = {"format": FORMAT, "epoch": self.epoch, "decides": self.decides}
        files.write_safetensors(folder / NAME, self.arrays, meta)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The last checkpoint of a run folder, or None.

    Raises:
        InputError: it is torn, of another format, or newer than this ltfix reads.
    """
    path = folder / NAME
    if not path.exists():
        return None
    arrays, metadata = load_tensors(path)
    meta = ltfix_metadata(metadata, path)
    check_format(str(meta.get("format", "")), FORMAT, path)
    return Checkpoint(int(meta["epoch"]), meta["decides"], arrays)


def capture(epoch: int, decides: dict[str, Any], model: nn.Module, optimizer: Optimizer) -> Checkpoint:
    """The state of a run after ``epoch`` epochs."""
    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum/{name}"] = buffer
    return Checkpoint(epoch, decides, {name: value.detach().cpu().numpy() for name, value in tensors.items()})


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: Optimizer) -> None:
    """Put a captured state back into a model and its optimizer.

    Raises:
        InputError: its names or shapes are not the model's.
    """
    state = {
        name.removeprefix("model/"): torch.tensor(value)
        for name, value in checkpoint.arrays.items()
        if name.startswith("model/")
    }
    try:
        model.load_state_dict(state)
    except RuntimeError as err:
        raise InputError(
            "the checkpoint is of another network", where=NAME, hint="--overwrite starts anew"
        ) from err
    for name, parameter in model.named_parameters():
        buffer = checkpoint.arrays.get(f"momentum/{name}")
        if buffer is not None:
            optimizer.state[parameter]["momentum_buffer"] = torch.tensor(buffer, device=parameter.device)


def differences(ours: Any, theirs: Any, name: str = "") -> list[str]:
    """Where two JSON values differ, one line each: ``name: theirs there, ours now``."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted({*ours, *theirs})
        return [
            line
            for key in keys
            for line in differences(ours.get(key), theirs.get(key), f"{name}.{key}".lstrip("."))
        ]
    if ours == theirs:
        return []
    there, now = (text if len(text := repr(value)) <= 40 else text[:37] + "…" for value in (theirs, ours))
    return [f"{name}: {there} there, {now} now"]
