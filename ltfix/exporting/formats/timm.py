"""A folder that timm loads by itself: ``timm.create_model("local-dir:PATH", pretrained=True)``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from timm.models import model_entrypoint, save_for_hf

from ltfix.backbones.given import LOCAL, PREFIX
from ltfix.backbones.load import Backbone
from ltfix.backbones.network import label_names
from ltfix.backbones.preprocess import resolve_preprocess
from ltfix.backbones.timm_models import open_timm
from ltfix.errors import InputError, UsageError
from ltfix.exporting.card import model_card
from ltfix.exporting.joined import Joined, fill
from ltfix.exporting.opened import ExportRecord, ToLogits, normalised
from ltfix.records import read_record

_STALE = ("label_names", "label_descriptions", "label_offset", "test_input_size", "test_crop_pct", "tag")


@dataclasses.dataclass(frozen=True, slots=True)
class _Config:
    """What is read of a folder's ``config.json``."""

    model_args: dict[str, Any] | None = None


def write(joined: Joined, folder: Path) -> Path:
    """``model.safetensors`` and ``config.json`` as timm itself writes them for the hub."""
    backbone = joined.body()
    demand_known(backbone)
    network, values = backbone.network, backbone.preprocess.to_dict()
    arguments = {**recorded(network.name), **network.arguments, "num_classes": joined.head.n_classes}
    size = values.pop("image_size")
    fresh = open_timm(network.name, pretrained=False, arguments=arguments, image_size=size, seed=0)
    model: Any = fresh.body
    fill(model, fresh.classifiers, joined, "timm")
    kept = {name: value for name, value in model.pretrained_cfg.items() if name not in _STALE}
    values |= {"input_size": [3, size, size], "num_classes": joined.head.n_classes, "custom_load": False}
    model.pretrained_cfg = {**kept, **values}
    record = {key: value for key, value in ExportRecord.of(joined).to_dict().items() if key != "classes"}
    config = {"label_names": list(joined.classes), "pretrained_cfg": values, "ltfix": record}
    written = folder / "model"
    save_for_hf(model, str(written), model_config=config, model_args=arguments, safe_serialization=True)
    (written / "README.md").write_text(model_card(joined), encoding="utf-8")
    return written


def recorded(name: str) -> dict[str, Any]:
    """What a folder says of its model's constructor; timm before 1.0.31 does not write it again by itself."""
    if not name.startswith(LOCAL):
        return {}
    return read_record(_Config, Path(name.removeprefix(LOCAL)) / "config.json").model_args or {}


def demand_known(backbone: Backbone) -> None:
    """Refuse a body that timm alone cannot build: torchvision's, or ltfix's own (UsageError)."""
    name = backbone.info["name"]
    if name.startswith(PREFIX):
        raise UsageError("a torchvision model is no timm model", where="to=timm", hint="use to=torchvision")
    body: Any = backbone.network.body
    architecture = body.pretrained_cfg["architecture"]
    if model_entrypoint(architecture).__module__.startswith("ltfix."):
        told = f"timm does not have {architecture}, which is ltfix's own"
        raise UsageError(told, where="to=timm", hint="use to=onnx or to=torch-export")


def load(path: Path, device: str) -> tuple[ExportRecord, ToLogits]:
    """The model with its classes and preprocessing from ``config.json``."""
    network = open_timm(f"{LOCAL}{path}", pretrained=True, arguments={}, image_size=None, seed=0)
    model = network.body
    names = label_names(network.config, getattr(model, "num_classes", None))
    if names is None:
        raise InputError("it does not name its classes: label_names", where=path / "config.json")
    preprocess = resolve_preprocess(network.config, {}, {}, path / "config.json")
    record = ExportRecord(classes=list(names), preprocess=preprocess)
    return record, normalised(model, preprocess, device)


def usage(path: Path, joined: Joined) -> str:
    """One call of timm."""
    return f'timm.create_model("{LOCAL}{path}", pretrained=True)'
