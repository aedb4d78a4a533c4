"""What the kernel and its twin refuse: the same error, the same message, nothing written."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest


def locked(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def y() -> np.ndarray:
    return np.array([3.0, 1.0, 2.0])


def out() -> np.ndarray:
    return np.zeros(3)


def starts() -> np.ndarray:
    return np.zeros(4, np.int64)


def swapped(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("S"))


shared = np.zeros(8)
FLOATS = "y must hold float32 or float64 in native byte order"
INTEGERS = "starts must hold 8-byte signed integers in native byte order"
LARGE = "y is too large: a sum overflows"
TYPE = {
    "y is a list": (lambda: ([1.0], out(), starts()), "y must support the buffer protocol"),
    "out is None": (lambda: (y(), None, starts()), "out must support the buffer protocol"),
    "dates": (lambda: (np.zeros(3, "M8[s]"), out(), starts()), "y must support the buffer protocol"),
    "integers": (lambda: (np.zeros(3, int), out(), starts()), FLOATS),
    "half": (lambda: (np.zeros(3, np.float16), out(), starts()), FLOATS),
    "bytes": (lambda: (b"abc", out(), starts()), FLOATS),
    "foreign byte order": (lambda: (swapped(y()), out(), starts()), FLOATS),
    "single out": (lambda: (y(), np.zeros(3, "f4"), starts()), "out must have the format of y"),
    "foreign out": (lambda: (y(), swapped(out()), starts()), "out must have the format of y"),
    "short integers": (lambda: (y(), out(), np.zeros(4, np.int32)), INTEGERS),
    "unsigned starts": (lambda: (y(), out(), np.zeros(4, np.uint64)), INTEGERS),
    "single weight": (lambda: (y(), out(), starts(), np.ones(3, "f4")), "weight must have the format of y"),
}
VALUE = {
    "matrix": (lambda: (np.zeros((1, 3)), out(), starts()), "y must have 1 dimension(s), not 2"),
    "scalar": (lambda: (np.zeros(()), out(), starts()), "y must have 1 dimension(s), not 0"),
    "strided y": (lambda: (np.zeros(6)[::2], out(), starts()), "y must be C-contiguous"),
    "strided out": (lambda: (y(), np.zeros(6)[::2], starts()), "out must be C-contiguous"),
    "backwards": (lambda: (y(), np.zeros(3)[::-1], starts()), "out must be C-contiguous"),
    "short out": (lambda: (y(), np.zeros(2), starts()), "out must have the length of y"),
    "read-only out": (lambda: (y(), locked(out()), starts()), "out must be writable"),
    "short starts": (
        lambda: (y(), out(), np.zeros(3, np.int64)),
        "starts must have room for one more element than y",
    ),
    "read-only starts": (lambda: (y(), out(), locked(starts())), "starts must be writable"),
    "long weight": (lambda: (y(), out(), starts(), np.ones(4)), "weight must have the length of y"),
    "out shifted over y": (lambda: (shared[:3], shared[1:4], starts()), "out must not overlap y"),
    "starts over y": (
        lambda: (shared[:3], out(), shared[2:6].view(np.int64)),
        "starts must not overlap y",
    ),
    "starts over out": (
        lambda: (y(), shared[:3], shared[1:6].view(np.int64)),
        "starts must not overlap out",
    ),
    "starts over weight": (
        lambda: (y(), out(), shared[:4].view(np.int64), shared[3:6]),
        "weight must not overlap starts",
    ),
    "weight over out": (lambda: (y(), shared[:3], starts(), shared[:3]), "weight must not overlap out"),
    "NaN": (lambda: (np.array([1, 2, np.nan]), out(), starts()), "y[2] is not finite"),
    "infinite": (lambda: (np.array([-np.inf, 2, np.inf]), out(), starts()), "y[0] is not finite"),
    "NaN, in place": (lambda: (given := np.array([1, np.nan, 0]), given, starts()), "y[1] is not finite"),
    "single NaN": (lambda: (np.array([1, np.nan], "f4"), np.zeros(2, "f4"), starts()), "y[1] is not finite"),
    "NaN and weights": (
        lambda: (np.array([1, np.nan, 0]), out(), starts(), np.zeros(3)),
        "y[1] is not finite",
    ),
    "no weight": (
        lambda: (y(), out(), starts(), np.array([1.0, 0, -1])),
        "weight[1] is not a positive finite number",
    ),
    "NaN weight": (
        lambda: (y(), out(), starts(), np.array([1.0, 1, np.nan])),
        "weight[2] is not a positive finite number",
    ),
    "infinite weight": (
        lambda: (y(), out(), starts(), np.array([np.inf, 1, 1])),
        "weight[0] is not a positive finite number",
    ),
    "too large": (lambda: (np.full(3, 1e308), out(), starts()), LARGE),
    "too heavy": (lambda: (y(), out(), starts(), np.full(3, 1e308)), LARGE),
}
CASES = {name: (*case, TypeError) for name, case in TYPE.items()}
CASES |= {name: (*case, ValueError) for name, case in VALUE.items()}


@pytest.mark.parametrize("case", CASES)
def test_refuses(twin: ModuleType, case: str) -> None:
    make, message, error = CASES[case]
    args = make()
    before = [np.array(a, copy=True) for a in args[1:3] if a is not None]
    with pytest.raises(error) as caught:
        twin.pava(*args)
    assert str(caught.value) == message
    for written, kept in zip([a for a in args[1:3] if a is not None], before, strict=True):
        np.testing.assert_array_equal(written, kept)


@pytest.mark.parametrize("args", [(), (1, 2), (1, 2, 3, 4, 5)])
def test_takes_three_or_four_arguments(twin: ModuleType, args: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="argument"):
        twin.pava(*args)
