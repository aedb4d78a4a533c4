"""Reading foreign checkpoints: safetensors, or ``.pth`` without unpickling anything but tensors."""

from __future__ import annotations

import dataclasses
import json
import pickle
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltfix import files
from ltfix.errors import InputError

_NESTS = ("state_dict_ema", "state_dict", "model")  # averaged weights first, as timm
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "encoder.")
_CLASSIFIERS = ("fc", "linear", "fc_cb", "head", "classifier")
_COUNTERS = ".num_batches_tracked"
_SHOWN = 4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A state dict and what its file says about it.

    Attributes:
        path: the file.
        state: tensors by the names in the file.
        metadata: a safetensors file's metadata; empty for ``.pth``.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: Mapping[str, str]


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint; a state dict may lie under ``state_dict_ema``, ``state_dict`` or ``model``.

    Raises:
        InputError: missing, torn, of another kind, or with pickled objects other than tensors.
    """
    path = Path(path)
    with files.os_errors(path), path.open("rb"):
        pass
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    else:
        state, metadata = _read_pickle(path), {}
    if not state:
        raise InputError("the checkpoint holds no tensors", where=path)
    return Checkpoint(path, state, metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as err:
        raise InputError(f"not a safetensors file, or a torn one: {err}", where=path) from err
    return state, {**metadata, **_of_a_run(metadata)}


def _of_a_run(metadata: Mapping[str, str]) -> dict[str, str]:
    """The backbone of a train-backbone run says in its own words what timm's files say in theirs."""
    try:
        ours = json.loads(metadata.get("ltfix", "{}"))
        model, values = str(ours["model"]), dict(ours["preprocess"])
        side = int(values.pop("image_size"))
    except (ValueError, KeyError, TypeError):
        return {}
    return {"timm_model": model, "pretrained_cfg": json.dumps({**values, "input_size": [3, side, side]})}


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of the pickle's age
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise InputError(
            "the checkpoint holds more than tensors, and nothing else is unpickled",
            where=path,
            hint="save its state dict alone, best as safetensors",
        ) from err
    except Exception as err:  # the unpickler raises whatever a foreign file makes it trip over
        raise InputError("not a checkpoint that torch can read, or a torn one", where=path) from err
    return {name: value for name, value in _unnest(content).items() if isinstance(value, Tensor)}


def _unnest(content: Any) -> dict[str, Any]:
    while isinstance(content, Mapping):
        nest = next((key for key in _NESTS if isinstance(content.get(key), Mapping)), None)
        if nest is None:
            return {str(name): value for name, value in content.items()}
        content = content[nest]
    return {}


def load_weights(
    model: nn.Module, checkpoint: Checkpoint, classifiers: Collection[str]
) -> tuple[Tensor, Tensor] | None:
    """Load all but the classifier into ``model``, in its own dtype, and return the classifier.

    Args:
        model: the network; its buffers and parameters outside ``classifiers`` are overwritten.
        checkpoint: names may carry the prefixes ``module.``, ``_orig_mod.``, ``backbone.``, ``encoder.``.
        classifiers: the names of the model's own classifier modules.

    Returns:
        (weight [K, D], bias [K]) float32 of the checkpoint's classifier, or None where it has none.

    Raises:
        InputError: a missing or unexpected tensor other than the classifier's, or one of another shape.
    """
    own = model.state_dict()
    body = {name: value for name, value in own.items() if not _below(name, classifiers)}
    heads = [name for name in (*classifiers, *_CLASSIFIERS) if not any(_below(key, [name]) for key in body)]
    state = _rename(checkpoint, body, heads)
    given = {name: value for name, value in state.items() if not _below(name, heads)}
    missing = [name for name in body if name not in given and not name.endswith(_COUNTERS)]
    unexpected = [name for name in given if name not in body]
    if missing or unexpected:
        raise InputError(
            "the checkpoint is of another architecture: " + _list(missing, unexpected), where=checkpoint.path
        )
    for name, value in given.items():
        if value.shape != body[name].shape:
            raise InputError(
                f"the checkpoint is of another architecture: {name} is {list(value.shape)}, "
                f"the model's {list(body[name].shape)}",
                where=checkpoint.path,
            )
    model.load_state_dict(given, strict=False)
    return _classifier(state, heads)


def _rename(checkpoint: Checkpoint, body: Collection[str], heads: Collection[str]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for given, value in checkpoint.state.items():
        name = given
        while name not in body and not _below(name, heads):
            prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
            if prefix is None:
                break
            name = name.removeprefix(prefix)
        if name in state:
            raise InputError(f"two tensors of the checkpoint are {name}", where=checkpoint.path)
        state[name] = value
    return state


def _below(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _list(missing: list[str], unexpected: list[str]) -> str:
    parts = []
    for kind, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{kind} {', '.join(names[:_SHOWN])}{rest}")
    return "; ".join(parts)


def _classifier(state: Mapping[str, Tensor], heads: Collection[str]) -> tuple[Tensor, Tensor] | None:
    for name in heads:
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.ndim == 2:
            bias = state.get(f"{name}.bias", torch.zeros(len(weight)))
            return weight.float(), bias.float()
    return None
