"""The linear probe: what stands in for a stage-1 classifier that did not come with the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.progress import SILENT, Progress
from ltfix.stage2.data import Features
from ltfix.stage2.select import cut, mean_class_accuracy

PENALTIES = tuple(10.0**-p for p in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0))


def fit_probe(
    data: Features, seed: int, device: torch.device, progress: Progress = SILENT
) -> tuple[np.ndarray, np.ndarray, float]:
    """The linear probe: multinomial logistic regression with an L2 penalty, solved by L-BFGS.

    The problem is convex, so the solver decides nothing. The penalty, relative to features of unit mean
    square norm, is the best of ``PENALTIES`` by mean class accuracy on a class-wise cut of the samples;
    the probe is then fitted on all of them.

    Returns:
        Weight [K, D] and bias [K] float32 over raw features, and the penalty.
    """
    x, labels = data.mean_view(), data.labels
    scale = float(np.sqrt(np.mean(np.square(x, dtype=np.float64).sum(1)))) or 1.0
    inputs = torch.from_numpy(x / scale).to(device)
    targets = torch.from_numpy(labels).to(device)
    n_classes = len(data.counts)
    train, held = cut(data, seed)
    progress.start("linear probe", len(PENALTIES) + 1, "fits")
    penalty = PENALTIES[len(PENALTIES) // 2]
    if len(held):
        paths = _path(inputs[train], targets[train], n_classes, PENALTIES, progress)
        scores = [
            mean_class_accuracy((inputs[held] @ w.T + b).argmax(1).cpu().numpy(), labels[held])
            for w, b in paths
        ]
        penalty = PENALTIES[int(np.argmax(scores))]
    above = tuple(p for p in PENALTIES[::2] if p > penalty)
    weight, bias = _path(inputs, targets, n_classes, (*above, penalty), SILENT)[-1]
    progress.finish()
    return (weight / scale).cpu().numpy(), bias.cpu().numpy(), penalty


def _path(
    x: Tensor, y: Tensor, n_classes: int, penalties: Sequence[float], progress: Progress
) -> list[tuple[Tensor, Tensor]]:
    """Solutions from the strongest penalty to the weakest, each the next one's start."""
    weight, bias = x.new_zeros(n_classes, x.shape[1]), x.new_zeros(n_classes)
    found = []
    for penalty in penalties:
        weight, bias = _solve(x, y, weight, bias, penalty)
        found.append((weight, bias))
        progress.advance()
    return found


def _solve(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """argmin of mean CE + penalty/2 ‖W‖² from a start."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=100, history_size=10, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + 0.5 * penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
