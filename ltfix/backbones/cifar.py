"""The CIFAR residual networks of the long-tail papers, registered with timm.

``cifar_resnet32`` is He et al. 2016, §4.2 (option A shortcuts); ``cifar_resnet32_w64`` is the four
times wider one in the code of GLMC and SAMN; ``cifar_resnet34`` is the ResNet-34 for 32-pixel images
in the code of weight balancing and LOS (stride-1 stem, no max-pool, projection shortcuts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock
from torch import Tensor, nn


class SubsampleShortcut(nn.Module):
    """Option A: every second pixel, and ``added`` zero channels, half on each side; no parameters."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.pad = added // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C + added, H/2, W/2]."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))


def _block(inner: int, width: int, stride: int, option_a: bool) -> BasicBlock:
    """Two 3×3 convolutions and a shortcut, without parameters (option A) or a 1×1 convolution."""
    if stride == 1 and inner == width:
        return BasicBlock(inner, width)
    if option_a:
        return BasicBlock(inner, width, stride, SubsampleShortcut(width - inner))
    projection = nn.Conv2d(inner, width, 1, stride, bias=False), nn.BatchNorm2d(width)
    return BasicBlock(inner, width, stride, nn.Sequential(*projection))


class CifarResNet(nn.Module):
    """A residual network for 32-pixel images, with timm's interface.

    Args:
        depths: blocks per stage. widths: channels per stage; every stage but the first halves the side.
        option_a: shortcuts without parameters.
        kaiming: ``kaiming_normal_`` on every convolution and linear weight, else the framework's own start.
        num_classes: K; 0 leaves the classifier out.
        in_chans: channels of an image.
        drop_rate: dropout before the classifier, in training.
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        option_a: bool,
        kaiming: bool,
        *,
        num_classes: int = 100,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        if global_pool != "avg":
            raise ValueError("only global average pooling is defined for this network")
        self.num_classes, self.drop_rate = num_classes, drop_rate
        self.num_features = self.head_hidden_size = widths[-1]
        self.conv1 = nn.Conv2d(in_chans, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inner = widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            strides = [1 if stage == 1 else 2] + [1] * (depth - 1)
            blocks = []
            for stride in strides:
                blocks.append(_block(inner, width, stride, option_a))
                inner = width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.stages = [f"layer{stage}" for stage in range(1, len(depths) + 1)]
        self.fc: nn.Module = nn.Identity()
        self.reset_classifier(num_classes)
        if kaiming:
            self.apply(_kaiming)

    def get_classifier(self) -> nn.Module:
        """The linear classifier."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier of K classes; none for K = 0."""
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, 3, 32, 32] -> [B, D, 8, 8] (4×4 for four stages)."""
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool to the feature [B, D]; classify it unless ``pre_logits``."""
        x = F.dropout(x.mean((2, 3)), self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 32, 32] -> logits [B, K]."""
        return self.forward_head(self.forward_features(x))


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


_CFG = {
    "num_classes": 100,
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "crop_pct": 1.0,
    "interpolation": "bilinear",
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2023, 0.1994, 0.2010),
    "first_conv": "conv1",
    "classifier": "fc",
}
default_cfgs = generate_default_cfgs(
    {
        "cifar_resnet32": dict(_CFG),
        "cifar_resnet32_w64": dict(_CFG),
        "cifar_resnet34": {**_CFG, "pool_size": (4, 4)},
    }
)


def _build(variant: str, pretrained: bool, arguments: dict[str, Any], **shape: Any) -> CifarResNet:
    model: CifarResNet = build_model_with_cfg(CifarResNet, variant, pretrained, **{**shape, **arguments})
    return model


@register_model
def cifar_resnet32(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-32 with option-A shortcuts, 16/32/64 channels, D = 64."""
    shape = {"depths": (5, 5, 5), "widths": (16, 32, 64), "option_a": True, "kaiming": True}
    return _build("cifar_resnet32", pretrained, kwargs, **shape)


@register_model
def cifar_resnet32_w64(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """The wide ResNet-32 of GLMC and SAMN: 64/128/256 channels, D = 256."""
    shape = {"depths": (5, 5, 5), "widths": (64, 128, 256), "option_a": True, "kaiming": True}
    return _build("cifar_resnet32_w64", pretrained, kwargs, **shape)


@register_model
def cifar_resnet34(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-34 with a stride-1 3×3 stem, 64/128/256/512 channels, D = 512."""
    shape = {"depths": (3, 4, 6, 3), "widths": (64, 128, 256, 512), "option_a": False, "kaiming": False}
    return _build("cifar_resnet34", pretrained, kwargs, **shape)
