"""The linear probe: what stands in for a stage-1 classifier that did not come with the features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltfix.progress import SILENT, Progress
from ltfix.stage2.data import Features
from ltfix.stage2.select import cut, mean_class_accuracy

PENALTIES = (1e-4, 1e-5, 1e-6, 1e-7)


def fit_probe(
    data: Features, seed: int, device: torch.device, progress: Progress = SILENT
) -> tuple[np.ndarray, np.ndarray, float]:
    """The linear probe: multinomial logistic regression with an L2 penalty, solved by L-BFGS.

    The problem is convex, so the solver decides nothing. The penalty, relative to features of unit mean
    square norm, is weakened along ``PENALTIES``, each solution the next one's start, until the mean class
    accuracy on a class-wise cut of the samples gains no more; the probe is then fitted on all of them.

    Returns:
        Weight [K, D] and bias [K] float32 over raw features, and the penalty.
    """
    x, labels = data.mean_view(), data.labels
    scale = float(np.sqrt(np.mean(np.square(x, dtype=np.float64).sum(1)))) or 1.0
    inputs = torch.tensor(
        x / scale, device=device
    )  # memory of torch: its alignment, so its rounding, is fixed
    targets = torch.from_numpy(labels).to(device)
    zero = inputs.new_zeros(len(data.counts), inputs.shape[1]), inputs.new_zeros(len(data.counts))
    train, held = cut(data, seed)
    progress.start("linear probe", len(PENALTIES) + 1, "fits")
    penalty, (weight, bias), best = PENALTIES[0], zero, -1.0
    if len(held):
        warm = zero
        for tried in PENALTIES:
            warm = _solve(inputs[train], targets[train], *warm, tried)
            progress.advance()
            score = mean_class_accuracy(_predict(inputs[held], *warm), data.labels[held])
            if score <= best:
                break
            penalty, (weight, bias), best = tried, warm, score
    weight, bias = _solve(inputs, targets, weight, bias, penalty, tolerance=1e-7)
    progress.finish()
    return (weight / scale).cpu().numpy(), bias.cpu().numpy(), penalty


def _predict(x: Tensor, weight: Tensor, bias: Tensor) -> np.ndarray:
    return np.asarray((x @ weight.T + bias).argmax(1).cpu().numpy())


def _solve(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, penalty: float, *, tolerance: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """argmin of mean CE + penalty/2 ‖W‖² from a start."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=100,
        tolerance_grad=tolerance,
        tolerance_change=1e-3 * tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + 0.5 * penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
