"""The one training loop of stage 2: S seeds × M settings of one method, side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ltfix.errors import InputError
from ltfix.progress import SILENT, Progress
from ltfix.stage2.layers.parametrisation import Parametrisation
from ltfix.stage2.layers.sgd import Number, Sgd
from ltfix.stage2.loop.constraints import Constraint
from ltfix.stage2.loop.data import Features, Visits
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.losses.loss import Loss

SMALL_STEP = 1 << 21  # multiplications of a matrix product that gains nothing from a second thread
HIGHEST_USUAL = 0.1
"""No published method trains at a higher rate."""


class Diverged(InputError):
    """A run whose weights are no longer finite; the epoch and a lower rate are named."""


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """How M settings are trained side by side; what may differ between them is a sequence of M numbers.

    Attributes:
        visits: how an epoch visits the samples, and how many epochs there are.
        lr, weight_decay: M numbers each.
        momentum: the same for all. decline: how the rate falls over the epochs, "cosine" or "constant".
        stop: end after so many of the epochs; None: train them all.
    """

    visits: Visits
    lr: Sequence[float]
    weight_decay: Sequence[float]
    momentum: float
    decline: str = "cosine"
    stop: int | None = None


def rate_factor(decline: str, epoch: int, epochs: int) -> float:
    """What the learning rate is multiplied with in epoch 0..E−1; cosine: ½(1 + cos(πe/E))."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs)) if decline == "cosine" else 1.0


def train(
    data: Features,
    head: Parametrisation,
    loss: Loss,
    schedule: Schedule,
    seeds: Sequence[int],
    *,
    scaling: Scaling,
    like: Tensor,
    constraint: Constraint | None = None,
    after_epoch: Callable[[int], None] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Train a head of S seeds and M settings in place.

    Args:
        data: the samples; every seed visits them in an order of its own.
        head: the S × M runs, which share every matrix product. loss: of their logits [S, B, M, K].
        seeds: S numbers.
        scaling: what is done to the features first.
        like: a tensor whose dtype and device the batches take.
        constraint: enforced on the head after every step or epoch.
        after_epoch: called with the epoch's index after its last step.

    Raises:
        Diverged: the weights of a run are no longer finite.
    """
    epochs = schedule.visits.epochs
    lr, decay = _number(schedule.lr, like), _number(schedule.weight_decay, like)
    progress.start("fit", schedule.stop or epochs, "epochs")
    with threads_for(head, min(schedule.visits.batch_size, len(data))):
        for epoch in range(schedule.stop or epochs):
            sgd = Sgd(lr * rate_factor(schedule.decline, epoch, epochs), schedule.momentum, decay)
            if hasattr(loss, "start_epoch"):
                loss.start_epoch(epoch, epochs)
            for x, y in data.batches(schedule.visits, seeds, epoch, scaling=scaling, like=like):
                step(head, loss, x, y, sgd)
                if constraint is not None:
                    constraint.after("step")
            if constraint is not None:
                constraint.after("epoch")
            _check_finite(head, schedule, epoch)
            if after_epoch is not None:
                after_epoch(epoch)
            progress.advance()
    progress.finish()


def step(head: Parametrisation, loss: Loss, x: Tensor, y: Tensor, sgd: Sgd) -> None:
    """θ ← θ − η v with v ← μv + ∂L/∂θ + λθ: ∂L/∂z in closed form, then back through the head.

    Args:
        x: [S, B, D]. y: [S, B].
    """
    z = head.logits(x)
    dz = loss.grad_(z, y)
    head.step(x, dz, sgd)


@contextlib.contextmanager
def threads_for(head: Parametrisation, batch: int) -> Iterator[None]:
    """One CPU thread inside the block where steps are small: several would mostly wait for each other."""
    before = torch.get_num_threads()
    if head.folded()["weight"].numel() * batch < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _number(values: Sequence[float], like: Tensor) -> Number:
    """One float where all settings agree (a cheaper operator), else a tensor [M]."""
    if len(set(values)) == 1:
        return float(values[0])
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _check_finite(head: Parametrisation, schedule: Schedule, epoch: int) -> None:
    """Every run is finite, or the first setting that is not is named."""
    arrays = head.folded().values()
    sound = torch.stack([torch.isfinite(a).reshape(*a.shape[:2], -1).all(-1) for a in arrays]).all(0)
    if not bool(sound.all()):
        setting = int((~sound).any(0).nonzero()[0])
        rate = schedule.lr[setting]
        raise Diverged(
            f"the loss became NaN in epoch {epoch + 1} of {schedule.visits.epochs}",
            where=f"lr={rate:g}",
            hint=f"try lr={min(rate / 10, HIGHEST_USUAL):g}",
        )
