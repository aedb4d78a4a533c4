"""A head joined with its body: what is exported, and the modules that say it whole."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ltfix.backbones.load import Backbone
from ltfix.backbones.network import as_linear
from ltfix.backbones.preprocess import Preprocess
from ltfix.backbones.torchvision_models import replace
from ltfix.errors import EnvironmentFault, UsageError
from ltfix.exporting.request import EVERY_HEAD
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head
from ltfix.heads.transform import transformed_logits


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What is exported.

    Attributes:
        head: the classifier. classes: its K names.
        backbone: the body, or None where the head goes alone.
        cache, test: the features that the head was fitted on, and those that it is measured on, if known.
    """

    head: Head
    classes: tuple[str, ...]
    backbone: Backbone | None
    cache: FeatureCache | None = None
    test: FeatureCache | None = None

    def module(self) -> FeatureClassifier:
        """The whole as one module of tensors to logits and probabilities."""
        if self.backbone is None:
            return FeatureClassifier(self.head).eval()
        _drop_classifiers(self.backbone)
        return PixelClassifier(self.head, self.backbone.model, self.backbone.preprocess).eval()

    def example(self, batch: int) -> Tensor:
        """An input of ``batch`` samples for tracing."""
        if self.backbone is None:
            return torch.zeros(batch, self.head.dim)
        side = self.backbone.preprocess.image_size
        return torch.full((batch, 3, side, side), 0.5)

    def body(self) -> Backbone:
        """The body, where the head does not go alone."""
        assert self.backbone is not None
        return self.backbone

    def linear(self, to: str) -> tuple[Tensor, Tensor]:
        """Weight [K, D] and bias [K] of one linear layer that gives the head's logits.

        Raises:
            UsageError: the body has several experts; other formats are named.
        """
        head = self.head
        if self.backbone is not None and "experts" in self.backbone.info:
            raise UsageError(f"a {to} model has one expert", where=f"to={to}", hint=EVERY_HEAD)
        temperature = 1.0 if head.temperature is None else head.temperature
        weight, bias = (head.weight.T / temperature).T, head.bias / temperature
        return torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32)


class FeatureClassifier(nn.Module):
    """Features [B, D] to logits and probabilities, both [B, K]."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head
        for name, array in head.arrays.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] -> [B, K], [B, K]."""
        arrays: dict[str, Any] = {name: self.get_buffer(name) for name in self.head.arrays}
        given = features.float(), self.head.transform, arrays
        logits: Tensor = transformed_logits(*given, lambda tensor: tensor, torch.exp)
        return logits, logits.softmax(-1)


class PixelClassifier(FeatureClassifier):
    """Pixels [B, 3, S, S] in 0…1 to logits and probabilities; the normalisation is inside."""

    def __init__(self, head: Head, body: nn.Module, preprocess: Preprocess) -> None:
        super().__init__(head)
        self.body = body
        for name in ("mean", "std"):
            self.register_buffer(f"pixel_{name}", torch.tensor(getattr(preprocess, name))[:, None, None])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, S, S] -> [B, K], [B, K]."""
        mean, std = self.get_buffer("pixel_mean"), self.get_buffer("pixel_std")
        return super().forward(self.body((pixels - mean) / std))


def demand_torch(to: str) -> None:
    """Refuse torch before 2.9 (EnvironmentFault): it fixes batch sizes in ONNX, and has other programs."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
        told = f"torch {torch.__version__} is too old for this format: 2.9 or later"
        raise EnvironmentFault(told, where=f"to={to}", hint="pip install -U torch torchvision")


@contextlib.contextmanager
def tracing(to: str) -> Iterator[None]:
    """What torch says of a model it cannot trace, or an operator a format lacks, as one EnvironmentFault."""
    demand_torch(to)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except MemoryError:
        raise
    except Exception as err:  # of the tracer, of every operator's translation
        cause: BaseException = err
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = " ".join(str(cause).split())[:160]
        told = f"torch {torch.__version__} cannot export this model: {said}"
        raise EnvironmentFault(told, where=f"to={to}", hint="another format may take it") from err


def _drop_classifiers(backbone: Backbone) -> None:
    """Take the classifiers away that the body came with, which its features do not pass through."""
    network = backbone.network
    for owner, names in ((network.body, network.classifiers), (network.extractor, ("linear",))):
        modules = dict(owner.named_modules())
        for name in names:
            if as_linear(modules.get(name)) is not None:
                replace(owner, name, nn.Identity())


def fill(model: nn.Module, classifiers: tuple[str, ...], joined: Joined, to: str) -> dict[str, Tensor]:
    """The state dict of ``model``, a fresh one of K classes, with the body's tensors and the head's.

    Args:
        classifiers: the names of its classifiers; several (as of distilled models) get the same weights,
            as their logits are averaged.
        to: the format.

    Raises:
        UsageError: the model cannot express the head.
    """
    weight, bias = joined.linear(to)
    own = joined.body().network.body.state_dict()
    modules = dict(model.named_modules())
    for name in classifiers:
        layer: Any = modules.get(name)
        linear = as_linear(layer)
        if linear is None or linear.in_features != joined.head.dim or (linear.bias is None and bias.any()):
            told = f"the {to} model does not end in a linear layer on the features"
            raise UsageError(told, where=f"to={to}", hint=EVERY_HEAD)
        own[f"{name}.weight"] = weight.reshape(layer.weight.shape)
        if linear.bias is not None:
            own[f"{name}.bias"] = bias
    needed = model.state_dict()
    state = {name: value.contiguous() for name, value in own.items() if name in needed}
    try:
        model.load_state_dict(state)
    except RuntimeError as err:
        told = f"with {len(weight)} classes the {to} model has other tensors than the body"
        raise UsageError(told, where=f"to={to}", hint=EVERY_HEAD) from err
    return state
