"""The Python twin of ``_pava.c``: same name, signature, errors and messages, and the same bits.

It serves where no C compiler was at hand, and it is what the tests hold the C code against. Both do
the same additions in the same order.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

_NATIVE = "<" if sys.byteorder == "little" else ">"
_ITEMSIZE = {"f": 4, "d": 8, "q": 8, "l": 8}


def pava(y: Any, out: Any, starts: Any, weight: Any = None, /) -> int:
    """Non-decreasing least-squares fit of a sequence: pool adjacent violators.

    Minimises ``Σ weight_i (out_i − y_i)²`` subject to ``out_0 ≤ out_1 ≤ …``. The solution is
    piecewise constant; block ``b`` covers ``starts[b] … starts[b+1] − 1`` and holds the (weighted)
    mean of ``y`` there. Only strict violations merge: equal neighbours stay separate blocks, as in
    the code published with SAMN, where libraries that merge them have other gradients. Sums are
    kept in double precision. Time is linear in the length, whatever the input.

    Args:
        y: n values, float32 or float64, finite.
        out: n values of the same type, writable; ``y`` itself is allowed, any other overlap is not.
        starts: at least n + 1 signed 8-byte integers, writable; ``starts[nblocks]`` becomes n.
        weight: n positive finite values of the same type, or None for unit weights.

    All are C-contiguous one-dimensional buffers in native byte order; nothing is written unless
    all is well.

    Returns:
        The number of blocks; 0 for n = 0.

    Raises:
        TypeError: an argument is no buffer, or holds another type.
        ValueError: an argument has the wrong shape or overlaps another, cannot be written to, or a
            value is not finite (the message has its index).
    """
    views = {"y": _acquire(y, "y"), "out": _acquire(out, "out"), "starts": _acquire(starts, "starts")}
    if weight is not None:
        views["weight"] = _acquire(weight, "weight")
    _check(views)
    values = np.asarray(views["y"]).tolist()
    weights = np.asarray(views["weight"]).tolist() if weight is not None else None
    _refuse(values, weights)
    means, edges = _pool(values) if weights is None else _pool_weighted(values, weights)
    np.asarray(views["out"])[:] = np.repeat(means, np.diff(edges))
    np.asarray(views["starts"])[: len(edges)] = edges
    return len(means)


def kind_of(view: memoryview) -> str:
    """'f', 'd', or 'q' for any 8-byte signed integer, in native byte order; '' for all else."""
    letter = view.format[1:] if view.format[:1] in ("@", "=", _NATIVE) else view.format
    if _ITEMSIZE.get(letter) != view.itemsize:
        return ""
    return "q" if letter == "l" else letter


def _acquire(value: Any, name: str, ndim: int = 1) -> memoryview:
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        raise TypeError(f"{name} must support the buffer protocol") from None
    if view.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), not {view.ndim}")
    if not view.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous")
    return view


def _check(views: dict[str, memoryview]) -> None:
    """The checks between the buffers, in the order of the C code."""
    y = views["y"]
    if kind_of(y) not in ("f", "d"):
        raise TypeError("y must hold float32 or float64 in native byte order")
    before = ["y"]
    for name in list(views)[1:]:
        view = views[name]
        if name == "starts":
            if kind_of(view) != "q":
                raise TypeError("starts must hold 8-byte signed integers in native byte order")
            if len(view) <= len(y):
                raise ValueError("starts must have room for one more element than y")
        elif kind_of(view) != kind_of(y):
            raise TypeError(f"{name} must have the format of y")
        elif len(view) != len(y):
            raise ValueError(f"{name} must have the length of y")
        if name != "weight" and view.readonly:
            raise ValueError(f"{name} must be writable")
        for other in before:
            if _clash(views, name, other):
                raise ValueError(f"{name} must not overlap {other}")
        before.append(name)


def _clash(views: dict[str, memoryview], name: str, other: str) -> bool:
    if (name, other) == ("weight", "y"):
        return False  # both are only read
    a, b = np.asarray(views[name]), np.asarray(views[other])
    same = (name, other) == ("out", "y") and a.ctypes.data == b.ctypes.data
    return not same and np.may_share_memory(a, b)


def _refuse(values: Sequence[float], weights: Sequence[float] | None) -> None:
    for i, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"y[{i}] is not finite")
    for i, value in enumerate(weights or ()):
        if not 0 < value < math.inf:
            raise ValueError(f"weight[{i}] is not a positive finite number")
    if weights is None:
        bounds = [sum(map(abs, values)) * len(values)]
    else:
        bounds = [sum(abs(v) * w for v, w in zip(values, weights, strict=True)), sum(weights)]
    if not all(map(math.isfinite, bounds)):
        raise ValueError("y is too large: a sum overflows")


def _pool(y: Sequence[float]) -> tuple[list[float], list[int]]:
    """Block means and block edges. Each block absorbs what follows, then looks back."""
    n, sums, starts = len(y), list[float](), list[int]()
    i = 0
    while i < n:
        start, total, length = i, y[i], 1
        i += 1
        while True:
            while i < n and total > y[i] * length:
                total += y[i]
                length += 1
                i += 1
            if not sums or sums[-1] * length <= total * (start - starts[-1]):
                break
            while sums and sums[-1] * length > total * (start - starts[-1]):
                total += sums.pop()
                start = starts.pop()
                length = i - start
        sums.append(total)
        starts.append(start)
    starts.append(n)
    means = [s / (stop - start) for s, start, stop in zip(sums, starts, starts[1:], strict=False)]
    for b in range(len(means) - 2, -1, -1):  # equal by cross-multiplying may divide an ulp apart
        means[b] = min(means[b], means[b + 1])
    return means, starts


def _pool_weighted(y: Sequence[float], weight: Sequence[float]) -> tuple[list[float], list[int]]:
    """The same with weights: a plain stack, and means compared as they are."""
    blocks: list[tuple[float, float, float, int]] = []
    for i, value in enumerate(y):
        mean, mass, start = value, weight[i], i
        total = mean * mass
        while blocks and blocks[-1][0] > mean:
            _, below, heavy, start = blocks.pop()
            total += below
            mass += heavy
            mean = total / mass
        blocks.append((mean, total, mass, start))
    return [block[0] for block in blocks], [block[3] for block in blocks] + [len(y)]
