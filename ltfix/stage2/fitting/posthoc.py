"""The post-hoc steps of the method table, which need no training: a head in, a head out.

They are on rows and bias, whatever transform the features take first.

Each is called with the head, the method's values, the training samples and the scaling, for which the head is
and which the samples get. All are numpy; K classes, D dimensions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from ltfix.heads.head import Head
from ltfix.heads.vectors import NORM_FLOOR
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.losses.weights import prior_shift
from ltfix.stage2.methods.parts import Setting

_TRANSFORMS: dict[str, dict[str, object] | None] = {
    "un": None,
    "l2n": {"kind": "l2", "groups": 1},
    "cl2n": {"kind": "center+l2"},
}


def tau_norm(head: Head, v: Setting, data: Features, scaling: Scaling) -> Head:
    """τ-normalisation: w_k / ‖w_k‖^τ.

    Kang et al. 2020 (Decoupling), eq. 3, drops the bias; the code of Alshammari et al. 2022 (weight
    balancing) keeps it unscaled (``bias=keep``).
    """
    bias = head.bias if v["bias"] == "keep" else np.zeros_like(head.bias)
    return dataclasses.replace(head, weight=_shortened(head.weight, v["tau"]), bias=bias)


def _shortened(weight: np.ndarray, tau: float) -> np.ndarray:
    """Rows [K, D] divided by their norm^τ: 0 leaves them, 1 makes them unit length. A zero row stays zero."""
    norm = np.linalg.norm(np.asarray(weight, np.float64), axis=1, keepdims=True)
    scale = np.maximum(norm, NORM_FLOOR) ** -tau
    return np.where(norm > 0, weight * scale, 0.0).astype(weight.dtype)


def logit_adjust(head: Head, v: Setting, data: Features, scaling: Scaling) -> Head:
    """Post-hoc logit adjustment: z_k − τ log π_k, folded into the bias (Menon et al. 2021, eq. 9)."""
    return dataclasses.replace(head, bias=head.bias - prior_shift(data.counts, v["tau"]))


def multiply_prior(head: Head, v: Setting, data: Features, scaling: Scaling) -> Head:
    """Multiplicative logit adjustment: logits times π_k^−τ.

    ``form=code`` multiplies the whole logit, bias included (the code of EWB, Hasegawa & Sato 2024);
    ``ewb`` unit rows, the bias untouched (its paper); ``kim`` unit rows and no bias (Kim & Kim 2020).
    Where everything is multiplied, the factor is (n_max/n_k)^τ: it stays near one and ranks alike.
    """
    form, n = v["form"], np.maximum(np.asarray(data.counts, np.float64), 1)
    factor = ((n.sum() if form == "ewb" else n.max()) / n) ** v["tau"]
    weight = head.weight if form == "code" else _shortened(head.weight, 1.0)
    bias = {"code": head.bias * factor, "ewb": head.bias, "kim": np.zeros_like(head.bias)}[form]
    return dataclasses.replace(head, weight=weight * factor[:, None], bias=bias)


def nearest_class_mean(head: Head, v: Setting, data: Features, scaling: Scaling) -> Head:
    """Nearest class mean as a head (Kang et al. 2020): −‖T(x) − c_k‖² = 2 T(x)·c_k − ‖c_k‖² + const.

    T(x) is x for ``transform=un``, x/‖x‖ for ``l2n``, and (x − m)/‖x − m‖, m the sample mean, for ``cl2n``,
    which takes two passes. The class means c_k of T(x) are not normalised again. ``distance=cos`` is
    T(x)·c_k / D, the published code's scaled dot product. The head that is given plays no part.
    """
    transform, shape = v["transform"], (len(data.counts), data.dim)
    center = np.zeros(data.dim)
    if transform == "cl2n":
        center = sum((x.sum(0, dtype=np.float64) for x, _ in data.blocks(scaling)), center) / len(data)

    def transformed(x: np.ndarray) -> np.ndarray:
        t: np.ndarray = x - center
        if transform != "un":
            t /= np.maximum(np.linalg.norm(t, axis=1, keepdims=True), NORM_FLOOR)
        return t

    centroids, _ = class_means(((transformed(x), y) for x, y in data.blocks(scaling)), *shape)
    if v["distance"] == "l2":
        weight, bias = 2 * centroids, -np.square(centroids).sum(1)
    else:
        weight, bias = centroids / data.dim, np.zeros(len(centroids))
    tensors = {"center": center} if transform == "cl2n" else {}
    return Head(weight, bias, transform=_TRANSFORMS[transform], tensors=tensors)


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
