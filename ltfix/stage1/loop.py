"""The training loop: one update, one epoch, one pass over the validation images."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from ltfix import seeds
from ltfix.compute import Compute, widest
from ltfix.errors import InputError, UsageError
from ltfix.progress import Progress
from ltfix.stage1.average import MovingAverage
from ltfix.stage1.distributed import ALONE, Processes
from ltfix.stage1.forgetting import Forgetting
from ltfix.stage1.objectives import BatchPart, Objective
from ltfix.stage1.run_folder import Epoch
from ltfix.stage1.state import Moving
from ltfix.stage1.streams import Batch, ImageStream
from ltfix.stage1.trainee import Trainee, model_errors
from ltfix.stage2.loop import samplers

TEST_BATCH = 256  # images
TELL_SECONDS = 1.0  # between two live words, each of which waits for the device


def steps_of(n: int, batch_size: int, least: int = 2) -> list[slice]:
    """The batches of ``n`` positions, the last one partial.

    A last batch of fewer than ``least`` joins the one before it: batch norm needs two images a part.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] < least:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n], strict=True)]


class Learner(nn.Module):
    """A network under its objective, as one module from images to a loss."""

    def __init__(self, trainee: Trainee, objective: Objective, compute: Compute) -> None:
        super().__init__()
        self.trainee, self.objective, self.compute = trainee, objective, compute

    def forward(self, images: Sequence[Tensor], labels: Tensor, part: BatchPart) -> tuple[Tensor, Tensor]:
        """Mean loss of a part of a batch, and which of its images are right."""
        with self.compute.autocast():
            return self.objective(self.trainee, images, labels, part)


@dataclasses.dataclass(kw_only=True, eq=False)
class Trainer:
    """A network, its optimizer and the images that it learns from, all on one device.

    Attributes:
        trainee, optimizer, objective: what is trained, how, for what.
        images: the training images; ``labels`` [N] int64 of ``n_classes`` are theirs, which samplers read.
        values: of the recipe: sampler, batch_size, accumulate, epochs, clip_grad.
        seed: of order, augmentation, mixtures and dropout, each by epoch.
        compute: device and precision.
        processes: this process among others.
        average: of the weights, or None.

    Raises:
        UsageError: batches or images too few for the number of parts.
    """

    trainee: Trainee
    optimizer: Optimizer
    objective: Objective
    images: ImageStream
    labels: np.ndarray
    n_classes: int
    values: Mapping[str, Any]
    seed: int
    compute: Compute
    processes: Processes = ALONE
    average: MovingAverage | None = None

    def __post_init__(self) -> None:
        self.scaler: GradScaler = self.compute.scaler()
        largest = min(self.values["batch_size"], len(self.labels))
        pieces = self.processes.size * self.values["accumulate"]
        self.least = 2 * pieces
        if pieces > 1 and largest < self.least:
            what = f"batches of {largest} cannot be cut into {pieces} parts of two"
            raise UsageError(what, where="batch_size")
        self.forgetting: Forgetting | None = None
        if not self.objective.mixes:
            self.forgetting = Forgetting(self.labels, self.n_classes, self.compute.device)
        self._order = torch.arange(len(self.labels), device=self.compute.device)
        learner = Learner(self.trainee, self.objective, self.compute)
        self.learner = self.processes.wrap(learner, self.compute.device)

    def moving(self) -> Moving:
        """What a checkpoint holds of it."""
        return Moving(self.trainee, self.optimizer, self.average, self.scaler, self.forgetting)

    def epoch(self, number: int, rate: float, progress: Progress) -> Epoch:
        """Train epoch ``number`` (from 0) at one rate; its means are over augmented images."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.objective.start_epoch(number)
        steps = steps_of(len(self.labels), self.values["batch_size"], self.least)
        told = _Told(number, self, progress)
        begin = time.perf_counter()
        self.learner.train()
        rank, device = self.processes.rank, self.compute.device
        with self.compute.reproducible(), seeds.seeded(self.seed, "dropout", number, rank, device=device):
            batches = self._batches(number, steps)
            for at, step in enumerate(steps):
                told.add(*self.update(batches, number, at, step))
                if self.average is not None:
                    self.average.update(number * len(steps) + at)
                told.advance(step.stop - step.start)
        self.processes.sum(told.sums)
        loss, hits = told.sums.tolist()  # the epoch's one wait for the device
        n = len(self.labels)
        if not math.isfinite(loss):
            raise InputError(f"the loss of epoch {number + 1} is {loss}", hint=f"try an lr below {rate:g}")
        forgotten = [] if self.forgetting is None else self.forgetting.end_epoch(self.processes)
        seconds = time.perf_counter() - begin
        speed = round(n / seconds, 1)
        return Epoch(number + 1, rate, loss / n, hits / n, speed, round(seconds, 3), forgotten)

    def _batches(self, number: int, steps: Sequence[slice]) -> Iterator[Batch]:
        """This process's parts of all batches of an epoch, augmented."""
        values, seed = self.values, self.seed
        order = samplers.draw(values["sampler"], self.labels, seed, number, values["epochs"])
        self._order = torch.from_numpy(order).to(self.compute.device)
        second = self.objective.second(self.labels, seed, number)
        if second is not None:  # first and second images in turn
            order = np.stack([order, second], 1).reshape(-1)
        draws = self.objective.draws
        parts = [part for step in steps for part in self.processes.parts(step, values["accumulate"])]
        return self.images.stream(
            torch.from_numpy(order),
            [slice(part.start * draws, part.stop * draws) for part in parts],
            seeds.derive(seed, "augment", number),
            self.objective.views,
        )

    def update(
        self, batches: Iterator[Batch], number: int, at: int, step: slice
    ) -> tuple[Tensor, Tensor | float]:
        """One update from this process's parts of a batch: the sums of its loss and its hits."""
        self.optimizer.zero_grad(set_to_none=True)
        n, size = step.stop - step.start, self.processes.size
        parts = self.processes.parts(step, self.values["accumulate"])
        total: Tensor = torch.zeros((), device=self.compute.device)
        hits: Tensor | float = 0.0
        for part in parts:
            images, labels = next(batches)
            count = part.stop - part.start
            with self._quiet(last=part is parts[-1]):
                where = BatchPart(self.seed, number, at, part.start)
                loss, found = self.learner(images, labels, where)
                # gradients are averaged over processes: with this factor they sum to the whole batch's mean
                weighted = loss if n == count else loss * (count * size / n)
                with model_errors():
                    self.scaler.scale(weighted).backward()
            total, hits = total + loss.detach() * count, hits + found.sum()
            if self.forgetting is not None:
                self.forgetting.see(self._order[part], found)
        if self.values["clip_grad"]:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trainee.parameters(), self.values["clip_grad"])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total, hits

    def _quiet(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """No exchange of gradients before a batch's last part."""
        if self.processes.size == 1 or last:
            return contextlib.nullcontext()
        quiet: contextlib.AbstractContextManager[None] = self.learner.no_sync()  # type: ignore[operator]
        return quiet


class _Told:
    """An epoch's sums on the device, and live words about them now and then."""

    def __init__(self, number: int, trainer: Trainer, progress: Progress) -> None:
        self.sums = torch.zeros(2, dtype=widest(trainer.compute.device), device=trainer.compute.device)
        self.name = f"epoch {number + 1}/{trainer.values['epochs']}"
        self.size, self.progress, self.speaks = trainer.processes.size, progress, trainer.processes.first
        self.seen, self.last = 0, time.monotonic()
        progress.describe(self.name)

    def add(self, loss: Tensor, hits: Tensor | float) -> None:
        self.sums[0] += loss
        self.sums[1] += hits

    def advance(self, n: int) -> None:
        self.progress.advance(n)
        self.seen += n
        if self.speaks and time.monotonic() - self.last >= TELL_SECONDS:
            loss, hits = (self.sums / (self.seen / self.size)).tolist()
            self.progress.describe(f"{self.name}: loss {loss:.3f}, train {100 * hits:.1f} %")
            self.last = time.monotonic()


@torch.inference_mode()
def predict(trainee: Trainee, images: ImageStream, n: int, test_head: str, compute: Compute) -> np.ndarray:
    """The test head's classes for ``n`` images in order, [n] int64; batch-norm statistics do not move."""
    trainee.eval()
    stream = images.stream(torch.arange(n), steps_of(n, TEST_BATCH), seed=0)
    with compute.reproducible(), compute.autocast():
        found = [trainee(batch)[1][test_head].argmax(1) for (batch,), _ in stream]
    return torch.cat(found).cpu().numpy()
