"""ltfix.backbones.timm_models: names, sizes, and life without a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from ltfix.backbones import timm_models
from ltfix.backbones.load import load_backbone
from ltfix.backbones.timm_models import open_timm
from ltfix.errors import EnvironmentFault, UsageError


def test_no_network_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(timm_models, "_reachable", lambda host: False)
    with pytest.raises(
        EnvironmentFault,
        match=r"could not be downloaded: no connection.*\(resnet10t\.c3_in1k\): give checkpoint=FILE",
    ):
        load_backbone("resnet10t.c3_in1k")
    from huggingface_hub import constants

    assert not constants.HF_HUB_OFFLINE


def test_no_network_is_told_before_the_model_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(timm, "create_model", lambda *given, **named: pytest.fail("it is built"))
    with pytest.raises(EnvironmentFault, match="not in the local cache"):
        load_backbone("vit_large_patch14_dinov2.lvd142m")


def test_a_model_for_one_size_is_built_for_the_size_asked():
    backbone = load_backbone("vit_tiny_patch16_224", pretrained=False, preprocess={"image_size": 64})
    assert (backbone.preprocess.image_size, backbone.dim) == (64, 192)


def test_every_timm_name_passes_and_wrong_tags_do_not():
    for name in ("resnet50", "resnet50.a1_in1k", "cifar_resnet34", "hf-hub:timm/resnet50.a1_in1k"):
        timm_models.check_name(name, pretrained=False)
    with pytest.raises(UsageError, match=r"resnet50 has no weights 'a1_in2k'.*did you mean a1_in1k"):
        timm_models.check_name("resnet50.a1_in2k", pretrained=False)


@pytest.mark.parametrize(
    ("name", "classifiers"),
    [
        ("resnet10t", ("fc",)),
        ("convnext_atto", ("head.fc",)),
        ("deit_tiny_distilled_patch16_224", ("head", "head_dist")),
        ("cifar_resnet32", ("fc",)),
    ],
)
def test_classifiers_are_found(name: str, classifiers: tuple[str, ...]):
    network = open_timm(name, pretrained=False, arguments={}, image_size=None, seed=0)
    assert network.classifiers == classifiers
    assert (network.classifier is not None) == (len(classifiers) == 1)
    assert network.config["input_size"] == timm.get_pretrained_cfg(name).input_size


def write_local(folder: Path) -> timm.models.ResNet:
    """A model folder as timm and its hub have it: five classes, 48 pixels."""
    with torch.random.fork_rng():
        model = timm.create_model("resnet10t", num_classes=5)
    folder.mkdir()
    config = {"input_size": [3, 48, 48], "num_classes": 5, "classifier": "fc", "mean": [0.1] * 3}
    whole = {"architecture": "resnet10t", "num_classes": 5, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(whole))
    save_file(model.state_dict(), folder / "model.safetensors")
    return model


def test_a_models_own_weights_bring_their_classifier(tmp_path: Path):
    model = write_local(tmp_path / "mine")
    backbone = load_backbone(f"local-dir:{tmp_path / 'mine'}")
    assert backbone.head is not None
    np.testing.assert_array_equal(backbone.head.weight, model.fc.weight.detach().numpy())
    assert (backbone.preprocess.image_size, backbone.preprocess.mean) == (48, (0.1,) * 3)
    assert (backbone.info["name"], backbone.info["weights"]) == ("local-dir:mine", "pretrained")


def test_but_not_where_another_number_of_classes_was_asked_for(tmp_path: Path):
    """timm then leaves a random classifier on pretrained weights: it is no stage 1."""
    write_local(tmp_path / "mine")
    backbone = load_backbone(f"local-dir:{tmp_path / 'mine'}", model_args={"num_classes": 3})
    assert backbone.head is None
    assert backbone.info["weights"] == "pretrained"
