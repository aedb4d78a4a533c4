"""What is done to features before a fit: they are scaled and, if asked, normalised; and the way back.

Published rates and SAMN's range of norms assume features like those of the CIFAR networks. Everything is
therefore fitted on T(x)/c with one scalar c that gives the training features the mean norm
``REFERENCE_NORM``; c is folded into the weight afterwards, so the head works on raw features and a fit
does not depend on the unit they come in.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head
from ltfix.heads.vectors import unit_vectors

REFERENCE_NORM = 14.0
ALIKE = 2.0
"""Features whose mean norm is within this factor of the reference are fitted as they are."""
OFFSETS = 3.0, 1.4
"""Where the mean feature is so many times as long as features deviate from it, their origin is arbitrary:
with a classifier that was trained on them as they are, and without. It is 0.85 with a CIFAR ResNet-32;
digits as pixels have 1.5, a table with a column of years 340."""
UNITS = 30.0
"""Where one dimension deviates more than so many times as much as the median one, units differ. In features
of networks it does not (1.4 times with a CIFAR ResNet-32, 3.5 with EfficientNet-Lite0); in a table it may:
388 times in scikit-learn's wine."""
MOVES = 1e-6
"""A dimension that deviates less than so many times its mean is constant: the rest is rounding."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scaling:
    """x ↦ (x − shift) / spread / scale, or x/‖x‖ / scale.

    Attributes:
        scale: the scalar c. shift, spread: [D], of ``standardize`` (else None).
        unit: features are divided by their norm first (``l2``).
        typical: mean norm of the raw training features.
    """

    scale: float
    typical: float
    shift: np.ndarray | None = None
    spread: np.ndarray | None = None
    unit: bool = False

    @classmethod
    def of(cls, x: np.ndarray, feature_scale: str | float = "auto", normalize: str = "none") -> Scaling:
        """The scaling that training features ask for.

        Args:
            x: [n, D] raw training features, or enough of them.
            feature_scale: "auto", "none", or the scalar c itself.
            normalize: "none", "standardize" (each dimension by its mean and deviation) or "l2".
        """
        typical = _mean_norm(x)
        shift = spread = None
        norm = 1.0 if normalize == "l2" else typical
        if normalize == "standardize":
            mean, deviations = _mean_and_deviation(x)
            shift, spread = mean, np.where(_moves(mean, deviations), deviations, 1.0)
            norm = _mean_norm((x - shift.astype(x.dtype)) / spread.astype(x.dtype))
        if feature_scale == "auto":
            near = REFERENCE_NORM / ALIKE <= norm <= REFERENCE_NORM * ALIKE
            scale = 1.0 if near else norm / REFERENCE_NORM
        else:
            scale = 1.0 if feature_scale == "none" else float(feature_scale)
        return cls(scale or 1.0, typical, shift, spread, normalize == "l2")

    def apply(self, x: Tensor) -> Tensor:
        """Features [..., D], scaled, float32 (float64 stays)."""
        t = x if x.dtype == torch.float64 else x.float()
        if self.shift is not None and self.spread is not None:
            t = (t - torch.from_numpy(self.shift).to(t)) / torch.from_numpy(self.spread).to(t)
        if self.unit:
            t = unit_vectors(t)
        if t is not x:
            return t.div_(self.scale)
        return t / self.scale  # also by 1: the result is torch's own memory, aligned alike in every run

    def into(self, start: Head) -> Head:
        """The head of scaled features that a linear head of raw ones is (for ``l2``: at a typical norm)."""
        weight, bias = start.weight.astype(np.float64), start.bias.astype(np.float64)
        if self.shift is not None and self.spread is not None:
            bias = bias + weight @ self.shift
            weight = weight * self.spread
        weight = weight * (self.scale * (self.typical if self.unit else 1.0))
        return dataclasses.replace(start, weight=_single(weight), bias=_single(bias))

    def back(self, found: Head) -> Head:
        """The head of raw features that a head of scaled ones is.

        Raises:
            UsageError: a transform of its own that no head file can hold on top of the normalisation.
            InputError: features so small that the weight is beyond float32.
        """
        weight, bias = found.weight.astype(np.float64), found.bias.astype(np.float64)
        transform, tensors = found.transform, dict(found.tensors)
        kind = None if transform is None else transform["kind"]
        shift = np.zeros(1) if self.shift is None else self.shift
        spread = np.ones(1) if self.spread is None else self.spread
        if (self.unit and kind is not None) or (self.shift is not None and kind == "capsule"):
            what = f"features that are normalised first do not go with this head's own transform ({kind})"
            raise UsageError(what, where="normalize", hint="use normalize=none")
        if kind in (None, "disalign"):
            weight = weight / (self.scale * spread)
            bias = bias - (weight * shift).sum(1)
        if kind == "disalign":
            gate = tensors["confidence_weight"] / (self.scale * spread)
            tensors["confidence_bias"] = tensors["confidence_bias"] - (gate * shift).sum()
            tensors["confidence_weight"] = gate
        if kind == "capsule":
            transform = {"kind": "capsule", "unit": self.scale}
        if kind == "center+l2":
            tensors["center"] = tensors["center"] * self.scale * spread + shift
        if kind in ("l2", "center+l2") and self.shift is not None and transform is not None:
            transform = {**transform, "kind": "standardize+l2"}
            tensors = {"center": tensors.get("center", shift), "spread": spread}
        if self.unit:
            transform = {"kind": "l2", "groups": 1}
        tensors = {name: _single(value) for name, value in tensors.items()}
        made = dataclasses.replace(
            found, weight=_single(weight), bias=_single(bias), transform=transform, tensors=tensors
        )
        if found.is_finite and not made.is_finite:
            told = f"features of a mean norm of {self.typical:.1g} need weights beyond float32"
            raise InputError(told, hint="multiply them")
        return made

    def record(self) -> dict[str, Any]:
        """What the head file keeps."""
        normalize = "l2" if self.unit else "standardize" if self.shift is not None else "none"
        return {"feature_scale": self.scale, "normalize": normalize, "mean_norm": self.typical}


def _single(value: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite
        return np.asarray(value).astype(np.float32)


def told_scaling(normalize: str, scale: float) -> str:
    """In words, what a fit does to features: ``standardized, divided by 0.257``."""
    done = {"none": "as they are", "standardize": "standardized", "l2": "of unit norm"}[normalize]
    return f"{done}, divided by {scale:.3g}"


def natural(x: np.ndarray, *, continued: bool) -> str:
    """What ``normalize="auto"`` does to features [n, D]: "standardize" where they are a table's, else "none".

    A table's columns are of different units, or their origin lies far from the samples.

    Args:
        continued: a classifier came with the features, which was trained on them as they are.
    """
    mean, deviations = _mean_and_deviation(x)
    moves = _moves(mean, deviations)
    moving = np.sort(deviations[moves])
    if not len(moving):
        return "none"
    median = moving[(len(moving) - 1) // 2]  # the lower: of two, the smaller
    offset = np.linalg.norm(mean) / np.linalg.norm(moving)
    table = moving[-1] > UNITS * median or offset > OFFSETS[0 if continued else 1]
    return "standardize" if table else "none"


def _mean_and_deviation(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[D] each, in float64 and without a copy of x: float32 sums make constants move."""
    mean = x.mean(0, dtype=np.float64)
    variance = np.einsum("nd,nd->d", x, x, dtype=np.float64) / len(x) - np.square(mean)
    return mean, np.sqrt(variance.clip(0))


def _moves(mean: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    found: np.ndarray = deviations > MOVES * np.abs(mean)
    return found


def _mean_norm(x: np.ndarray) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64)).mean())
