"""The linear probe: what stands in for a stage-1 classifier that did not come with the features."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.validation import cut, mean_class_accuracy
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling

PENALTIES = (1e-4, 1e-5, 1e-6, 1e-7)
MAX_ITER, MAX_PASSES = 100, 125


@dataclasses.dataclass(slots=True)
class _Samples:
    """x/scale and labels: read block by block at every pass where they are streamed, else one block."""

    data: Features
    scaling: Scaling
    scale: float
    device: torch.device
    kept: list[tuple[Tensor, Tensor]] | None = None

    def __post_init__(self) -> None:
        if not self.data.streamed:
            xs, ys = zip(*self._read(), strict=True)
            self.kept = [(torch.cat(xs), torch.cat(ys))]

    def blocks(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self._read() if self.kept is None else self.kept

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part, x in self.data.mean_views():
            labels = torch.from_numpy(self.data.labels[part])
            inside = self.scaling.apply(torch.from_numpy(x).to(self.device))
            # divided: torch's own memory, whose alignment, and so the rounding, is the same in every run
            yield inside / self.scale, labels.to(self.device)


def fit_probe(
    data: Features, device: torch.device, *, normalize: str = "none", progress: Progress = SILENT
) -> Head:
    """The linear probe: multinomial logistic regression with an L2 penalty, solved by L-BFGS.

    The problem is convex, so the solver decides nothing. The penalty, relative to features of unit mean
    square norm, is weakened along ``PENALTIES``, each solution the next one's start, until the mean class
    accuracy on a class-wise cut of the samples gains no more; the probe is then fitted on all of them.
    Features that are streamed are read once a pass. ``normalize`` is done to them first, and folded back.

    Returns:
        A linear head of raw features; its ``meta`` is ``{"from": "probe", "penalty": …}``.
    """
    scaling = Scaling.of(data.some_rows(), "none", normalize)
    scale = _root_mean_square_norm(data, scaling) or 1.0
    zero = torch.zeros(len(data.counts), data.dim + 1, device=device)
    progress.start("linear probe", (len(PENALTIES) + 1) * MAX_PASSES, "passes")
    train, held = (data.subset(index) for index in cut(data, seed=0))
    penalty, start, best = PENALTIES[0], zero, -1.0
    if len(held):
        learn, score_on = (_Samples(part, scaling, scale, device) for part in (train, held))
        warm = zero
        for tried in PENALTIES:
            warm = _solve(learn, warm, tried, 1e-5, progress)
            score = mean_class_accuracy(_predict(score_on, warm), held.labels)
            if score <= best:
                break
            penalty, start, best = tried, warm, score
        del learn, score_on
    found = _solve(_Samples(data, scaling, scale, device), start, penalty, 1e-7, progress)
    progress.finish()
    theta = found.cpu().numpy()
    meta = {"from": "probe", "penalty": penalty}
    return scaling.back(Head(theta[:, :-1] / scale, theta[:, -1], meta=meta))


def _root_mean_square_norm(data: Features, scaling: Scaling) -> float:
    total = sum(float(np.square(x, dtype=np.float64).sum()) for x, _ in data.blocks(scaling))
    return float(np.sqrt(total / len(data)))


def _predict(samples: _Samples, theta: Tensor) -> np.ndarray:
    found = np.empty(len(samples.data), np.int64)  # filled in place: arrays kept between blocks tear the heap
    done = 0
    for x, _ in samples.blocks():
        found[done : done + len(x)] = (x @ theta[:, :-1].T + theta[:, -1]).argmax(1).cpu().numpy()
        done += len(x)
    return found


def _solve(samples: _Samples, start: Tensor, penalty: float, tolerance: float, progress: Progress) -> Tensor:
    """argmin of mean CE + penalty/2 ‖W‖² over θ = [W, b], [K, D + 1], from a start."""
    theta = start.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [theta],
        max_iter=MAX_ITER,
        max_eval=MAX_PASSES,
        tolerance_grad=tolerance,
        tolerance_change=1e-3 * tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    passes = 0

    def closure() -> Tensor:
        nonlocal passes
        solver.zero_grad()
        total = 0.5 * penalty * theta[:, :-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        for x, y in samples.blocks():
            z = x @ theta[:, :-1].T + theta[:, -1]
            loss = F.cross_entropy(z, y, reduction="sum") / len(samples.data)
            loss.backward()  # type: ignore[no-untyped-call]
            total = total.detach() + loss.detach()
        passes += 1
        progress.advance()
        return total

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    progress.advance(max(0, MAX_PASSES - passes))
    return theta.detach()
