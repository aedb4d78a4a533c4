"""Multinomial logistic regression in tens of passes over the samples: what the linear probe solves.

Minimised is f(W, b) = 1/n Σ CE(W x_i + b, y_i) + λ/2 ‖W‖² over features x of unit mean square norm. Its
Hessian is at most ½ (I − 11ᵀ/K) ⊗ (Σ + λI) with Σ the features' covariance (Böhning, Ann. Inst. Stat. Math.
1992), so one read of the features, for Σ, preconditions all that follows: P = 2 (Σ + ridge)⁻¹. Features that
are kept are turned into the eigenbasis of Σ, once, where P is a division and the penalty what it was. Epochs
of preconditioned minibatch steps with Nesterov's momentum come near the optimum in a few reads;
``ltfix.stage2.fitting.newton`` ends there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ltfix.compute import widest
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.seeds import derive
from ltfix.stage2.loop.data import BLOCK_ROWS, Features
from ltfix.stage2.loop.scaling import Scaling

RIDGE = 10.0
"""Ridge of the preconditioner, in λK: flat directions of Σ are curved by the penalty alone."""
RATE, MOMENTUM = 6.0, 0.9
"""Of the minibatch steps; a rate of 1 is safe by the Hessian's bound, which most samples stay far below."""
STEPS = 800
"""Minibatch steps that suffice, whatever the number of samples."""
BATCHES = 256, 1024
KEPT_BYTES = 1 << 28
"""Features that take less than this as float32 are converted once, not at every pass."""
BLOCK_VALUES = 1 << 20
"""Of logits at once: 4 MiB, which stays in the cache of a core."""
BUFFER_VALUES = 1 << 22
"""Of features that are shuffled at once: 16 MiB."""


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """W [K, D] and b [K] over a problem's features; also a gradient, or a direction."""

    weight: Tensor
    bias: Tensor

    def plus(self, factor: float, other: Point) -> Point:
        """self + factor · other."""
        return Point(self.weight.add(other.weight, alpha=factor), self.bias.add(other.bias, alpha=factor))

    def add_(self, factor: float, other: Point) -> None:
        """self += factor · other."""
        self.weight.add_(other.weight, alpha=factor)
        self.bias.add_(other.bias, alpha=factor)

    def scale_(self, factor: float) -> None:
        """self *= factor."""
        self.weight.mul_(factor)
        self.bias.mul_(factor)

    def over(self, other: Point) -> Point:
        """self / other, number by number."""
        return Point(self.weight / other.weight, self.bias / other.bias)

    def dot(self, other: Point) -> float:
        """The inner product."""
        return float((self.weight * other.weight).sum() + (self.bias * other.bias).sum())


class Problem:
    """The samples, read block by block; their mean, scale and covariance, gathered in one read.

    Args:
        data: the samples, the mean over their views. scaling: what is done to the features first.
        progress: told of every pass that is made. dtype: what is computed in.
    """

    def __init__(
        self,
        data: Features,
        scaling: Scaling,
        device: torch.device,
        progress: Progress = SILENT,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.wide = widest(device)
        self.dtype = self.wide if dtype == torch.float64 else dtype
        self.data, self.scaling, self.device, self.progress = data, scaling, device, progress
        self.n, self.dim, self.n_classes = len(data), data.dim, len(data.counts)
        self.labels = torch.from_numpy(data.labels)
        self._kept: Tensor | None = None
        if 4 * self.n * self.dim <= KEPT_BYTES and not data.streamed:
            self._kept = torch.empty(self.n, self.dim, device=device, dtype=self.dtype)
            for part, x in data.mean_views():
                self._kept[part] = self._inside(x)
        total = torch.zeros(self.dim, dtype=self.wide, device=device)
        second = torch.zeros(self.dim, self.dim, device=device, dtype=self.dtype)
        for _, block in self._read():
            total += block.sum(0, dtype=self.wide)
            second.addmm_(block.T, block)
        self.mean = (total / self.n).to(self.dtype)
        self.scale = math.sqrt(float(second.diagonal().sum(dtype=self.wide)) / self.n) or 1.0
        self.covariance = (second / self.n - torch.outer(self.mean, self.mean)) / self.scale**2
        spectrum, self.axes = torch.linalg.eigh(self.covariance)
        self.spectrum = spectrum.clamp(min=0)
        self.turned = self._kept is not None
        if self._kept is not None:
            self._kept = self._kept.sub_(self.mean).div_(self.scale) @ self.axes
        self._at_once = max(1, BUFFER_VALUES // (BLOCK_ROWS * self.dim))
        rows = max(64, min(8192, BLOCK_VALUES // self.n_classes))
        self._z = torch.empty(rows, self.n_classes, device=device, dtype=self.dtype)

    def _inside(self, x: np.ndarray) -> Tensor:
        return self.scaling.apply(torch.from_numpy(x).to(self.device, self.dtype))

    def _read(self) -> Iterator[tuple[slice, Tensor]]:
        if self._kept is not None:
            for part in self.data.parts:
                yield part, self._kept[part]
        else:
            for part, x in self.data.mean_views():
                yield part, self._inside(x)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Centred features of unit mean square norm [B, D] and labels [B], all samples once, in order."""
        rows = len(self._z)
        for part, read in self._read():
            x = read if self._kept is not None else read.sub_(self.mean).div_(self.scale)
            labels = self.labels[part].to(self.device)
            for start in range(0, len(x), rows):
                yield x[start : start + rows], labels[start : start + rows]
        self.progress.advance()

    def batches(self, size: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`blocks`, shuffled, in batches of ``size``, in an order that no machine decides.

        Blocks of consecutive rows are drawn and gathered in a buffer, whose rows are shuffled again.
        """
        rng = np.random.default_rng(derive(0, "logistic", epoch))
        starts = rng.permutation(np.arange(0, self.n, BLOCK_ROWS))
        at_once = self._at_once
        for first in range(0, len(starts), at_once):
            some = np.sort(starts[first : first + at_once])
            index = np.concatenate([np.arange(s, min(s + BLOCK_ROWS, self.n)) for s in some])
            index = index[rng.permutation(len(index))]
            x, labels = self.rows(index), self.labels[index].to(self.device)
            for start in range(0, len(x), size):
                yield x[start : start + size], labels[start : start + size]
        self.progress.advance()

    def count_batches(self, size: int) -> int:
        """How many :meth:`batches` an epoch has: every buffer ends in a short one."""
        buffer = self._at_once * BLOCK_ROWS
        whole, rest = divmod(self.n, buffer)
        return whole * math.ceil(buffer / size) + math.ceil(rest / size)

    def rows(self, index: np.ndarray) -> Tensor:
        """Some of what :meth:`blocks` gives, [B, D]."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(index).to(self.device)]
        return self._inside(self.data.mean_of(index)).sub_(self.mean).div_(self.scale)

    def zero(self) -> Point:
        """Where nothing is known: all classes alike."""
        weight = torch.zeros(self.n_classes, self.dim, device=self.device, dtype=self.dtype)
        return Point(weight, torch.zeros_like(weight[:, 0]))

    def residuals(self, x: Tensor, y: Tensor, at: Point) -> tuple[Tensor, Tensor]:
        """softmax(z) − e_y [B, K], in a buffer that the next call reuses, and the samples' losses [B]."""
        z = self._z[: len(x)] if len(x) <= len(self._z) else x.new_empty(len(x), self.n_classes)
        torch.addmm(at.bias, x, at.weight.T, out=z)
        hit, top = z.gather(1, y[:, None]), z.amax(1, keepdim=True)
        torch.softmax(z, 1, out=z)
        p = z.gather(1, y[:, None])
        z.scatter_(1, y[:, None], p - 1)
        return z, torch.where(p > torch.finfo(p.dtype).tiny, -p.log(), top - hit)[:, 0]

    def head(self, at: Point) -> Head:
        """The classifier of features as they are stored."""
        plain = self.plain(at)
        return self.scaling.back(Head(plain.weight.numpy(), plain.bias.numpy()))

    def plain(self, at: Point) -> Point:
        """A point over scaled features, neither centred nor turned, in float64: what another problem of the
        same scaling takes over by :meth:`point`."""
        weight = at.weight @ self.axes.T if self.turned else at.weight
        weight = weight.cpu().double() / self.scale
        return Point(weight, at.bias.cpu().double() - weight @ self.mean.cpu().double())

    def point(self, plain: Point) -> Point:
        """What :meth:`plain` is here."""
        weight = (plain.weight * self.scale).to(self.device, self.dtype)
        bias = plain.bias + plain.weight @ self.mean.cpu().double()
        return Point(weight @ self.axes if self.turned else weight, bias.to(self.device, self.dtype))

    def value_and_gradient(self, at: Point, penalty: float) -> tuple[float, Point, np.ndarray]:
        """f, its gradient and the samples' losses [n]: one pass, two matrix products a block."""
        gradient, found = self.zero(), []
        for x, y in self.blocks():
            residuals, losses = self.residuals(x, y, at)
            found.append(losses)
            gradient.weight.addmm_(residuals.T, x)
            gradient.bias.add_(residuals.sum(0))
        every = torch.cat(found)
        gradient.weight.div_(self.n).add_(at.weight, alpha=penalty)
        gradient.bias.div_(self.n)
        total = float(every.sum(dtype=self.wide))
        value = total / self.n + 0.5 * penalty * float(at.weight.square().sum(dtype=self.wide))
        return value, gradient, every.cpu().numpy()

    def preconditioner(self, penalty: float) -> Callable[[Point], Point]:
        """g ↦ P g, with P = 2 (Σ + ridge)⁻¹ on the weight and 2 on the bias."""
        ridge = RIDGE * penalty * self.n_classes
        if self.turned:
            factor = 2 / (self.spectrum + ridge)
            return lambda g: Point(g.weight * factor, 2 * g.bias)
        inverse = (self.axes * (2 / (self.spectrum + ridge))) @ self.axes.T
        return lambda g: Point(g.weight @ inverse, 2 * g.bias)


def approach(problem: Problem, start: Point, penalty: float, epochs: int) -> Point:
    """Some epochs of preconditioned minibatch steps with Nesterov's momentum, at a rate that falls to zero.

    θ ← θ − η (P g + μ v), v ← μ v + P g, η by a half cosine. Where that does not do better than knowing
    nothing, log K, the start comes back.
    """
    precondition = problem.preconditioner(penalty)
    at, velocity = start.plus(0.0, start), problem.zero()
    size = int(min(max(problem.n * epochs / STEPS, BATCHES[0]), BATCHES[1]))
    steps, done, total = epochs * problem.count_batches(size), 0, 0.0
    for epoch in range(epochs):
        total = 0.0
        for x, y in problem.batches(size, epoch):
            residuals, losses = problem.residuals(x, y, at)
            total += float(losses.sum())
            gradient = torch.addmm(at.weight, residuals.T, x, beta=penalty, alpha=1 / len(x))
            change = precondition(Point(gradient, residuals.mean(0)))
            rate = RATE * (1 - MOMENTUM) * 0.5 * (1 + math.cos(math.pi * min(done / steps, 1.0)))
            velocity.scale_(MOMENTUM)
            velocity.add_(1.0, change)
            at.add_(-rate, change)
            at.add_(-rate * MOMENTUM, velocity)
            done += 1
    return at if total / problem.n < math.log(problem.n_classes) else start
