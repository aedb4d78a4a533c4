"""The arrays of a head: their names, their axes, and what they must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ltfix.errors import InputError

TRANSFORMS: dict[str, dict[str, str]] = {  # the tensors of each kind, and their axes
    "l2": {},
    "capsule": {},
    "center+l2": {"center": "D"},
    "standardize+l2": {"center": "D", "spread": "D"},
    "disalign": {"confidence_weight": "D", "confidence_bias": "", "logit_scale": "K", "logit_bias": "K"},
}
_AXES = {"weight": "KD", "bias": "K", "temperature": "K"}
_AXES |= {name: axes for own in TRANSFORMS.values() for name, axes in own.items()}
TRANSPOSED = "is the weight transposed? it must be [K, D]"
CLASS_ARRAYS = {name for name, axes in _AXES.items() if axes.startswith("K")}
"""The arrays of a head that have a row or a number for each class."""


def single(value: np.ndarray, name: str, where: object) -> np.ndarray:
    """A float32 copy in memory (torch takes no read-only array)."""
    if value.dtype.kind != "f":
        raise InputError(f"{name} is {value.dtype}, expected float32", where=where)
    with np.errstate(over="ignore"):  # becomes Inf, which is refused
        return np.array(value, np.float32)


def tensors_of(kind: str, tensors: Mapping[str, np.ndarray], where: object) -> dict[str, np.ndarray]:
    """The arrays that belong to a kind of transform."""
    if kind not in TRANSFORMS:
        raise InputError(f"unknown transform {kind!r}", where=where, hint="made by a newer ltfix?")
    missing = [name for name in TRANSFORMS[kind] if name not in tensors]
    if missing:
        raise InputError(f"its transform {kind!r} lacks {', '.join(missing)}", where=where)
    return {name: tensors[name] for name in TRANSFORMS[kind]}


def demand_shapes(
    arrays: Mapping[str, np.ndarray], counts: np.ndarray | None, classes: Sequence[str] | None, where: object
) -> None:
    """An InputError names what does not fit the others: an array, the class names or their counts."""
    shapes = {name: list(np.shape(array)) for name, array in arrays.items()}
    if len(shapes["weight"]) != 2 or 0 in shapes["weight"]:
        raise InputError(f"weight must be [K, D], found {shapes['weight']}", where=where)
    k, dim = shapes["weight"]
    told = {"counts": counts, "classes": classes}
    shapes |= {name: [len(value)] for name, value in told.items() if value is not None}
    for name, found in shapes.items():
        expected = [k if axis == "K" else dim for axis in _AXES.get(name, "K")]
        if found != expected:
            what = f"{name} must be {expected} for a weight of {[k, dim]}, found {found}"
            raise InputError(
                what, where=where, hint=TRANSPOSED if (expected, found) == ([k], [dim]) else None
            )
