"""The temperatures of least negative log-likelihood of logits, by Newton's method in 1/T."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ltfix.evaluation.scores import LogitBlocks

LOW, HIGH = 2.0**-8, 2.0**8
"""Of 1/T. Where every sample is right the likelihood grows without end."""
_STEPS, _HALVINGS, _ENOUGH = 60, 30, 1e-7
_KEPT_VALUES = 1 << 26  # of logits that are kept between passes: 256 MiB

Blocks = Callable[[], LogitBlocks]
"""Makes a fresh iteration over blocks of logits."""


def kept(blocks: Blocks, values: int) -> Blocks:
    """The same, made once where so many ``values`` fit into memory."""
    if values > _KEPT_VALUES:
        return blocks
    found = list(blocks())
    return lambda: found


def class_weights(labels: np.ndarray) -> np.ndarray:
    """[N] what each sample counts, so that every class that occurs counts the same and all sum to 1."""
    counts = np.bincount(labels)
    share: np.ndarray = 1.0 / (counts[labels] * np.count_nonzero(counts))
    return share


def find_sharpness(blocks: Blocks, labels: np.ndarray, weights: np.ndarray, of: np.ndarray) -> np.ndarray:
    """[G] 1/T of each group of classes, of least NLL: Newton's steps, shortened until they lead down.

    Args:
        weights: [N] what each sample counts. of: [K] the group of each class, 0 to G - 1.
    """
    at = np.ones(int(of.max()) + 1)
    nll, slope, curve = _likelihood(blocks(), labels, weights, of, at)
    for _ in range(_STEPS):
        free = ~(((at <= LOW) & (slope > 0)) | ((at >= HIGH) & (slope < 0)))
        step = np.zeros_like(at)
        ridge = 1e-9 * np.trace(curve) + 1e-30
        step[free] = np.linalg.solve(curve[np.ix_(free, free)] + ridge * np.eye(free.sum()), -slope[free])
        for halving in range(_HALVINGS):
            to = np.clip(at + step * 0.5**halving, LOW, HIGH)
            found = _likelihood(blocks(), labels, weights, of, to)
            if found[0] <= nll:
                break
        moved = float(np.abs(np.log(to / at)).max())
        if found[0] > nll or moved < _ENOUGH:
            break
        at, (nll, slope, curve) = to, found
    return at


def _likelihood(
    blocks: LogitBlocks, labels: np.ndarray, weights: np.ndarray, of: np.ndarray, sharpness: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """NLL of softmax(β ⊙ z), and its gradient [G] and Hessian [G, G] by the β of each group of classes.

    With u_g = Σ_{k in g} p_k z_k the gradient is the mean of u − z_y 1[g = g(y)], the Hessian that of
    Σ_{k in g} p_k z_k² 1[g = h] − u_g u_h.
    """
    member = np.eye(len(sharpness))[of]  # [K, G]
    nll, slope, curve = 0.0, np.zeros(len(sharpness)), np.zeros((len(sharpness),) * 2)
    for where, logits in blocks:
        z, y, w = logits.astype(np.float64), labels[where], weights[where]
        p = z * sharpness[of]
        true = p[np.arange(len(y)), y].copy()
        top = p.max(1, keepdims=True)
        np.exp(p - top, out=p)
        total = p.sum(1, keepdims=True)
        p /= total
        nll += float(w @ (np.log(total[:, 0]) + top[:, 0] - true))
        p *= z
        u = p @ member
        slope += w @ (u - member[y] * z[np.arange(len(y)), y][:, None])
        curve += np.diag(w @ ((p * z) @ member)) - (u * w[:, None]).T @ u
    return nll, slope, curve
