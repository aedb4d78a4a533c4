"""ltfix.backbones.cifar: the published networks, by structure, names and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from ltfix.backbones import cifar


@pytest.mark.parametrize(
    ("name", "dim", "side", "parameters"),
    [
        ("cifar_resnet32", 64, 8, 464_154 + 90 * 65),  # He et al.: 0.46 M with ten classes
        ("cifar_resnet32_w64", 256, 8, 7_409_316),
        ("cifar_resnet34", 512, 4, 21_328_292),
    ],
)
@torch.inference_mode()
def test_shapes_and_sizes(name: str, dim: int, side: int, parameters: int):
    model = timm.create_model(name).eval()
    images = torch.rand(2, 3, 32, 32)
    maps = model.forward_features(images)
    assert maps.shape == (2, dim, side, side)
    assert model.forward_head(maps, pre_logits=True).shape == (2, dim)
    assert model(images).shape == (2, 100)
    assert model.num_features == model.head_hidden_size == dim
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.pretrained_cfg["input_size"] == (3, 32, 32)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert all(
        m.bias is None and m.padding == ((1, 1) if m.kernel_size == (3, 3) else (0, 0)) for m in convolutions
    )


def test_classifiers_can_be_reset():
    model = timm.create_model("cifar_resnet32", num_classes=0)
    assert isinstance(model.get_classifier(), nn.Identity)
    model.reset_classifier(7)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 7)


def test_option_a_subsamples_and_pads_both_sides():
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    out = cifar.SubsampleShortcut(4)(images)
    assert out.shape == (2, 7, 2, 2)
    assert torch.equal(out[:, 2:5], images[:, :, ::2, ::2])
    assert not out[:, :2].any()
    assert not out[:, 5:].any()


def test_kaiming_only_where_the_authors_use_it():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide, deep = timm.create_model("cifar_resnet32_w64"), timm.create_model("cifar_resnet34")
    fan_in = 9 * 256
    assert wide.layer3[4].conv2.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert deep.layer3[2].conv2.weight.std().item() == pytest.approx((1 / (3 * fan_in)) ** 0.5, rel=0.02)


def test_the_packed_network_loads_strictly(shared_data: Path):
    state = load_file(shared_data / "c100_if100_resnet32_stage1.safetensors")
    renamed = {name.replace("linear.", "fc."): value for name, value in state.items()}
    timm.create_model("cifar_resnet32", num_classes=100).load_state_dict(renamed, strict=True)
