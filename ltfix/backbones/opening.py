"""A network by its name, from whichever library has it, and the checkpoint that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltfix.backbones import mlp
from ltfix.backbones.checkpoint import Checkpoint, read_checkpoint
from ltfix.backbones.given import PREFIX, demand_weights
from ltfix.backbones.network import Network, check_arguments
from ltfix.backbones.preprocess import check_size
from ltfix.backbones.timm_models import open_timm
from ltfix.backbones.torchvision_models import open_torchvision


def read_given(checkpoint: Path | str | None, key: str | None, ignore: Sequence[str]) -> Checkpoint | None:
    """The checkpoint that was asked for, if one was.

    Raises:
        UsageError: how to read one is said, but not which.
        InputError: as :func:`read_checkpoint`.
    """
    demand_weights(checkpoint, key, ignore)
    return None if checkpoint is None else read_checkpoint(checkpoint, key, ignore)


def open_network(
    name: str, pretrained: bool, arguments: dict[str, Any], overrides: dict[str, Any], seed: int
) -> Network:
    """The network called ``name`` before any checkpoint.

    Args:
        name: a timm name or ``torchvision:NAME``.
        pretrained: load the library's weights, else draw random ones from ``seed``.
        arguments: for the model's constructor.
        overrides: of the preprocessing; models built for one size take their ``image_size``.
        seed: of random weights.

    Raises:
        UsageError: unknown model or argument; no pretrained weights exist.
        EnvironmentFault: pretrained weights cannot be downloaded.
    """
    check_arguments(arguments)
    image_size = overrides.get("image_size")
    check_size(image_size)
    if name == mlp.NAME:
        return mlp.open_mlp(pretrained=pretrained, arguments=arguments, seed=seed)
    if name.startswith(PREFIX):
        return open_torchvision(
            name.removeprefix(PREFIX),
            pretrained=pretrained,
            arguments=arguments,
            image_size=image_size,
            seed=seed,
        )
    return open_timm(name, pretrained=pretrained, arguments=arguments, image_size=image_size, seed=seed)
