"""What a user without ltfix does with an export: pictures in, logits out.

    python exported_alone.py FORMAT PATH PICTURES.txt OUT.npy

Of timm, torchvision, onnxruntime and torch only what the format is for is imported.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.modules["ltfix"] = None  # type: ignore[assignment]
sys.path = [place for place in sys.path if Path(place).name != "process"]


def by_timm(path: str) -> tuple[Callable[[Image.Image], Any], Callable[[Any], Any]]:
    import timm
    import torch

    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return transform, lambda batch: model(torch.stack(batch)).detach().numpy()


def by_torchvision(path: str) -> tuple[Callable[[Image.Image], Any], Callable[[Any], Any]]:
    import safetensors.torch
    import torch
    import torchvision

    with safetensors.safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["ltfix"])
    model = torchvision.models.get_model(record["model"], **record["model_args"])
    model.load_state_dict(safetensors.torch.load_file(path))
    model.eval()
    mean, std = (torch.tensor(record["preprocess"][name])[:, None, None] for name in ("mean", "std"))
    crop = cropping(record["preprocess"])
    return (
        lambda image: (torch.from_numpy(crop(image)) - mean) / std,
        lambda batch: model(torch.stack(batch)).detach().numpy(),
    )


def by_onnxruntime(path: str) -> tuple[Callable[[Image.Image], Any], Callable[[Any], Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    record = json.loads(session.get_modelmeta().custom_metadata_map["ltfix"])
    return cropping(record["preprocess"]), lambda batch: session.run(["logits"], {"pixels": np.stack(batch)})[
        0
    ]


def by_torch(path: str) -> tuple[Callable[[Image.Image], Any], Callable[[Any], Any]]:
    import torch

    extra = {"ltfix.json": ""}
    model = torch.export.load(path, extra_files=extra).module()
    record = json.loads(extra["ltfix.json"])
    return cropping(
        record["preprocess"]
    ), lambda batch: model(torch.from_numpy(np.stack(batch)))[0].detach().numpy()


def cropping(values: dict[str, Any]) -> Callable[[Image.Image], np.ndarray]:
    """Resize, centre crop, [3, S, S] in 0…1."""
    side = values["image_size"]
    short = math.floor(side / values["crop_pct"])
    method = getattr(Image.Resampling, values["interpolation"].upper())

    def crop(image: Image.Image) -> np.ndarray:
        scale = [short * edge // min(image.size) for edge in image.size]
        image = image.resize(scale, method)
        left, top = (round((edge - side) / 2) for edge in image.size)
        pixels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255
        return pixels.transpose(2, 0, 1)

    return crop


def batches(items: list[Any], size: int = 50) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


if __name__ == "__main__":
    form, where, pictures, out = sys.argv[1:]
    load = {"timm": by_timm, "torchvision": by_torchvision, "onnx": by_onnxruntime, "torch-export": by_torch}
    prepare, run = load[form](where)
    paths = Path(pictures).read_text(encoding="utf-8").splitlines()
    found = [run([prepare(Image.open(path).convert("RGB")) for path in some]) for some in batches(paths)]
    np.save(out, np.concatenate(found))
    foreign = {"timm", "torchvision", "onnxruntime", "torch"} & set(sys.modules)
    own = {"onnx": {"onnxruntime"}, "torch-export": {"torch"}, "torchvision": {"torch", "torchvision"}}
    assert form == "timm" or foreign == own[form], foreign
