"""Building what is trained: any model, its own names, and a start that one seed decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from ltfix.errors import InputError, UsageError
from ltfix.stage1.recipes import find_recipe
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.trainee import TrainingStart, arrays_of, build_start

SMALL = {"model_args": {"depths": [1, 1], "widths": [4, 8]}, "image_size": 8}


def start(model: str = "cifar_resnet32", n_classes: int = 5, **options: Any) -> TrainingStart:
    request = TrainingRequest(data="", out="", model=model, **{**SMALL, **options})
    return build_start(request, find_recipe("ce"), n_classes)


def test_one_seed_decides_all_weights() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = start(seed=3), start(seed=3), start(seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.trainee.state_dict().items():
        assert torch.equal(value, again.trainee.state_dict()[name])
    assert not torch.equal(first.trainee.heads["fc"].weight, other.trainee.heads["fc"].weight)


def test_the_classifier_is_the_models_own_where_it_is_linear() -> None:
    """kaiming_normal_ of the CIFAR networks: a standard deviation of √(2/D), not the framework's."""
    weight = start(model_args={}, seed=0).trainee.heads["fc"].weight
    assert weight.shape == (5, 64)
    assert float(weight.detach().std()) == pytest.approx((2 / 64) ** 0.5, rel=0.15)


@pytest.mark.parametrize(
    "name", ["cifar_resnet32", "resnet18", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_timm_models_keep_their_names_without_the_classifier(name: str) -> None:
    size = 32 if name == "cifar_resnet32" else 64 if "vit" not in name else 224
    built = start(name, model_args={}, image_size=size)
    twin = timm.create_model(name, num_classes=0).eval()
    arrays = arrays_of(built.body)
    twin.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()}, strict=True)
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        features, logits = built.trainee(images)
        assert torch.allclose(features, twin(images), atol=1e-5)
    assert features.shape == (2, built.dim) and logits["fc"].shape == (2, 5)


def test_torchvision_models_train_too() -> None:
    built = start("torchvision:resnet18", model_args={}, image_size=32)
    features, logits = built.trainee(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 512) and logits["fc"].shape == (2, 5)
    assert not any(name.startswith("fc.") for name in arrays_of(built.body))


def test_every_parameter_gets_a_gradient() -> None:
    trainee = start().trainee.train()
    trainee(torch.randn(4, 3, 8, 8))[1]["fc"].sum().backward()
    assert all(parameter.grad is not None for parameter in trainee.parameters())


def test_a_checkpoint_is_the_start(tmp_path: Path) -> None:
    there = timm.create_model("cifar_resnet32", num_classes=7, **SMALL["model_args"])
    save_file(there.state_dict(), tmp_path / "there.safetensors")
    built = start(checkpoint=tmp_path / "there.safetensors")
    assert built.weights == "there.safetensors"
    assert torch.equal(torch.from_numpy(arrays_of(built.body)["conv1.weight"]), there.conv1.weight)
    with pytest.raises(InputError, match="another architecture"):
        start(checkpoint=tmp_path / "there.safetensors", model_args={})


@pytest.mark.parametrize(("size", "cropped"), [(32, False), (224, True)])
def test_small_images_are_not_cropped(size: int, cropped: bool) -> None:
    built = start("resnet18", 2, model_args={}, image_size=size)
    assert (built.preprocess.crop_pct < 1.0) is cropped


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="cifar_resnet32"):
        start("cifar_resnet23")
