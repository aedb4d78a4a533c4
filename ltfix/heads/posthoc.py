"""Corrections that need no training: a linear head in, a linear head out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ltfix.heads.head import NORM_FLOOR

Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""A pass over samples too many for the memory: pieces of [n, D] features and [n] labels."""


def log_prior(counts: np.ndarray) -> np.ndarray:
    """log π_k, π_k = n_k / Σn, [K] float64; an empty class counts as one sample."""
    n = np.maximum(np.asarray(counts, np.float64), 1)
    return np.asarray(np.log(n / n.sum()))


def tau_norm(
    weight: np.ndarray, bias: np.ndarray, tau: float, keep_bias: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """τ-normalisation: w_k / ‖w_k‖^τ.

    Kang et al. 2020 (Decoupling), eq. 3, drops the bias; the code of Alshammari et al. 2022 (weight
    balancing) keeps it unscaled (``keep_bias``). A zero row stays zero.

    Args:
        weight: [K, D]. bias: [K]. tau: 0 leaves the rows, 1 makes them unit length.
    """
    norm = np.linalg.norm(np.asarray(weight, np.float64), axis=1, keepdims=True)
    scale = np.maximum(norm, NORM_FLOOR) ** -tau
    scaled = np.where(norm > 0, weight * scale, 0.0).astype(weight.dtype)
    return scaled, bias if keep_bias else np.zeros_like(bias)


def logit_adjust(
    weight: np.ndarray, bias: np.ndarray, counts: np.ndarray, tau: float
) -> tuple[np.ndarray, np.ndarray]:
    """Post-hoc logit adjustment: z_k − τ log π_k, folded into the bias (Menon et al. 2021, eq. 9).

    Args:
        weight: [K, D]. bias: [K]. counts: [K] training samples per class. tau: 1 is Bayes-consistent
            for the balanced error.
    """
    return weight, bias - tau * log_prior(counts)


def multiply_prior(
    weight: np.ndarray, bias: np.ndarray, counts: np.ndarray, tau: float, form: str = "code"
) -> tuple[np.ndarray, np.ndarray]:
    """Multiplicative logit adjustment: logits times π_k^−τ.

    ``form="code"`` multiplies the whole logit, bias included (the code of EWB, Hasegawa & Sato 2023);
    ``"ewb"`` unit rows, the bias untouched (its paper); ``"kim"`` unit rows and no bias (Kim & Kim 2020).
    Where everything is multiplied, the factor is (n_max/n_k)^τ: it stays near one and ranks alike.
    """
    n = np.maximum(np.asarray(counts, np.float64), 1)
    factor = ((n.sum() if form == "ewb" else n.max()) / n) ** tau
    if form == "code":
        return weight * factor[:, None], bias * factor
    unit, _ = tau_norm(weight, bias, 1.0)
    return unit * factor[:, None], bias if form == "ewb" else np.zeros_like(bias)


ABSENT = -1e4  # the logit of a class without training samples


def class_means(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], n_classes: int, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean feature of each class, [K, D] float64 (zero where there is no sample), and its samples, [K].

    Args:
        blocks: pieces of [n, D] features and [n] labels.
    """
    means, counts = np.zeros((n_classes, dim)), np.zeros(n_classes, np.int64)
    for x, labels in blocks:
        np.add.at(means, labels, x)
        counts += np.bincount(labels, minlength=n_classes)
    return means / np.maximum(counts, 1)[:, None], counts


def nearest_class_mean(
    blocks: Blocks, n_classes: int, dim: int, transform: str = "cl2n", distance: str = "l2"
) -> tuple[np.ndarray, np.ndarray, dict[str, object] | None, dict[str, np.ndarray]]:
    """Nearest class mean as a head (Kang et al. 2020): −‖T(x) − c_k‖² = 2 T(x)·c_k − ‖c_k‖² + const.

    Args:
        blocks: the training samples; ``cl2n`` takes two passes.
        transform: ``un`` T(x) = x, ``l2n`` x/‖x‖, ``cl2n`` (x − m)/‖x − m‖ with the sample mean m. The class
            means of T(x) are not normalised again.
        distance: ``l2``, or ``cos``: T(x)·c_k / D, the published code's scaled dot product.

    Returns:
        Weight [K, D], bias [K], the head's transform and its tensors.
    """
    center = np.zeros(dim)
    if transform == "cl2n":
        n = 0
        for x, _ in blocks():
            center, n = center + x.sum(0, dtype=np.float64), n + len(x)
        center /= n

    def transformed(x: np.ndarray) -> np.ndarray:
        t: np.ndarray = x - center
        if transform != "un":
            t /= np.maximum(np.linalg.norm(t, axis=1, keepdims=True), NORM_FLOOR)
        return t

    centroids, counts = class_means(((transformed(x), labels) for x, labels in blocks()), n_classes, dim)
    if distance == "l2":
        weight, bias = 2 * centroids, -np.square(centroids).sum(1)
    else:
        weight, bias = centroids / dim, np.zeros(n_classes)
    bias[counts == 0] = ABSENT
    kinds: dict[str, dict[str, object] | None] = {
        "un": None,
        "l2n": {"kind": "l2", "groups": 1},
        "cl2n": {"kind": "center+l2"},
    }
    return weight, bias, kinds[transform], {"center": center} if transform == "cl2n" else {}
