"""ltfix.backbones.torchvision_models: the feature is the last nn.Linear's input, whatever the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from ltfix.backbones.load import load_backbone
from ltfix.errors import EnvironmentFault


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_features_are_the_last_linears_input(name: str):
    backbone = load_backbone(f"torchvision:{name}", pretrained=False, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = torchvision.models.get_model(name, weights=None)
    model.eval().requires_grad_(False)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        model(images)
        torch.testing.assert_close(backbone.features(images), seen[0])
    assert (backbone.preprocess.image_size, backbone.dim) == (224, last.in_features)


def test_torchvision_resizes_as_its_weights_say():
    preset = torchvision.models.Swin_T_Weights.DEFAULT.transforms()
    backbone = load_backbone("torchvision:swin_t", pretrained=False)
    assert int(backbone.preprocess.image_size / backbone.preprocess.crop_pct) == preset.resize_size[0] == 232


def test_torchvision_checkpoints_keep_their_real_encoder(tmp_path: Path):
    with torch.random.fork_rng():
        model = torchvision.models.get_model("resnet18", weights=None, num_classes=7)
    torch.save({"state_dict": {f"module.{n}": v for n, v in model.state_dict().items()}}, tmp_path / "a.pth")
    backbone = load_backbone("torchvision:resnet18", checkpoint=tmp_path / "a.pth")
    assert backbone.head is not None
    np.testing.assert_array_equal(backbone.head.weight, model.fc.weight.detach().numpy())


def test_squeezenets_feature_is_the_input_of_its_convolution():
    """Its logits are pooled after a ReLU, so they are no linear map of a feature: no stage-1 head."""
    backbone = load_backbone("torchvision:squeezenet1_1", pretrained=False, preprocess={"image_size": 32})
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = backbone.model.model.features(images).mean((2, 3))
        assert torch.allclose(backbone.features(images), expected, atol=1e-6)
    assert (backbone.dim, backbone.head) == (512, None)


def test_a_download_tells_nothing_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """torch.hub prints where it downloads from; here nobody listens there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(EnvironmentFault):
        load_backbone("torchvision:resnet18")
    assert capsys.readouterr().out == ""
