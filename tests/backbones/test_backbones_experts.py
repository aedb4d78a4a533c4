"""Networks of several experts, in the layouts of RIDE, BalPoE and NCL, against the networks themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn
from torch.nn import functional as F

import ltfix
from ltfix.backbones.cifar import CifarResNet
from ltfix.backbones.load import load_backbone
from ltfix.errors import UsageError

ARGUMENTS = {"depths": [1, 1, 1], "widths": [4, 6, 8]}
SHAPE = {"depths": (1, 1, 1), "widths": (4, 6, 8), "option_a": True, "kaiming": True, "num_classes": 3}
ASK = {"model_args": ARGUMENTS, "pretrained": False}


class Ride(nn.Module):
    """Three experts on shared first layers, named as RIDE's CIFAR network names them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        nets = [CifarResNet(**SHAPE) for _ in range(3)]
        for net in nets:
            net.apply(_settle)
        self.conv1, self.bn1, self.layer1 = nets[0].conv1, nets[0].bn1, nets[0].layer1
        self.layer2s = nn.ModuleList([net.layer2 for net in nets])
        self.layer3s = nn.ModuleList([net.layer3 for net in nets])
        self.linears = nn.ModuleList([net.fc for net in nets])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, 3, D] and logits [B, K], the mean of the experts'."""
        x = self.layer1(F.relu(self.bn1(self.conv1(x))))
        pairs = zip(self.layer2s, self.layer3s, strict=True)
        features = [late(early(x)).mean((2, 3)) for early, late in pairs]
        logits = [linear(f) for linear, f in zip(self.linears, features, strict=True)]
        return torch.stack(features, 1), torch.stack(logits).mean(0)


def _settle(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.running_mean, -0.1, 0.1)
        nn.init.uniform_(module.running_var, 0.5, 2)


def ncl(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whole networks side by side, as NCL's lists of backbones and classifiers name them."""
    found = {}
    for name, value in state.items():
        for expert in range(3):
            own = name.replace(f"layer2s.{expert}.", "layer2.").replace(f"layer3s.{expert}.", "layer3.")
            if "s." not in own:
                found[f"module.backbone.{expert}.{own}"] = value
            if name.startswith(f"linears.{expert}."):
                found[f"module.classifier.{expert}.{name.rpartition('.')[2]}"] = value
    return found


LAYOUTS: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "RIDE, BalPoE": lambda s: {f"module.backbone.{name}": value for name, value in s.items()},
    "bare": dict,
    "NCL": ncl,
    "a list of networks": lambda s: {
        n.replace("module.backbone", "networks").replace("module.classifier", "classifiers"): v
        for n, v in ncl(s).items()
    },
}
PICTURES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("layout", "which"),
    [
        *(("RIDE, BalPoE", which) for which in (None, "mean", "concat", "0", "2")),
        *((n, "concat") for n in LAYOUTS),
    ],
)
def test_features_and_classifier_are_the_networks(layout: str, which: str | None, tmp_path: Path) -> None:
    network = Ride().eval()
    torch.save({"state_dict": LAYOUTS[layout](network.state_dict())}, tmp_path / "experts.pth")
    features, logits = network(PICTURES)
    found = load_backbone("cifar_resnet32", checkpoint=tmp_path / "experts.pth", experts=which, **ASK)
    expected = {"mean": features.mean(1), "0": features[:, 0], "2": features[:, 2]}.get(
        which or "", features.flatten(1)
    )
    torch.testing.assert_close(found.features(PICTURES), expected)
    assert found.dim == expected.shape[1] and found.info["experts"] == (which or "concat")
    assert any("3 experts in experts.pth" in note for note in found.notes)
    if which == "mean":
        assert found.head is None
    elif which in (None, "concat"):
        assert found.head is not None
        torch.testing.assert_close(
            torch.tensor(found.head.logits(expected.detach().numpy())), logits.detach()
        )


def test_experts_make_caches_of_their_own(photos: Path, tmp_path: Path) -> None:
    torch.save(Ride().eval().state_dict(), tmp_path / "e.pth")
    given = {**ASK, "backbone": "cifar_resnet32", "checkpoint": tmp_path / "e.pth", "device": "cpu"}
    caches = [
        ltfix.extract(photos, experts=which, out=tmp_path / str(which), split=["train"], **given)
        for which in (None, "mean", "1")
    ]
    assert [cache.dim for cache in caches] == [24, 8, 8]
    assert len({cache.fingerprint for cache in caches}) == 3


@pytest.mark.parametrize("which", ["3", "-1", "best"])
def test_another_expert_than_there_is(which: str, tmp_path: Path) -> None:
    torch.save(Ride().state_dict(), tmp_path / "e.pth")
    with pytest.raises(UsageError, match=f"no expert '{which}' of 3"):
        load_backbone("cifar_resnet32", checkpoint=tmp_path / "e.pth", experts=which, **ASK)


@pytest.mark.parametrize("name", ["cifar_resnet32", "torchvision:resnet18"])
def test_a_network_of_one_has_none_to_choose(name: str) -> None:
    with pytest.raises(UsageError, match="no experts to choose from"):
        load_backbone(name, experts="mean", pretrained=False)


class Several(CifarResNet):
    """A model that returns two features."""

    def forward_head(self, x: Tensor, pre_logits: bool = False):
        pooled = x.mean((2, 3))
        return (pooled, 3 * pooled) if pre_logits else self.fc(pooled)


@register_model
def cifar_several_features(pretrained: bool = False, **kwargs):
    return build_model_with_cfg(Several, "cifar_resnet32", pretrained, **{**SHAPE, **kwargs})


@pytest.mark.parametrize(("which", "factor"), [(None, 1), ("mean", 2), ("1", 3)])
def test_a_model_that_returns_several_features(which: str | None, factor: int) -> None:
    found = load_backbone("cifar_several_features", experts=which, pretrained=False)
    plain = load_backbone("cifar_several_features", pretrained=False)
    torch.testing.assert_close(found.features(PICTURES), factor * plain.features(PICTURES))
    both = load_backbone("cifar_several_features", experts="concat", pretrained=False)
    assert both.dim == 2 * plain.dim
