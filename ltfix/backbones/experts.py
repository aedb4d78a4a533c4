"""Networks of several experts: their checkpoints expert by expert, and their features as one vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltfix.backbones.checkpoint import WRAPPERS, Checkpoint
from ltfix.backbones.layouts import CLASSIFIERS
from ltfix.backbones.network import Network
from ltfix.errors import Unused, UsageError
from ltfix.heads.head import STAGE1, Head

_MODES = ("mean", "concat")


class Experts(nn.Module):
    """The features of every expert: their mean, all side by side, or those of one.

    Args:
        experts: each images [B, 3, S, S] to [B, D].
        which: "mean", "concat", or a number from 0.
    """

    def __init__(self, experts: Sequence[nn.Module], which: str) -> None:
        super().__init__()
        self.which = which
        self.experts = nn.ModuleList(experts if which in _MODES else [experts[int(which)]])

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D], or [B, E·D] side by side."""
        return combine([expert(images) for expert in self.experts], self.which)


def combine(features: Sequence[Tensor], which: str) -> Tensor:
    """One feature [B, D] of each of E experts as ``which`` says; a single one stays as it is."""
    if which == "mean":
        return torch.stack(list(features)).mean(0)
    return torch.cat(list(features), 1)


def classifier(heads: Sequence[Head | None], which: str) -> Head | None:
    """The classifier on the combined feature, or None where there is none.

    Side by side it is the mean of the experts' logits; the mean of features has no such classifier.
    """
    if which not in _MODES:
        return heads[int(which)]
    known = [head for head in heads if head is not None]
    if which == "mean" or len(known) < len(heads):
        return None
    weight = np.concatenate([head.weight for head in known], 1) / len(known)
    return Head(weight, np.mean([head.bias for head in known], 0), STAGE1)


def check(which: str | None, n: int) -> str:
    """What is asked of ``n`` experts; side by side where nothing is.

    Raises:
        UsageError: there is one expert only, or not that many.
    """
    if n < 2:
        raise Unused("the model has no experts to choose from", where="experts")
    if which is None or which in _MODES:
        return which or "concat"
    if not which.isdecimal() or int(which) >= n:
        hint = f"mean, concat, or one from 0 to {n - 1}"
        raise UsageError(f"there is no expert {which!r} of {n}", where="experts", hint=hint)
    return which


def by_expert(checkpoint: Checkpoint, network: Network) -> list[Checkpoint]:
    """A checkpoint of several experts as one of the plain network for each; any other as it is.

    An expert's tensors are known by a number that the network's own names lack: ``layer4s.1.0.conv1.weight``
    and ``linears.1.weight`` (RIDE, BalPoE), ``networks.1.conv1.weight`` or ``backbone.1.conv1.weight`` beside
    ``classifier.1.weight`` (NCL). All others are shared.
    """
    own = tuple(f"{name}." for name in network.classifiers)
    body = {name for name in network.body.state_dict() if not name.startswith(own)}
    heads = {f"{n}.{kind}" for n in (*network.classifiers, *CLASSIFIERS) for kind in ("weight", "bias")}
    found = {name: _expert(name, body, heads) for name in checkpoint.state}
    experts = sorted({expert for expert, own in found.values() if expert is not None and own in body})
    if len(experts) < 2:
        return [checkpoint]
    parts = []
    for which in experts:
        state = {own: checkpoint.state[n] for n, (expert, own) in found.items() if expert in (None, which)}
        parts.append(dataclasses.replace(checkpoint, state=state))
    return parts


def _expert(name: str, body: Collection[str], heads: Collection[str]) -> tuple[int | None, str]:
    """Which expert a tensor is of, None for a shared one, and the plain network's name for it."""
    rest = name
    while rest not in body:
        parts = rest.split(".")
        for i, part in enumerate(parts):
            if not part.isdecimal():
                continue
            before, after = parts[:i], parts[i + 1 :]
            singular = [*before[:-1], before[-1].removesuffix("s")] if before else []
            for way in (singular, before[:-1]):
                own = ".".join([*way, *after])
                if own in body or own in heads:
                    return int(part), own
        prefix = next((prefix for prefix in WRAPPERS if rest.startswith(prefix)), None)
        if prefix is None:
            return None, name
        rest = rest.removeprefix(prefix)
    return None, rest


def chosen(outputs: Any, which: str) -> Tensor:
    """The feature [B, D] of what a model returns for each expert: several [B, D], or [B, E, D].

    Raises:
        UsageError: it returns one, or fewer than asked for.
    """
    found = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if len(found) == 1 and found[0].ndim == 3:
        found = list(found[0].unbind(1))
    check(which, len(found))
    return combine(found if which in _MODES else [found[int(which)]], which)
