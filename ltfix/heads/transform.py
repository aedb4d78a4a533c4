"""What a head does to features before and after its linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ltfix.heads.vectors import norms, unit_vectors


def transformed_logits(
    x: Any,
    transform: Mapping[str, Any] | None,
    arrays: Mapping[str, np.ndarray],
    like: Callable[[Any], Any],
    exp: Callable[[Any], Any],
) -> Any:
    """The transform and the linear layer, in operators that numpy and torch share.

    Args:
        x: [..., D]. transform, arrays: of the head, see :class:`~ltfix.heads.head.Head`.
        like: an array as ``x`` is, numpy or torch. exp: of such.
    """
    transform = transform or {"kind": None}
    kind = transform["kind"]
    tensors = {name: like(value) for name, value in arrays.items()}
    t = x
    if kind in ("center+l2", "standardize+l2"):
        t = t - tensors["center"]
    if kind == "standardize+l2":
        t = t / tensors["spread"]
    if kind in ("l2", "center+l2", "standardize+l2"):
        groups = transform.get("groups", 1)
        blocks = t.reshape(*t.shape[:-1], groups, t.shape[-1] // groups)
        t = unit_vectors(blocks).reshape(t.shape)
    elif kind == "capsule":
        t = t / (float(transform.get("unit", 1)) + norms(t))
    z = t @ tensors["weight"].T + tensors["bias"]
    if kind == "disalign":
        gate = (x @ tensors["confidence_weight"] + tensors["confidence_bias"])[..., None]
        confidence = 1 / (1 + exp(-gate.clip(-80.0, 80.0)))  # beyond 80 float32 would overflow
        z = z + confidence * (tensors["logit_scale"] * z + tensors["logit_bias"])
    return z / tensors["temperature"] if "temperature" in tensors else z
