"""Corrections that need no training: a linear head in, a linear head out."""

from __future__ import annotations

import numpy as np

from ltfix.heads.head import NORM_FLOOR


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
