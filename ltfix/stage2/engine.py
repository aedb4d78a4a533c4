"""The one training loop of stage 2: S seeds × M settings of one method, side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ltfix.errors import InputError
from ltfix.progress import SILENT, Progress
from ltfix.stage2.data import Features
from ltfix.stage2.losses import Loss
from ltfix.stage2.parametrise import Number, Parametrisation, Sgd


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. What may differ between the M settings is a sequence of M numbers.

    Attributes:
        lr, weight_decay: M numbers each.
        momentum, batch_size, epochs, schedule, sampler: the same for all.
    """

    lr: Sequence[float]
    weight_decay: Sequence[float]
    momentum: float
    batch_size: int
    epochs: int
    schedule: str = "cosine"
    sampler: str = "instance"


def rate_factor(schedule: str, epoch: int, epochs: int) -> float:
    """What the learning rate is multiplied with in epoch 0..E−1; cosine: ½(1 + cos(πe/E))."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs)) if schedule == "cosine" else 1.0


def train(
    data: Features,
    head: Parametrisation,
    loss: Loss,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    like: Tensor,
    after_epoch: Callable[[int], None] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Train ``head`` in place.

    Args:
        data: the samples; every seed shuffles them its own way.
        like: a tensor whose dtype and device the batches take.
        after_epoch: called with the epoch's index after its last step.

    Raises:
        InputError: a run diverged; the epoch and a lower rate are named.
    """
    lr, decay = _number(recipe.lr, like), _number(recipe.weight_decay, like)
    progress.start("fit", recipe.epochs, "epochs")
    for epoch in range(recipe.epochs):
        sgd = Sgd(lr * rate_factor(recipe.schedule, epoch, recipe.epochs), recipe.momentum, decay)
        for x, y in data.batches(
            recipe.sampler, recipe.batch_size, seeds, epoch=epoch, epochs=recipe.epochs, like=like
        ):
            step(head, loss, x, y, sgd)
        _check_finite(head, recipe, epoch)
        if after_epoch is not None:
            after_epoch(epoch)
        progress.advance()
    progress.finish()


def step(head: Parametrisation, loss: Loss, x: Tensor, y: Tensor, sgd: Sgd) -> None:
    """θ ← θ − η v with v ← μv + ∂L/∂θ + λθ; ∂L/∂z in closed form, then back through the head.

    Args:
        x: [S, B, D]. y: [S, B].
    """
    z = head.logits(x)
    dz = loss.grad_(z, y)
    head.step(x, dz, sgd)


def _number(values: Sequence[float], like: Tensor) -> Number:
    """One float where all settings agree (a cheaper operator), else a tensor [M]."""
    return (
        float(values[0])
        if len(set(values)) == 1
        else torch.tensor(values, dtype=like.dtype, device=like.device)
    )


def _check_finite(head: Parametrisation, recipe: Recipe, epoch: int) -> None:
    weight, bias = head.folded()
    broken = ~(torch.isfinite(weight).all(-1).all(-1) & torch.isfinite(bias).all(-1))
    if bool(broken.any()):
        setting = int(broken.any(0).nonzero()[0])
        rate = recipe.lr[setting]
        raise InputError(
            f"the loss became NaN in epoch {epoch + 1} of {recipe.epochs}",
            where=f"lr {rate:g}",
            hint=f"try --lr {rate / 10:.0e}",
        )
