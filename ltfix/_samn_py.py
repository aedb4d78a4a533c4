"""The Python twin of ``_samn.c``: same names, signatures, errors and messages.

The values agree to a few units in the last place: exp and log1p are those of numpy here and those
of the C library there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ltfix._pava_py import _acquire, _pool, kind_of

EPS = 1e-6
MAX_EXPONENT = 30.0  # exp(S) of float32 ends at 88; S stays below 2 in published settings

Wanted = tuple[tuple[str, str, int, bool], ...]  # name, kind, columns more than K, written to
_FORWARD: Wanted = (
    ("raw", "r", 0, False),
    ("perm", "q", 0, False),
    ("rho", "s", 0, True),
    ("slope", "d", 0, True),
    ("starts", "q", 1, True),
)
_BACKWARD: Wanted = (
    ("upstream", "r", 0, False),
    ("perm", "q", 0, False),
    ("slope", "d", 0, False),
    ("starts", "q", 1, False),
    ("grad", "s", 0, True),
)


def samn_scales(  # noqa: PLR0917 - positional, as in C
    raw: Any, perm: Any, rho: Any, slope: Any, starts: Any, paper: bool, mul: bool, /
) -> None:
    """SAMN's row scales ρ of raw numbers, for R rows of K classes.

    For each row, with ε = 1e-6::

        p = PAVA_nondecreasing(raw[perm])
        S = 1 / (softplus(p) + 2ε)          or, with paper, softplus(p)
        ρ[perm] = exp(min(S, 30))           or, with mul, max(S, ε)

    Strict violations only are pooled, as in the code published with SAMN. Arithmetic is in double.

    Args:
        raw: [R, K] float32 or float64, finite; by class.
        perm: [R, K] int64, each row a permutation: ``perm[r, i]`` is the class in place i.
        rho: [R, K], of ``raw``'s type: receives ρ by class.
        slope: [R, K] float64: receives dρ/dp by place; zero where ρ was cut off.
        starts: [R, K + 1] int64: receives the edges of the row's PAVA blocks, by place.
        paper: the paper's S in place of the published code's.
        mul: S itself in place of exp(S).

    Raises:
        TypeError, ValueError: an argument of the wrong type, shape or layout, an index out of range,
            a value that is not finite.
    """
    views = _take((raw, perm, rho, slope, starts), _FORWARD)
    values, order, scales, slopes, edges = map(np.asarray, views)
    for r in range(len(values)):
        for k in np.flatnonzero(~np.isfinite(values[r])):
            raise ValueError(f"raw[{r}, {k}] is not finite")
        ordered = values[r].astype(np.float64)[order[r]].tolist()
        if not math.isfinite(sum(map(abs, ordered)) * len(ordered)):
            raise ValueError(f"raw[{r}] is too large: a sum overflows")
        means, found = _pool(ordered)
        per_block = scale_and_slope(np.array(means, np.float64), paper, mul)
        lengths = np.diff(found)
        scales[r, order[r]], slopes[r] = (np.repeat(v, lengths) for v in per_block)
        edges[r, : len(found)] = found


def samn_pullback(upstream: Any, perm: Any, slope: Any, starts: Any, grad: Any, /) -> None:
    """The gradient of SAMN's raw numbers from that of ρ: block means of ∂L/∂ρ · dρ/dp.

    Args:
        upstream: [R, K] float32 or float64: ∂L/∂ρ by class.
        perm, slope, starts: as `samn_scales` took and left them.
        grad: [R, K], of ``upstream``'s type: receives ∂L/∂raw by class.

    Raises:
        TypeError, ValueError: as `samn_scales`, or ``starts`` that are no block edges.
    """
    views = _take((upstream, perm, slope, starts, grad), _BACKWARD)
    values, order, slopes, edges, out = map(np.asarray, views)
    size = values.shape[1]
    for r in range(len(values)):
        inner = edges[r, : int(np.argmax(edges[r] == size)) + 1]
        lengths = np.diff(inner)
        if size and not (inner[0] == 0 and inner[-1] == size and (lengths > 0).all()):
            raise ValueError(f"starts[{r}] are not the edges of blocks")
        if size:
            h = values[r].astype(np.float64)[order[r]] * slopes[r]
            out[r, order[r]] = np.repeat(np.add.reduceat(h, inner[:-1]) / lengths, lengths)


def row_scale(softplus: Any, exp: Callable[[Any], Any], paper: bool, mul: bool) -> tuple[Any, Any]:
    """SAMN's S and ρ of softplus(p), elementwise: arrays with numpy's exp, tensors with torch's."""
    s = softplus if paper else 1 / (softplus + 2 * EPS)
    return s, s.clip(EPS) if mul else exp(s.clip(max=MAX_EXPONENT))


def scale_and_slope(p: np.ndarray, paper: bool, mul: bool) -> tuple[np.ndarray, np.ndarray]:
    """ρ and dρ/dp of projected raw numbers, elementwise."""
    linear = p > 20  # softplus(p) is p there, by the usual convention
    e = np.exp(np.where(linear, -p, p))
    softplus, sigmoid = np.where(linear, p, np.log1p(e)), np.where(linear, 1, e) / (1 + e)
    s, rho = row_scale(softplus, np.exp, paper, mul)
    slope = sigmoid if paper else -s * s * sigmoid
    return rho, np.where(s > EPS, slope, 0.0) if mul else np.where(s < MAX_EXPONENT, rho * slope, 0.0)


def _take(args: tuple[Any, ...], wanted: Wanted) -> list[memoryview]:
    views = [_acquire(value, name, 2) for value, (name, *_) in zip(args, wanted, strict=True)]
    for i in range(len(views)):
        _fit(views, wanted, i)
    perm = np.asarray(views[1])
    for r, i in np.argwhere((perm < 0) | (perm >= perm.shape[1])):
        raise ValueError(f"perm[{r}, {i}] is out of range")
    return views


def _fit(views: list[memoryview], wanted: Wanted, i: int) -> None:
    view, (name, kind, more, writable) = views[i], wanted[i]
    accepted = {"r": ("f", "d"), "s": (kind_of(views[0]),)}.get(kind, (kind,))
    if kind_of(view) not in accepted:
        raise TypeError(f"{name} holds the wrong type")
    rows, columns = views[0].shape or (0, 0)
    if view.shape != (rows, columns + more):
        raise ValueError(f"{name} has the wrong shape")
    if writable and view.readonly:
        raise ValueError(f"{name} must be writable")
    for j in range(i):
        touched = writable or wanted[j][3]
        if touched and np.may_share_memory(np.asarray(view), np.asarray(views[j])):
            raise ValueError(f"{name} must not overlap {wanted[j][0]}")
