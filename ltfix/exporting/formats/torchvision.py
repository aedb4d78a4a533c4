"""A state dict for ``torchvision.models.get_model(NAME, num_classes=K)``, as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from ltfix import files
from ltfix.backbones.given import PREFIX
from ltfix.backbones.network import build, check_arguments
from ltfix.errors import InputError, UsageError
from ltfix.exporting.joined import Joined, fill
from ltfix.exporting.opened import ExportRecord, ToLogits, normalised
from ltfix.tensorfile import load_tensors, ltfix_metadata


def write(joined: Joined, folder: Path) -> Path:
    """The state dict; its metadata name the model, its arguments, the classes and the preprocessing."""
    backbone = joined.body()
    network = backbone.network
    if not backbone.info["name"].startswith(PREFIX):
        raise UsageError("a timm model is no torchvision model", where="to=torchvision", hint="use to=timm")
    arguments = _arguments(joined)
    state = fill(_build(network.name, arguments), network.classifiers, joined, "torchvision")
    record = ExportRecord.of(joined, model=network.name, model_args=arguments)
    path = folder / "model.safetensors"
    save_file(state, path, {"ltfix": files.to_json(record.to_dict())})
    return path


def _arguments(joined: Joined) -> dict[str, Any]:
    """What torchvision's constructor needs; auxiliary classifiers are left out."""
    network = joined.body().network
    arguments = {name: value for name, value in network.arguments.items() if name != "init_weights"}
    if hasattr(network.body, "transform_input"):  # GoogLeNet, Inception; true of weights that were trained so
        arguments |= {"aux_logits": False, "transform_input": network.body.transform_input}
    return {**arguments, "num_classes": joined.head.n_classes}


def _build(name: str, arguments: dict[str, Any]) -> nn.Module:
    check_arguments(arguments)
    model: nn.Module = build(
        lambda: torchvision.models.get_model(name, weights=None, **arguments), name, pretrained=False, seed=0
    )
    return model


def load(path: Path, device: str) -> tuple[ExportRecord, ToLogits]:
    """The model that the file names, with its tensors."""
    record = ExportRecord.read(ltfix_metadata(load_tensors(path)[1], path), path)
    if record.model not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no model {record.model!r}", where=path)
    model = _build(record.model, record.model_args)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as err:
        raise InputError(f"its tensors are not those of {record.model}", where=path) from err
    if record.preprocess is None:
        raise InputError("it has no preprocessing", where=path)
    return record, normalised(model, record.preprocess, device)


def usage(path: Path, joined: Joined) -> str:
    """The model and its state dict."""
    name = joined.body().network.name
    arguments = "".join(f", {key}={value!r}" for key, value in _arguments(joined).items())
    return (
        f'model = torchvision.models.get_model("{name}"{arguments}); '
        f'model.load_state_dict(safetensors.torch.load_file("{path}"))'
    )
