"""Building what is trained: any model, its own names, a start that one seed decides, and its classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity

from ltfix import seeds
from ltfix.backbones.load import Backbone
from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head
from ltfix.stage1.recipes import find_recipe
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.trainee import (
    CosineClassifier,
    EtfClassifier,
    Trainee,
    arrays_of,
    build_start,
    simplex,
    simplex_etf,
)

SMALL = {"model_args": {"depths": [1, 1], "widths": [4, 8]}, "image_size": 8}


def start(model: str = "cifar_resnet32", n_classes: int = 5, **options: Any) -> tuple[Backbone, Trainee]:
    request = TrainingRequest(data="", out="", model=model, **{**SMALL, **options})
    return build_start(request, find_recipe("ce"), n_classes)


def test_one_seed_decides_all_weights() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    (_, first), (_, again), (_, other) = start(seed=3), start(seed=3), start(seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.heads["fc"].weight, other.heads["fc"].weight)


def test_the_classifier_is_the_models_own_where_it_is_linear() -> None:
    """kaiming_normal_ of the CIFAR networks: a standard deviation of √(2/D), not the framework's."""
    weight = start(model_args={}, seed=0)[1].heads["fc"].weight
    assert weight.shape == (5, 64)
    assert float(weight.detach().std()) == pytest.approx((2 / 64) ** 0.5, rel=0.15)


@pytest.mark.parametrize(
    "name", ["cifar_resnet32", "resnet18", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_timm_models_keep_their_names_without_the_classifier(name: str) -> None:
    size = 32 if name == "cifar_resnet32" else 64 if "vit" not in name else 224
    backbone, trainee = start(name, model_args={}, image_size=size)
    twin = timm.create_model(name, num_classes=0).eval()
    arrays = arrays_of(backbone.network.body)
    twin.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()}, strict=True)
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        features, logits = trainee(images)
        assert torch.allclose(features, twin(images), atol=1e-5)
    assert features.shape == (2, backbone.dim) and logits["fc"].shape == (2, 5)


def test_torchvision_models_train_too() -> None:
    backbone, trainee = start("torchvision:resnet18", model_args={}, image_size=32)
    features, logits = trainee(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 512) and logits["fc"].shape == (2, 5)
    assert not any(name.startswith("fc.") for name in arrays_of(backbone.network.body))


def test_every_parameter_gets_a_gradient() -> None:
    trainee = start()[1].train()
    trainee(torch.randn(4, 3, 8, 8))[1]["fc"].sum().backward()
    assert all(parameter.grad is not None for parameter in trainee.parameters())


def test_a_checkpoint_is_the_start(tmp_path: Path) -> None:
    there = timm.create_model("cifar_resnet32", num_classes=7, **SMALL["model_args"])
    save_file(there.state_dict(), tmp_path / "there.safetensors")
    backbone, _ = start(checkpoint=tmp_path / "there.safetensors")
    assert backbone.info["weights"] == "there.safetensors"
    assert torch.equal(torch.from_numpy(arrays_of(backbone.network.body)["conv1.weight"]), there.conv1.weight)
    with pytest.raises(InputError, match="another architecture"):
        start(checkpoint=tmp_path / "there.safetensors", model_args={})


@pytest.mark.parametrize(("size", "cropped"), [(32, False), (224, True)])
def test_small_images_are_not_cropped(size: int, cropped: bool) -> None:
    backbone, _ = start("resnet18", 2, model_args={}, image_size=size)
    assert (backbone.preprocess.crop_pct < 1.0) is cropped


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="cifar_resnet32"):
        start("cifar_resnet23")


def test_the_simplex_is_the_published_one(golden) -> None:
    expected = torch.from_numpy(golden("heads_official")["etf.standard_K10"])
    assert torch.allclose(simplex(10).float(), expected, atol=1e-6)


@pytest.mark.parametrize(("dim", "k"), [(2, 2), (10, 10), (64, 10), (512, 100)])
def test_rows_are_unit_and_equally_apart_in_any_orientation(dim: int, k: int) -> None:
    with seeds.seeded(0, dim, k):
        rows, other = simplex_etf(dim, k), simplex_etf(dim, k)
    gram = rows @ rows.T
    expected = torch.full((k, k), -1 / (k - 1), dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(gram, expected, atol=1e-12)
    assert torch.allclose(rows.sum(0), torch.zeros(dim, dtype=torch.float64), atol=1e-12)
    assert not torch.allclose(rows, other)


def test_a_simplex_needs_room() -> None:
    with pytest.raises(UsageError, match=r"K = 10 .* D = 9 .*cifar_resnet34"):
        simplex_etf(9, 10)


def test_only_the_bias_of_an_etf_classifier_trains() -> None:
    head = EtfClassifier(64, 10)
    assert [name for name, _ in head.named_parameters()] == ["bias"]
    assert set(head.state_dict()) == {"weight", "bias"}
    assert float(head.bias.detach().abs().max()) <= 1 / 64
    x = torch.randn(5, 64)
    assert torch.allclose(head(x), x @ head.weight.T + head.bias, atol=1e-6)


def test_a_cosine_classifier_is_the_head_file_it_becomes() -> None:
    classifier = CosineClassifier(6, 4)
    assert torch.allclose(classifier.weight.norm(dim=1), torch.ones(4))
    with torch.no_grad():
        classifier.weight.mul_(torch.tensor([[3.0], [0.5], [1.0], [2.0]]))  # norms do not matter
    x = torch.randn(5, 6)
    found = classifier(x)
    assert torch.allclose(found, cosine_similarity(x[:, None], classifier.weight[None], dim=2), atol=1e-6)
    weight, bias, transform = classifier.head()
    head = Head(weight.numpy(), bias.numpy(), "stage-1", transform=transform)
    assert torch.allclose(torch.as_tensor(head.logits(x)), found, atol=1e-6)
