"""torchvision's classification models: the feature is the input of the last linear layer."""

from __future__ import annotations

import contextlib
import functools
import io
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from ltfix.backbones.given import PREFIX
from ltfix.backbones.network import Network, as_linear, build, main_output
from ltfix.errors import InputError, UsageError, nearest

_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


class TorchvisionFeatures(nn.Module):
    """A torchvision model whose last linear layer, called ``name`` in it, hands its input through."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.linear = model.get_submodule(name)
        replace(model, name, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D]."""
        features: Tensor = main_output(self.model(images))
        return features

    def logits(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, K], with the classifier back in its place."""
        replace(self.model, self.name, self.linear)
        try:
            return self.forward(images)
        finally:
            replace(self.model, self.name, nn.Identity())


def open_torchvision(
    name: str, *, pretrained: bool, arguments: Mapping[str, Any], image_size: int | None, seed: int
) -> Network:
    """Build a torchvision classification model.

    Args:
        name: torchvision's, without prefix.
        pretrained: load its default weights, else draw random ones from ``seed``.
        arguments: for the model's constructor.
        image_size: handed to vision transformers, which are built for one size.

    Raises:
        UsageError: unknown model or argument.
        InputError: the model has no linear layer.
        EnvironmentFault: the weights cannot be downloaded.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UsageError("unknown torchvision model", where=name, hint=nearest(name, known))
    weights = torchvision.models.get_model_weights(name).DEFAULT
    chosen = dict(arguments)
    auxiliary = _AUXILIARY.get(name, ())
    if auxiliary:  # training is on the main classifier, and features never need the others
        chosen.pop("aux_logits", None)
    if not pretrained:
        chosen |= {"aux_logits": False, "init_weights": True} if auxiliary else {}  # unsaid, it warns
        if name.startswith("vit_") and image_size is not None:
            chosen.setdefault("image_size", image_size)
    with contextlib.redirect_stdout(io.StringIO()):  # torch.hub tells of its download there
        model: Any = build(
            lambda: torchvision.models.get_model(
                name, weights=weights if pretrained else None, progress=False, **chosen
            ),
            PREFIX + name,
            pretrained=pretrained,
            seed=seed,
        )
    for part in auxiliary:
        model.aux_logits = False
        setattr(model, part, None)
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:  # SqueezeNet classifies by a 1×1 convolution
        linear = [path for path, module in model.named_modules() if as_linear(module) is not None]
    if not linear:
        raise InputError("the model has no linear layer, so no feature before one", where=PREFIX + name)
    extractor = TorchvisionFeatures(model, linear[-1])
    return Network(
        extractor=extractor,
        body=model,
        classifiers=(linear[-1],),
        classifier=as_linear(extractor.linear),
        logits=extractor.logits,
        pretrained=pretrained,
        trained=pretrained,
        config=_config(weights),
        name=name,
        arguments=chosen,
        adapt=functools.partial(_adapt, model) if name.startswith("vit_") else None,
    )


def _adapt(model: Any, state: dict[str, Tensor], n_classes: int) -> dict[str, Tensor]:
    """A vision transformer's state dict with its position embedding resampled, as torchvision does."""
    resampled = interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(state))
    return dict(resampled)


def replace(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put ``module`` at a dotted path of ``model``."""
    parent, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _config(weights: Any) -> dict[str, Any]:
    """The preprocessing of a model's default weights in timm's words."""
    transform = weights.transforms()
    side, resize = transform.crop_size[0], transform.resize_size[0]
    return {
        "input_size": (3, side, side),
        # timm rounds side / crop_pct down: aim between two whole pixels to hit ``resize`` exactly
        "crop_pct": side / (resize + 0.01),
        "mean": tuple(transform.mean),
        "std": tuple(transform.std),
        "interpolation": transform.interpolation.value,
    }
