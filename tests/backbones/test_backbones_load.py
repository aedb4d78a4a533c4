"""ltfix.backbones.load: names, weights, classifiers and what they come with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from ltfix import files
from ltfix.backbones.load import load_backbone
from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head


@pytest.fixture
def packed(shared_data: Path) -> Path:
    return shared_data / "c100_if100_resnet32_stage1.safetensors"


def test_the_packed_network_with_its_classifier(packed: Path):
    backbone = load_backbone("cifar_resnet32", checkpoint=packed)
    assert backbone.dim == 64
    assert backbone.preprocess.to_dict() == {
        "image_size": 32,
        "crop_pct": 1.0,
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2023, 0.1994, 0.2010],
        "interpolation": "bilinear",
        "crop_mode": "center",
    }
    assert backbone.head is not None
    weight, bias = backbone.head.weight, backbone.head.bias
    assert (weight.shape, bias.shape, weight.dtype) == ((100, 64), (100,), np.float32)
    assert (backbone.info["name"], backbone.info["weights"]) == ("cifar_resnet32", packed.name)
    assert not any("/" in str(value) for value in backbone.info.values())


def test_metadata_of_the_packed_efficientnet_is_believed(shared_data: Path):
    file = shared_data / "tf_efficientnet_lite0.safetensors"
    backbone = load_backbone("tf_efficientnet_lite0", checkpoint=file)
    assert (backbone.dim, backbone.preprocess.mean, backbone.preprocess.interpolation) == (
        1280,
        (0.5,) * 3,
        "bicubic",
    )
    with pytest.raises(InputError, match="says it is of tf_efficientnet_lite0, not of efficientnet_lite0"):
        load_backbone("efficientnet_lite0", checkpoint=file)
    bridged = load_backbone(
        "efficientnet_lite0", checkpoint=file, model_args={"pad_type": "same", "bn_eps": 1e-3}
    )
    assert "not of efficientnet_lite0" in bridged.notes[0]
    images = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(backbone.features(images), bridged.features(images))


def test_random_weights_are_seeded_and_bring_no_classifier():
    one, same, other = (load_backbone("resnet10t", pretrained=False, seed=s) for s in (1, 1, 2))
    assert not any(module.training for module in one.model.modules())
    assert not any(parameter.requires_grad for parameter in one.model.parameters())
    assert one.info["weights_sha256"] == same.info["weights_sha256"] != other.info["weights_sha256"]
    assert one.head is None
    assert one.info["weights"] == "random"
    state = torch.random.get_rng_state()
    load_backbone("resnet10t", pretrained=False)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_hash_sees_the_features_weights_alone(packed: Path, tmp_path: Path):
    from safetensors.torch import load_file

    state = load_file(packed)
    save_file({n: v * 2 if n == "linear.bias" else v for n, v in state.items()}, tmp_path / "a.safetensors")
    save_file({n: v * 2 if n == "bn1.bias" else v for n, v in state.items()}, tmp_path / "b.safetensors")
    hashes = [
        load_backbone("cifar_resnet32", checkpoint=file).info["weights_sha256"]
        for file in (packed, tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_classifier_that_is_more_than_linear_is_left_out(tmp_path: Path):
    """DeiT's distilled classifier is the mean of two."""
    name = "deit_tiny_distilled_patch16_224"
    model = timm.create_model(name, num_classes=5)
    save_file(model.state_dict(), tmp_path / "deit.safetensors")
    backbone = load_backbone(name, checkpoint=tmp_path / "deit.safetensors")
    assert backbone.head is None
    assert "more than one linear layer" in backbone.notes[0]


def test_a_checkpoint_without_classifier(tmp_path: Path):
    save_file(timm.create_model("resnet10t", num_classes=0).state_dict(), tmp_path / "a.safetensors")
    backbone = load_backbone("resnet10t", checkpoint=tmp_path / "a.safetensors")
    assert backbone.head is None
    assert "holds no classifier" in backbone.notes[0]


@pytest.mark.parametrize(
    ("name", "values", "kind", "message"),
    [
        ("resnet5O", {}, UsageError, r"unknown model \(resnet5O\): did you mean resnet50"),
        ("resnet50.a9_in1k", {}, UsageError, "has no weights 'a9_in1k'.*did you mean"),
        ("cifar_resnet32", {}, UsageError, "has no pretrained weights.*checkpoint=FILE"),
        ("torchvision:resnet19", {}, UsageError, "unknown torchvision model.*did you mean resnet18"),
        (
            "resnet10t",
            {"pretrained": False, "model_args": {"depth": 3}},
            UsageError,
            "'depth'.*see model_args=",
        ),
        ("resnet10t", {"checkpoint": "gone.pth"}, InputError, r"no such file or folder \(gone\.pth\)"),
        (
            "vit_tiny_patch16_224",
            {"pretrained": False, "preprocess": {"image_size": 8}},
            (InputError, UsageError),
            "8",
        ),
        ("runs/none", {}, InputError, r"no such run folder \(runs/none\)"),
        (".", {}, InputError, "not a run folder"),
    ],
)
def test_refusals(
    name: str, values: dict[str, Any], kind: Any, message: str, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        load_backbone(name, **values)


def write_run(folder: Path, **changes: Any) -> nn.Module:
    with torch.random.fork_rng():
        model: Any = timm.create_model("cifar_resnet32", num_classes=3)
    folder.mkdir()
    state = {n: v.numpy() for n, v in model.state_dict().items() if not n.startswith("fc.")}
    weight, bias = (v.detach().numpy() for v in (model.fc.weight, model.fc.bias))
    Head(weight, bias, "stage-1").save(folder / "classifier.safetensors")
    run = {
        "format": "ltfix-run/1",
        "finished": True,
        "model": "cifar_resnet32",
        "model_args": {"drop_rate": 0.1},
        "preprocess": {
            "image_size": 24,
            "crop_pct": 1,
            "mean": [0.5] * 3,
            "std": [0.2] * 3,
            "interpolation": "bicubic",
        },
        "classes": ["a", "b", "c"],
    }
    said = {"format": "ltfix-backbone/1", **{key: run[key] for key in ("model", "model_args", "preprocess")}}
    files.write_safetensors(folder / "backbone.safetensors", state, said)
    files.write_json(folder / "run.json", {**run, **changes})
    return model


def test_a_run_folder(tmp_path: Path):
    model = write_run(tmp_path / "mine")
    backbone = load_backbone(str(tmp_path / "mine"))
    assert backbone.head is not None
    np.testing.assert_array_equal(backbone.head.weight, model.fc.weight.detach().numpy())
    assert backbone.head.classes == ("a", "b", "c")
    assert (backbone.preprocess.image_size, backbone.preprocess.interpolation) == (24, "bicubic")
    assert backbone.info["run"] == "mine"
    assert backbone.info["args"] == {"drop_rate": 0.1}
    assert not backbone.notes
    model.eval().requires_grad_(False)
    images = torch.rand(2, 3, 24, 24)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        assert torch.equal(backbone.features(images), expected)
    assert load_backbone(str(tmp_path / "mine"), preprocess={"image_size": 32}).preprocess.image_size == 32


def test_a_runs_backbone_as_a_checkpoint_keeps_its_preprocessing(tmp_path: Path):
    write_run(tmp_path / "mine")
    file = tmp_path / "mine" / "backbone.safetensors"
    backbone = load_backbone("cifar_resnet32", checkpoint=file)
    assert (backbone.preprocess.image_size, backbone.preprocess.std) == (24, (0.2,) * 3)
    with pytest.raises(InputError, match="says it is of cifar_resnet32, not of cifar_resnet32_w64"):
        load_backbone("cifar_resnet32_w64", checkpoint=file)


def test_run_folders_that_cannot_be_used(tmp_path: Path):
    write_run(tmp_path / "a", finished=False)
    with pytest.raises(InputError, match="training run is unfinished"):
        load_backbone(str(tmp_path / "a"))
    write_run(tmp_path / "b", format="ltfix-run/2")
    with pytest.raises(InputError, match="newer"):
        load_backbone(str(tmp_path / "b"))
    write_run(tmp_path / "c")
    with pytest.raises(UsageError, match="brings its own weights"):
        load_backbone(str(tmp_path / "c"), checkpoint="x.pth")
    run = json.loads((tmp_path / "c" / "run.json").read_text())
    del run["preprocess"]
    files.write_json(tmp_path / "c" / "run.json", run)
    with pytest.raises(InputError, match="lacks preprocess"):
        load_backbone(str(tmp_path / "c"))


def test_a_file_of_weights_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("resnet18.safetensors").write_bytes(b"")
    for name in ("resnet18.safetensors", str(tmp_path / "resnet18.safetensors")):
        with pytest.raises(UsageError, match=r"that is a file of weights.*and checkpoint="):
            load_backbone(name)
