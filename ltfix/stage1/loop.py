"""The training loop: one step, one epoch, one pass over the validation images."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from ltfix.errors import InputError
from ltfix.progress import Progress
from ltfix.stage1.batches import ImageStream
from ltfix.stage1.network import Trainee
from ltfix.stage2 import samplers, seeds

Objective = Callable[[Tensor, dict[str, Tensor], Tensor], Tensor]
"""Features [B, D], logits [B, K] by head and labels [B] to the loss."""


@dataclasses.dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch: mean loss and the test head's accuracy over its augmented images, and seconds."""

    loss: float
    accuracy: float
    images: int
    seconds: float


def steps_of(n: int, batch_size: int) -> list[slice]:
    """The batches of ``n`` positions, the last one partial.

    A last batch of one image joins the one before it: batch norm needs two.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n], strict=True)]


@dataclasses.dataclass(slots=True, eq=False)
class Trainer:
    """A network, its optimizer and the images that it learns from, all on one device.

    Attributes:
        trainee, optimizer, images, objective: what is trained, how, on what, for what.
        labels: [N] int64 of the images, which samplers read.
        sampler: its name.
        batch_size: images a step.
        epochs: of the whole run.
        test_head: whose accuracy is counted.
        seed: of order, augmentation and dropout, each by epoch.
        device: where it all is.
    """

    trainee: Trainee
    optimizer: Optimizer
    images: ImageStream
    objective: Objective
    labels: np.ndarray
    sampler: str
    batch_size: int
    epochs: int
    test_head: str
    seed: int
    device: torch.device

    def epoch(self, number: int, rate: float, progress: Progress) -> EpochResult:
        """Train epoch ``number`` (from 0) at one learning rate.

        Raises:
            InputError: the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        order = samplers.draw(self.sampler, self.labels, self.seed, number, self.epochs)
        n = len(order)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        begin = time.perf_counter()
        self.trainee.train()
        with seeds.seeded(self.seed, "dropout", number, device=self.device):
            stream = self.images.stream(
                torch.from_numpy(order),
                steps_of(n, self.batch_size),
                seeds.derive(self.seed, "augment", number),
            )
            for (images,), labels in stream:
                loss, logits = self.step(images, labels)
                total += loss * len(labels)
                hits += (logits.argmax(1) == labels).sum()
                progress.advance(len(labels))
        mean = float(total) / n  # the epoch's one wait for the device
        if not math.isfinite(mean):
            raise InputError(f"the loss of epoch {number + 1} is {mean}", hint=f"try an lr below {rate:g}")
        return EpochResult(mean, int(hits) / n, n, time.perf_counter() - begin)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One update: the loss, and the test head's logits [B, K]."""
        self.optimizer.zero_grad(set_to_none=True)
        features, logits = self.trainee(images)
        loss = self.objective(features, logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), logits[self.test_head].detach()


@torch.inference_mode()
def predict(trainee: Trainee, images: ImageStream, n: int, batch_size: int, test_head: str) -> np.ndarray:
    """The test head's classes for ``n`` images in order, [n] int64; batch-norm statistics do not move."""
    trainee.eval()
    stream = images.stream(torch.arange(n), steps_of(n, batch_size), seed=0)
    found = [trainee(batch)[1][test_head].argmax(1) for (batch,), _ in stream]
    return torch.cat(found).cpu().numpy()
