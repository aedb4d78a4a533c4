"""Logistic regression's last steps: Newton's, by the Hessian of the samples that the model is unsure of.

A sample whose class is certain, p_y near 1, adds nothing to the Hessian, and the weaker the penalty, the more
of them are: with the weakest, a tenth of the samples has nearly all of it. So it is taken of few samples,
drawn as the model is unsure of them, and a product with it costs a tenth of a pass. Some conjugate gradients
with it are what L-BFGS, which sees all samples, begins with and corrects (Byrd et al., SIAM J. Optim. 2011;
the draw: Xu et al., NeurIPS 2016).
"""

from __future__ import annotations

import numpy as np
import torch

from ltfix.stage2.fitting.logistic import Point, Problem

SHARE, LEAST, MOST_VALUES = 0.1, 1024, 1 << 23
"""Of the samples, how many give the Hessian; at least; and at most, in values of them and their logits."""
PRODUCTS = 3, 6
"""With the Hessian, for a step: fewest where it is of few samples, whose noise a longer search follows."""
MOST_PRODUCTS = 50
"""Where all samples give it, which is cheap: fewer steps by far, and problems that are hardly curved end."""
ACCURATE = 0.1
"""The share of the gradient that a step may leave."""
HISTORY, HISTORY_BYTES = 10, 1 << 28
"""Pairs that L-BFGS keeps, at most, and their bytes (but always three)."""
FAR = 0.1
"""After a step that lowers f by more than this share, the curvature is another one than before."""
DECREASE, SHORTEST = 1e-4, 1e-3
"""Of the line search: the share of the promised decrease that is enough, and where it gives up."""


def finish(
    problem: Problem, start: Point, penalty: float, *, tolerance: float, most: int
) -> tuple[Point, float, int]:
    """Go on until a step promises less than ``tolerance`` of f, or ``most`` passes are made.

    Returns:
        The point, f there, and the passes made.
    """
    pairs: list[tuple[Point, Point, float]] = []
    room = int(min(max(HISTORY_BYTES // (8 * problem.n_classes * problem.dim), 3), HISTORY))
    at, (value, gradient, losses), passes = start, problem.value_and_gradient(start, penalty), 1
    while passes < most:
        direction = _direction(pairs, gradient, Hessian(problem, at, losses, penalty))
        slope = gradient.dot(direction)
        if slope <= 2 * tolerance * value:
            break
        step = 1.0
        while True:
            ahead = at.plus(-step, direction)
            found, turned, seen = problem.value_and_gradient(ahead, penalty)
            passes += 1
            if found <= value - DECREASE * step * slope or step < SHORTEST or passes >= most:
                break
            step /= 2
        if found >= value:  # rounding hides a lower one
            break
        s, y = ahead.plus(-1.0, at), turned.plus(-1.0, gradient)
        product = s.dot(y)
        if found < (1 - FAR) * value:
            pairs = []
        elif product > 0:
            pairs = [*pairs, (s, y, 1 / product)][-room:]
        at, value, gradient, losses = ahead, found, turned, seen
    return at, value, passes


def _direction(pairs: list[tuple[Point, Point, float]], gradient: Point, hessian: Hessian) -> Point:
    """Nocedal & Wright, algorithm 7.4."""
    q, shares = gradient.plus(0.0, gradient), []
    for s, y, rho in reversed(pairs):
        shares.append(rho * s.dot(q))
        q.add_(-shares[-1], y)
    found = hessian.solve(q)
    for (s, y, rho), share in zip(pairs, reversed(shares), strict=True):
        found.add_(share - rho * y.dot(found), s)
    return found


class Hessian:
    """f's at a point, of samples that are weighted so that it is all samples' in the mean.

    What m samples cannot tell of D dimensions, the covariance Σ does: a share D / (D + m) of it is added,
    times how wrong the model is about each class, Σᵢ |pᵢ − yᵢ| / n. That also bounds a step where the
    model is sure of a wrong class, which looks as flat as a right one. Of ``LEAST`` samples or fewer all
    give it, and nothing is added.

    Args:
        losses: [n], of all samples there.
    """

    def __init__(self, problem: Problem, at: Point, losses: np.ndarray, penalty: float) -> None:
        n, dim, at_once = problem.n, problem.dim, MOST_VALUES // (problem.n_classes + problem.dim)
        index, times, share = np.arange(n), np.ones_like(losses), 0.0
        if n > LEAST:
            index, times = draw(-np.expm1(-losses), max(min(int(SHARE * n), at_once), LEAST))
            share = dim / (dim + len(index))
        x, y = problem.rows(index), problem.labels[index].to(problem.device)[:, None]
        p = torch.softmax(torch.addmm(at.bias, x, at.weight.T), 1)
        weights = torch.from_numpy(times / n).to(p)[:, None]
        self.products = int(np.clip(2 + len(index) // dim, *PRODUCTS)) if share else MOST_PRODUCTS
        self.axes, self.turned, self.p, self.shares = problem.axes, problem.turned, p, p * weights
        self.x = x if self.turned else x @ self.axes
        wrong = (p.scatter(1, y, 1 - p.gather(1, y)) * weights).sum(0) * share
        self.added = Point(torch.outer(wrong, problem.spectrum) + penalty, wrong + penalty)
        spread = self.shares * (1 - p)
        self.diagonal = Point(spread.T @ self.x.square() + self.added.weight, spread.sum(0) + self.added.bias)

    def product(self, d: Point) -> Point:
        """H d, over dimensions that are the covariance's."""
        z = torch.addmm(d.bias, self.x, d.weight.T)
        z.sub_((z * self.p).sum(1, keepdim=True)).mul_(self.shares)
        weight, bias = self.added.weight, self.added.bias
        return Point(torch.addcmul(z.T @ self.x, d.weight, weight), torch.addcmul(z.sum(0), d.bias, bias))

    def solve(self, g: Point) -> Point:
        """About H⁻¹ g: conjugate gradients, preconditioned by the diagonal."""
        left = Point(g.weight.clone() if self.turned else g.weight @ self.axes, g.bias.clone())
        found, ahead = left.plus(-1.0, left), left.over(self.diagonal)
        size = first = left.dot(ahead)
        for _ in range(self.products):
            if size <= ACCURATE**2 * first:
                break
            curved = self.product(ahead)
            step = size / max(ahead.dot(curved), 1e-30)
            found.add_(step, ahead)
            left.add_(-step, curved)
            scaled = left.over(self.diagonal)
            before, size = size, left.dot(scaled)
            ahead = scaled.plus(size / before, ahead)
        weight = found.weight if self.turned else found.weight @ self.axes.T
        return Point(weight, found.bias - found.bias.mean())  # what all classes share decides nothing


def draw(shares: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """About ``most`` rows in proportion to their ``shares`` [n], and one over each's chance.

    They stand where the sum of the shares passes even steps, so nothing is random; none is drawn twice.
    """
    chance = np.minimum(1.0, shares * (most / max(shares.sum(dtype=np.float64), 1e-30)))
    index = np.flatnonzero(np.diff(np.floor(np.cumsum(chance, dtype=np.float64) + 0.5), prepend=0.0))
    return index, (1 / chance[index]).astype(shares.dtype)
