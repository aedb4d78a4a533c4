"""The network that is trained: a backbone of timm or torchvision, and the recipe's classifiers on it.

These are linear, plain cosine (LDAM) or the fixed simplex (EWB-FDR).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix import seeds
from ltfix.backbones.load import Backbone, assemble
from ltfix.backbones.network import check_arguments
from ltfix.backbones.opening import open_network, read_given
from ltfix.backbones.torchvision_models import replace
from ltfix.errors import InputError, UsageError
from ltfix.images import SMALL_IMAGE
from ltfix.stage1.entries import Recipe
from ltfix.stage1.request import TrainingRequest


@contextlib.contextmanager
def model_errors() -> Iterator[None]:
    """Turn what a model of a library raises in training into one clear line.

    Raises:
        UsageError: batch norm sees a single value a channel.
        InputError: anything else but a lack of memory, which stays what it is.
    """
    try:
        yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as err:
        said = " ".join(str(err).split())[:160]
        if isinstance(err, torch.cuda.OutOfMemoryError) or "memory" in said:
            raise
        if "more than 1 value per channel" in said:
            what = "batch norm needs more than one value a channel"
            raise UsageError(what, where="batch_size", hint="use a larger batch_size or image_size") from err
        raise InputError(f"the model cannot be trained on these images: {said}") from err


class Trainee(nn.Module):
    """A backbone and its classifiers by name.

    Args:
        extractor: images [B, 3, S, S] -> features [B, D].
        heads: each [B, D] -> [B, K].

    Attributes:
        extras: modules that only the objective uses.
    """

    def __init__(self, extractor: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.extractor = extractor
        self.heads = nn.ModuleDict(heads)
        self.extras = nn.ModuleDict()

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features [B, D] and the logits [B, K] of every head."""
        with model_errors():
            features = self.extractor(images)
        return features, {name: head(features) for name, head in self.heads.items()}


class CosineClassifier(nn.Module):
    """The cosine of feature and row, without a scale, which LDAM's loss brings (Cao et al. 2019).

    Args:
        dim: D.
        n_classes: K. Rows start uniform in (−1, 1), scaled to norm 1.
    """

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.empty(n_classes, dim).uniform_(-1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] to cosines [B, K]."""
        return F.linear(F.normalize(x), F.normalize(self.weight))

    def head(self) -> tuple[Tensor, Tensor, Mapping[str, Any] | None]:
        """Unit rows [K, D], no bias, and the transform that normalises features."""
        weight = F.normalize(self.weight.detach().cpu().double()).float()
        return weight, weight.new_zeros(len(weight)), {"kind": "l2"}


class EtfClassifier(nn.Module):
    """A fixed simplex with a trained bias: only the features move (Hasegawa & Sato 2024).

    Args:
        dim: D, at least K.
        n_classes: K. The bias starts uniform in ±1/D.

    Raises:
        UsageError: D < K.
    """

    weight: Tensor

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", simplex_etf(dim, n_classes).float())
        self.bias = nn.Parameter(torch.empty(n_classes).uniform_(-1 / dim, 1 / dim))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] to logits [B, K]."""
        return F.linear(x, self.weight, self.bias)


def simplex_etf(dim: int, n_classes: int) -> Tensor:
    """K unit rows [K, D] float64 whose pairwise cosines are all −1/(K−1), in a random orientation.

    W = (U M)ᵀ with M = √(K/(K−1)) (I − 11ᵀ/K) and U the first K columns of a random orthogonal matrix,
    drawn from torch's generator.

    Raises:
        UsageError: D < K, or fewer than two classes.
    """
    if n_classes < 2 or dim < n_classes:
        what = f"a simplex of K = {n_classes} classes does not fit into D = {dim} dimensions"
        hint = "it needs D ≥ K: a wider model, as cifar_resnet34 (D = 512)"
        raise UsageError(what, where="recipe etf-fr", hint=hint)
    basis, _ = torch.linalg.qr(torch.randn(dim, n_classes, dtype=torch.float64))
    rows: Tensor = (basis @ simplex(n_classes)).T.contiguous()
    return rows


def simplex(n_classes: int) -> Tensor:
    """M = √(K/(K−1)) (I − 11ᵀ/K), [K, K] float64."""
    k = n_classes
    return math.sqrt(k / (k - 1)) * (torch.eye(k, dtype=torch.float64) - 1 / k)


KINDS = {"cosine": CosineClassifier, "etf": EtfClassifier}


def arrays_of(module: nn.Module) -> dict[str, np.ndarray]:
    """A module's tensors by its own names: ``fc.weight``, ``fc.bias``, …."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def build_start(
    request: TrainingRequest, recipe: Recipe, n_classes: int, dropout: float = 0.0
) -> tuple[Backbone, Trainee]:
    """The network that was asked for, with what it starts from, and the same with the recipe's classifiers.

    Its own are taken out of ``Backbone.network.body``. Random weights are decided by the seed.

    Raises:
        UsageError: unknown model or argument; no pretrained weights exist; a simplex that does not fit.
        InputError: a checkpoint that is missing, torn or of another architecture.
        EnvironmentFault: pretrained weights cannot be downloaded.
    """
    given, arguments = request.preprocess(), dict(request.model_args)
    check_arguments(arguments)
    if dropout:
        arguments["drop_rate"] = dropout
    fresh = request.checkpoint is None and not request.pretrained
    if fresh:  # a classifier of the right size comes with the model's own initialisation
        arguments["num_classes"] = n_classes
    loaded = read_given(request.checkpoint, request.checkpoint_key, request.ignore_tensors)
    pretrained, seed = request.pretrained and loaded is None, seeds.derive(request.seed, "init")
    network = open_network(request.model, pretrained, arguments, given, seed)
    backbone = assemble(request.model, network, loaded, arguments, given, trains=True)
    if backbone.preprocess.image_size <= SMALL_IMAGE and "crop_pct" not in given:  # no border to spare
        backbone.preprocess = dataclasses.replace(backbone.preprocess, crop_pct=1.0)
    for classifier in network.classifiers:
        if classifier in dict(network.body.named_modules()):  # one may lie within another
            replace(network.body, classifier, nn.Identity())
    with seeds.seeded(request.seed, "heads"):
        first, *others = recipe.heads
        own = network.classifier if fresh else None
        heads = {first: _classifier(recipe.head, backbone.dim, n_classes, own)}
        heads |= {name: _classifier(recipe.head, backbone.dim, n_classes, None) for name in others}
    return backbone, Trainee(network.extractor, heads)


def _classifier(kind: str, dim: int, n_classes: int, own: nn.Linear | None) -> nn.Module:
    """A new classifier; for a linear one the model's own where it is one linear layer on the feature."""
    if kind != "linear":
        return KINDS[kind](dim, n_classes)
    if own is not None and (own.out_features, own.in_features) == (n_classes, dim) and own.bias is not None:
        return own
    return nn.Linear(dim, n_classes)
