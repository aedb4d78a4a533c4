"""What the tests of the kernel share: sequences of every kind, and one call."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import numpy as np
import pytest

BOTH = ("ltfix._pava", "ltfix._pava_py")
KINDS = ("random", "noisy", "sorted", "reversed", "tied", "constant", "sawtooth", "swap", "drop")


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("LTFIX_EXTENSION") == "1":
            raise
        pytest.skip("the C kernel is not built here")


def sequence(kind: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, n])
    noise = rng.standard_normal(n)
    made = {
        "random": lambda: noise,
        "noisy": lambda: noise - np.linspace(0, 10, n),
        "sorted": lambda: np.sort(noise),
        "reversed": lambda: np.sort(noise)[::-1],
        "tied": lambda: np.round(noise),
        "constant": lambda: np.full(n, 0.1),
        "sawtooth": lambda: np.arange(n) % 7 / 7.0,
        "swap": lambda: np.roll(np.sort(noise), 1),
        "drop": lambda: np.r_[np.arange(n - 1.0), -(float(n) ** 2)],
    }
    return np.ascontiguousarray(made[kind]())


def fit(twin: ModuleType, y: object, weight: object = None) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(y)
    y = y if y.dtype == np.float32 else y.astype(np.float64)
    out, starts = np.full_like(y, -1), np.full(len(y) + 1, -1, np.int64)
    blocks = twin.pava(y, out, starts, weight)
    return out, starts[: blocks + 1]
