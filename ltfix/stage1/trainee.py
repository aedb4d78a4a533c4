"""The network that is trained: a backbone of timm or torchvision, and the recipe's classifiers on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltfix import seeds
from ltfix.backbones.checkpoint import load_weights, read_checkpoint
from ltfix.backbones.load import hash_weights, open_network
from ltfix.backbones.network import Network, probe
from ltfix.backbones.preprocess import Preprocess, resolve_preprocess
from ltfix.backbones.torchvision_models import replace
from ltfix.stage1.heads import KINDS
from ltfix.stage1.recipes import SMALL_IMAGE


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
        features = self.extractor(images)
        return features, {name: head(features) for name, head in self.heads.items()}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What training starts from.

    Attributes:
        name, arguments: of the model.
        trainee: on the CPU, in evaluation mode.
        body: the module within it that has the library's own names; its classifier is taken out.
        dim: D.
        preprocess: from an image to the network's input.
        weights: "random", "pretrained" or the checkpoint's file name.
        weights_sha256: of the backbone at the start; random weights are decided by the seed.
    """

    name: str
    arguments: dict[str, Any]
    trainee: Trainee
    body: nn.Module
    dim: int
    preprocess: Preprocess
    weights: str
    weights_sha256: str

    def backbone_arrays(self) -> dict[str, np.ndarray]:
        """The backbone's tensors by the library's own names."""
        return _arrays(self.body)

    def head_arrays(self) -> dict[str, np.ndarray]:
        """The classifiers' tensors: ``fc.weight``, ``fc.bias``, …."""
        return _arrays(self.trainee.heads)


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def build(
    name: str,
    *,
    n_classes: int,
    heads: Sequence[str],
    kind: str = "linear",
    pretrained: bool = False,
    checkpoint: Path | str | None = None,
    model_args: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Start:
    """Build a network and load what it starts from.

    Args:
        name: a timm name or ``torchvision:NAME``.
        n_classes: K.
        heads: names of the classifiers to put on the feature.
        kind: their form: "linear", "cosine" or "etf".
        pretrained: start from the model's own weights.
        checkpoint: start from this file.
        model_args: for the model's constructor.
        preprocess: overrides: image_size, crop_pct, mean, std, interpolation (None: not given).
        seed: of random weights.

    Raises:
        UsageError: unknown model or argument; no pretrained weights exist; a simplex that does not fit.
        InputError: a checkpoint that is missing, torn or of another architecture.
        EnvironmentFault: pretrained weights cannot be downloaded.
    """
    overrides, arguments = dict(preprocess or {}), dict(model_args or {})
    fresh = not pretrained and checkpoint is None
    # a classifier of the right size comes with the model's own initialisation
    own_size = {"num_classes": n_classes} if fresh else {}
    network = open_network(
        name,
        pretrained and checkpoint is None,
        {**arguments, **own_size},
        overrides,
        seeds.derive(seed, "init"),
    )
    metadata: Mapping[str, str] = {}
    if checkpoint is not None:
        loaded = read_checkpoint(checkpoint)
        load_weights(network.body, loaded, network.classifiers)
        metadata = loaded.metadata
    resolved = _resolve(network, metadata, overrides, checkpoint or name)
    network.extractor.eval()
    dim, _ = probe(network, resolved.image_size)
    for classifier in _present(network):
        replace(network.body, classifier, nn.Identity())
    own = network.classifier if fresh else None
    with seeds.seeded(seed, "heads"):
        built = {
            head: _classifier(kind, dim, n_classes, own if not i else None) for i, head in enumerate(heads)
        }
    return Start(
        name=name,
        arguments=arguments,
        trainee=Trainee(network.extractor, built),
        body=network.body,
        dim=dim,
        preprocess=resolved,
        weights="random" if fresh else Path(checkpoint).name if checkpoint is not None else "pretrained",
        weights_sha256=hash_weights(network.body, network.classifiers),
    )


def _resolve(
    network: Network, metadata: Mapping[str, str], overrides: Mapping[str, Any], where: object
) -> Preprocess:
    """The model's preprocessing; small images, which have no border to spare, are not cropped."""
    resolved = resolve_preprocess(network.config, metadata, overrides, where)
    if resolved.image_size <= SMALL_IMAGE and overrides.get("crop_pct") is None:
        return dataclasses.replace(resolved, crop_pct=1.0)
    return resolved


def _present(network: Network) -> list[str]:
    modules = dict(network.body.named_modules())
    return [name for name in network.classifiers if name in modules]


def _classifier(kind: str, dim: int, n_classes: int, own: nn.Linear | None) -> nn.Module:
    """A new classifier; for a linear one the model's own where it is one linear layer on the feature."""
    if kind != "linear":
        return KINDS[kind](dim, n_classes)
    if own is not None and (own.out_features, own.in_features) == (n_classes, dim) and own.bias is not None:
        return own
    return nn.Linear(dim, n_classes)


def finite(network: nn.Module) -> bool:
    """Whether every parameter and statistic is finite."""
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
