"""``checkpoint-last.safetensors``: all that the next epoch depends on, without pickle.

Tensors ``model/NAME`` and, per trained parameter, ``momentum/NAME``, or for AdamW ``exp_avg/NAME``,
``exp_avg_sq/NAME`` and ``step/NAME``; ``average/NAME`` where an average of weights is kept, ``scaler/…``
where losses are scaled, ``right/samples`` where forgetting is counted. The metadata holds the epochs done
and all that the run decided, so that another run's checkpoint is refused. The state of randomness is the
seed in it and the number of the epoch: every epoch makes its generators anew from the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from ltfix import files
from ltfix.backbones.layouts import put_state
from ltfix.errors import InputError
from ltfix.records import Positive, record_of
from ltfix.stage1.average import MovingAverage
from ltfix.stage1.forgetting import Forgetting
from ltfix.tensorfile import load_tensors, ltfix_metadata

FORMAT = "ltfix-checkpoint/1"
NAME = "checkpoint-last.safetensors"
_ANEW = "overwrite=True starts anew"
_OPTIMIZERS = {"momentum": "momentum_buffer", **{key: key for key in ("exp_avg", "exp_avg_sq", "step")}}
_SCALER = ("scale", "_growth_tracker")  # what moves in a GradScaler's state


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
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
        meta["tensors"] = _inventory(self.arrays)
        files.write_safetensors(folder / NAME, self.arrays, meta)


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """The metadata of a checkpoint; before 0.2 the tensors were not noted."""

    epoch: Positive
    decides: dict[str, Any]
    tensors: str | None = None


def read_state(folder: Path) -> TrainingState | None:
    """The last checkpoint of a run folder, or None; InputError where it is torn or of a newer format."""
    path = folder / NAME
    if not path.exists():
        return None
    arrays, metadata = load_tensors(path)
    said = record_of(_Said, ltfix_metadata(metadata, path), path, FORMAT, _ANEW)
    if said.tensors not in (None, _inventory(arrays)):
        raise InputError("the checkpoint lacks tensors that it was written with", where=path, hint=_ANEW)
    return TrainingState(said.epoch, said.decides, arrays)


def _inventory(arrays: Mapping[str, np.ndarray]) -> str:
    """A hash of what tensors there are, by name and shape."""
    return files.sha256_json({name: list(array.shape) for name, array in arrays.items()})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Moving:
    """What moves in a training run: the network, its optimizer and what there is besides."""

    model: nn.Module
    optimizer: Optimizer
    average: MovingAverage | None = None
    scaler: GradScaler | None = None
    forgetting: Forgetting | None = None


def capture(epoch: int, decides: dict[str, Any], moving: Moving) -> TrainingState:
    """The state of a run after ``epoch`` epochs."""
    model, scaler = moving.model, moving.scaler
    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        held = moving.optimizer.state.get(parameter, {})
        keys = {group: key for group, key in _OPTIMIZERS.items() if held.get(key) is not None}
        tensors |= {f"{group}/{name}": held[key] for group, key in keys.items()}
    if moving.average is not None:
        tensors |= {f"average/{name}": value for name, value in moving.average.tensors.items()}
    if moving.forgetting is not None:
        tensors["right/samples"] = moving.forgetting.right
    arrays = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
    if scaler is not None and scaler.is_enabled():
        scales = scaler.state_dict()
        arrays |= {f"scaler/{name}": np.asarray(scales[name]) for name in _SCALER}
    return TrainingState(epoch, decides, arrays)


def restore(state: TrainingState, moving: Moving) -> None:
    """Put a captured state back (InputError: its names or shapes are not the model's)."""
    model, scaler = moving.model, moving.scaler
    try:
        put_state(model, _below("model", state))
        if moving.average is not None:
            moving.average.load(_below("average", state))
        for group, key in _OPTIMIZERS.items():
            held = _below(group, state)
            for name, parameter in model.named_parameters():
                if name in held:
                    like = parameter if held[name].shape == parameter.shape else held[name]
                    kept = torch.empty_like(like, requires_grad=False).copy_(held[name])
                    moving.optimizer.state[parameter][key] = kept
    except (RuntimeError, KeyError) as err:
        raise InputError("the checkpoint is of another network", where=NAME, hint=_ANEW) from err
    right = _below("right", state).get("samples")
    if moving.forgetting is not None and right is not None:
        moving.forgetting.load(right)
    scaling = _below("scaler", state)
    if scaler is not None and scaler.is_enabled() and scaling:
        scaler.load_state_dict({**scaler.state_dict(), **{key: scaling[key].item() for key in _SCALER}})


def _below(group: str, state: TrainingState) -> dict[str, Tensor]:
    """The tensors of one group by their own names."""
    start = f"{group}/"
    found = {name: value for name, value in state.arrays.items() if name.startswith(start)}
    return {name.removeprefix(start): torch.tensor(value) for name, value in found.items()}
