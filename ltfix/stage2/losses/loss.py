"""What a loss is, and how one is made of class counts and of a method's values.

Every loss has two faces over logits ``z`` [..., B, M, K] (M settings trained side by side, so every
table is [M, K]) and labels ``y`` [..., B]:

- ``value(z, y)``: [..., M], the literal formula, differentiable by autograd;
- ``grad_(z, y)``: [..., B, M, K], B · ∂value/∂z by the closed form; it may overwrite ``z``.

Batch means are left to the caller in ``grad_`` (it folds 1/B into a matrix product).

The files beside this one hold a family each: its classes, and below them the functions that the records of
``methods/catalog.py`` name. Each of these makes a loss of :class:`Settings`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ltfix.errors import UsageError
from ltfix.stage2.losses import weights
from ltfix.stage2.methods.method import find_part
from ltfix.stage2.methods.parts import Part, Setting


class Loss(Protocol):
    """What the engine needs of a loss."""

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean loss per setting, [..., M]."""

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """B · ∂value/∂z, [..., B, M, K]; ``z`` may be overwritten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What losses are made of: the class counts, and the values of M settings that train side by side.

    Attributes:
        counts: [K] training samples per class.
        values: M mappings of a loss's own values (``ltfix methods NAME`` lists them).
        dtype, device: of the logits.
    """

    counts: np.ndarray
    values: Sequence[Setting]
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    def table(self, formula: Callable[..., np.ndarray], *names: str) -> Tensor:
        """[M, K]: ``formula(counts, ...)`` of each setting's values of these names."""
        rows = [formula(self.counts, *(v[name] for name in names)) for v in self.values]
        return self._tensor(np.stack(rows))

    def numbers(self, name: str) -> Tensor:
        """[M]: one value of each setting."""
        return self._tensor(np.array([float(v[name]) for v in self.values]))

    def word(self, name: str) -> Any:
        """A value that is the same in all settings, as words are."""
        return self.values[0][name]

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(device=self.device, dtype=self.dtype)


def build_loss(
    loss: Part | str,
    counts: Tensor | np.ndarray,
    values: Sequence[Setting],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Loss:
    """A loss of the method table for M settings at once; arguments as in :class:`Settings`.

    With ``drw_from`` below 1 among the values its class weights are :class:`Deferred`, or else those of the
    effective number are.

    Raises:
        UsageError: a loss of the user's own, which has no class weights, is to defer them.
    """
    settings = Settings(np.asarray(counts), values, dtype, device)
    found: Loss = find_part("loss", loss).function(settings)
    start = float(values[0].get("drw_from", 1.0))
    if start >= 1:
        return found
    if not hasattr(found, "weight"):
        raise UsageError("a loss of one's own has no class weights to defer", where="drw_from")
    before, after = copy.deepcopy(found), copy.deepcopy(found)  # a plug-in's may hold another loss
    before.weight = None
    if after.weight is None:
        after.weight = settings.table(weights.effective_number, "beta")
    return Deferred(before, after, start)


class Deferred:
    """Deferred re-weighting (Cao et al. 2019): one loss until a share of the epochs, another from there."""

    def __init__(self, before: Loss, after: Loss, start: float) -> None:
        self.before, self.after, self.start = before, after, start
        self.now = before

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Switch over where the epoch's index has reached ``start`` of the epochs."""
        self.now = self.after if epoch >= self.start * epochs else self.before

    def value(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.value(z, y)

    def grad_(self, z: Tensor, y: Tensor) -> Tensor:
        """Of the loss in force."""
        return self.now.grad_(z, y)


def of(table: Tensor, y: Tensor) -> Tensor:
    """Rows of a [M, K] table at the labels: [..., B, M]."""
    return table.t()[y]


def sample_weight(weight: Tensor | None, z: Tensor, y: Tensor) -> Tensor:
    """What each sample counts, [..., B, M]: the [M, K] weights at the labels, else one."""
    return z.new_ones(z.shape[:-1]) if weight is None else of(weight, y)


def at(z: Tensor, y: Tensor) -> Tensor:
    """An index that picks the true class of every sample and setting: [..., B, M, 1]."""
    index = y.view(*y.shape, 1, 1)
    return index if z.shape[-2] == 1 else index.expand(*z.shape[:-1], 1)


@functools.lru_cache(maxsize=64)
def _minus_one(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((*shape, 1), -1.0, dtype=dtype, device=device)


def subtract_hit_(s: Tensor, y: Tensor) -> Tensor:
    """s − e_y in place."""
    return s.scatter_add_(-1, at(s, y), _minus_one(s.shape[:-1], s.dtype, s.device))
