"""Lengths and directions of vectors, in numpy or torch, wherever in float32's range they lie."""

from __future__ import annotations

from typing import Any

import numpy as np

NORM_FLOOR = 1e-12


def norms(x: Any) -> Any:
    """‖x‖ of vectors [..., D] as [..., 1]; squares of values beyond 1e15 would leave float32."""
    scale = _largest(x).clip(1e15) / 1e15  # 1 for all others, whose digits it leaves
    return scale * ((x / scale) ** 2).sum(-1, keepdims=True) ** 0.5


def _largest(x: Any) -> Any:
    return abs(x).max(-1, keepdims=True) if isinstance(x, np.ndarray) else abs(x).amax(-1, keepdim=True)


def unit_vectors(x: Any) -> Any:
    """x/‖x‖ of vectors [..., D] in numpy or torch; a zero vector stays zero.

    Each is divided by its largest value first: the squares of 1e20 or 1e-25 are not float32's.
    """
    t = x / _largest(x).clip(float(np.finfo(np.float32).tiny))
    return t / ((t * t).sum(-1, keepdims=True) ** 0.5).clip(NORM_FLOOR)


def numpy_of(x: Any) -> np.ndarray:
    """An array, a tensor of any device, a data frame or a list as a numpy array; bfloat16 becomes float32."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if "bfloat16" in str(x.dtype) else x
    return np.asarray(x)
