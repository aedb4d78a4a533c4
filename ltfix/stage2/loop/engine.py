"""The one training loop of stage 2: S seeds × M settings of one method, side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from ltfix.errors import InputError
from ltfix.progress import SILENT, Progress
from ltfix.seeds import derive
from ltfix.stage2.layers.parametrisation import Parametrisation
from ltfix.stage2.layers.sgd import Number, Sgd
from ltfix.stage2.loop.constraints import Constraint
from ltfix.stage2.loop.data import Features, Visits
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.losses.loss import Loss
from ltfix.stage2.methods.method import find_part

SMALL_STEP = 1 << 21  # multiplications of a matrix product that gains nothing from a second thread
HIGHEST_USUAL = 0.1
"""No published method trains at a higher rate."""


GLANCE = 512
"""So many evenly spaced samples tell whether a run got anywhere."""
WORSE = 10.0
"""Times its start's loss, or that of equal logits where it is higher, that a run may end with; no more."""


class Diverged(InputError):
    """A run whose weights are no longer finite, or whose loss ended too high; a lower rate is named."""


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
    products: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    constraint: Constraint | None = None,
    after_epoch: Callable[[int, Callable[[], Tensor]], None] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Train a head of S seeds and M settings in place.

    Args:
        data: the samples; every seed visits them in an order of its own.
        head: the S × M runs, which share every matrix product. loss: of their logits [S, B, M, K].
        seeds: S numbers.
        scaling: what is done to the features first.
        like: a tensor whose dtype and device the batches take.
        products: what the matrix products of an epoch are done inside of.
        constraint: enforced on the head after every step or epoch.
        after_epoch: called with the epochs done, 0 before the first step and then after each one's last, and
            what gives the loss [S, M] then.

    Raises:
        Diverged: the weights of a run are no longer finite, or its loss is higher than where it started and
            than that of equal logits, or is no number there.
    """
    epochs, data = schedule.visits.epochs, data.resident(scaling, like)
    lr, decay = _number(schedule.lr, like), _number(schedule.weight_decay, like)
    progress.start("fit", schedule.stop or epochs, "epochs")
    with threads_for(head, min(schedule.visits.batch_size, len(data))):
        glance = _glance(data, scaling, like, len(seeds), schedule.visits)
        _start_epoch(loss, epochs - 1, epochs)
        allowed = _allowed_loss(head, loss, glance)
        for epoch in range(schedule.stop or epochs):
            sgd = Sgd(lr * rate_factor(schedule.decline, epoch, epochs), schedule.momentum, decay)
            _start_epoch(loss, epoch, epochs)
            if after_epoch is not None and epoch == 0:
                after_epoch(0, functools.partial(_mean_loss, head.logits, loss, glance))
            with products():
                for x, y in data.batches(schedule.visits, seeds, epoch, scaling=scaling, like=like):
                    step(head, loss, x, y, sgd)
                    if constraint is not None:
                        constraint.after("step")
            if constraint is not None:
                constraint.after("epoch")
            _check_finite(head, loss, schedule, epoch)
            if after_epoch is not None:
                after_epoch(epoch + 1, functools.partial(_mean_loss, head.logits, loss, glance))
            progress.advance()
        _check_loss(_mean_loss(head.logits, loss, glance), allowed, schedule)
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
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32  # not rounded to bfloat16
    return torch.tensor(values, dtype=dtype, device=like.device)


def _start_epoch(loss: Loss, epoch: int, epochs: int) -> None:
    if hasattr(loss, "start_epoch"):
        loss.start_epoch(epoch, epochs)


def _glance(
    data: Features, scaling: Scaling, like: Tensor, n_seeds: int, visits: Visits
) -> list[tuple[Tensor, Tensor]]:
    """Some samples in batches, x [S, B, D] and y [S, B], the same for every seed.

    They are evenly spaced, or drawn with all classes alike where the sampler does not take every sample once.
    """
    index = np.unique(np.linspace(0, len(data) - 1, GLANCE).astype(np.int64))
    if not find_part("sampler", visits.sampler).every_sample:
        share = 1 / np.bincount(data.labels)[data.labels]
        rng = np.random.default_rng(derive(0, "glance"))
        index = rng.choice(len(data), len(index), p=share / share.sum())
    found = []
    for start in range(0, len(index), visits.batch_size):
        part = index[start : start + visits.batch_size]
        x, y = data.ready(part, np.zeros_like(part), scaling, like)
        found.append((x.expand(n_seeds, *x.shape).contiguous(), y.expand(n_seeds, *y.shape).contiguous()))
    data.release()
    return found


def _mean_loss(
    logits: Callable[[Tensor], Tensor], loss: Loss, samples: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """[S, M]: the method's own loss of the runs on some samples."""
    sizes = torch.tensor([y.shape[1] for _, y in samples], dtype=torch.float64)
    values = torch.stack([loss.value(logits(x), y).cpu().double() for x, y in samples])
    return (values * (sizes / sizes.sum()).view(-1, 1, 1)).sum(0)


def _allowed_loss(head: Parametrisation, loss: Loss, samples: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """[S, M]: what a run may end with: its start's loss, or that of equal logits where it is higher."""
    bias = head.folded()["bias"]

    def equal(x: Tensor) -> Tensor:
        return torch.zeros(x.shape[:2] + bias.shape[1:], dtype=bias.dtype, device=bias.device)

    begun = _mean_loss(head.logits, loss, samples)
    lost = begun[~begun.isfinite()]
    if len(lost) and all(bool(head.logits(x).isfinite().all()) for x, _ in samples):
        is_what = "NaN" if bool(lost.isnan().any()) else "infinite"
        what = f"the loss is {is_what} before the first step"
        raise Diverged(what, where="loss", hint="look at its formula")
    return torch.fmax(begun, _mean_loss(equal, loss, samples))


def _check_loss(found: Tensor, allowed: Tensor, schedule: Schedule) -> None:
    lost = ~(found <= WORSE * allowed.abs() + 1e-6)
    if bool(lost.any()):
        setting = int(lost.any(0).nonzero()[0])
        run = int(lost[:, setting].nonzero()[0])
        loss, limit = float(found[run, setting]), float(allowed[run, setting])
        times = f"over {WORSE:g} times the {limit:.3g} of its start or of equal logits"
        raise _diverged(f"the loss ended at {loss:.3g}, {times}", schedule, setting)


def _diverged(what: str, schedule: Schedule, setting: int, more: str = "") -> Diverged:
    rate = schedule.lr[setting]
    return Diverged(what, where=f"lr={rate:g}", hint=f"try lr={min(rate / 10, HIGHEST_USUAL):g}{more}")


def _check_finite(head: Parametrisation, loss: Loss, schedule: Schedule, epoch: int) -> None:
    """Every run is finite, or the first setting that is not is named."""
    arrays = head.folded().values()
    sound = torch.stack([torch.isfinite(a).reshape(*a.shape[:2], -1).all(-1) for a in arrays]).all(0)
    if not bool(sound.all()):
        setting, own = int((~sound).any(0).nonzero()[0]), getattr(loss, "name", None)
        told = f"the loss became NaN in epoch {epoch + 1} of {schedule.visits.epochs}"
        raise _diverged(told, schedule, setting, f", or look at the formula of {own}" if own else "")
