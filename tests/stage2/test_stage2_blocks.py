"""No array of samples × classes is ever made: not by the probe, a method, its choices, or the scoring."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ltfix
from ltfix.evaluation import scores
from ltfix.stage2.fitting import logistic, probe, validation
from ltfix.stage2.loop.data import Features

N_PER_CLASS, CLASSES, DIM = 16, 400, 4
METHODS = ("ce", "samn", "crt", "lade", "cosine", "disalign", "maxnorm", "logit-adjust", "ncm")
TOO_MANY = N_PER_CLASS * CLASSES * CLASSES
"""Values of the array that nobody may make."""


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operator gave out."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        sizes = [t.untyped_storage().nbytes() for t in tree_leaves(found) if isinstance(t, torch.Tensor)]
        self.most = max(self.most, *sizes, 0)
        return found


def largest(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes of the largest tensor, and of all of Python's and numpy's memory at its peak."""
    tracemalloc.start()
    try:
        with Largest() as watched:
            work()
        return watched.most, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in [(logistic, "BLOCK_VALUES"), (probe, "BLOCK_VALUES"), (validation, "BLOCK_VALUES")]:
        monkeypatch.setattr(module, name, 1 << 16)
    monkeypatch.setattr(scores, "_BLOCK_VALUES", 1 << 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # other threads would go unwatched


def test_the_probe_makes_no_array_of_samples_by_classes(draw_cache):
    def solved(n_per_class: int, classes: int) -> None:
        data = Features.of(draw_cache([n_per_class] * classes, dim=DIM, stage1=False), stream="always")
        probe.fit_probe(data, torch.device("cpu"), penalty=1e-4)

    largest(lambda: solved(4, 4))  # imports
    assert max(largest(lambda: solved(N_PER_CLASS, CLASSES))) < TOO_MANY  # as booleans


@pytest.mark.parametrize("stream", ["never", "always"])
def test_no_method_makes_an_array_of_samples_by_classes(draw_cache, stream: str):
    def compared(n_per_class: int, classes: int) -> None:
        cache = draw_cache([n_per_class] * classes, dim=DIM)
        asked = {"epochs": 1, "batch_size": 256}
        found = ltfix.compare(cache, cache, METHODS, seeds=1, values=asked, stream=stream)
        assert stream == "always" or not found.left_out

    largest(lambda: compared(4, 4))  # imports
    assert max(largest(lambda: compared(N_PER_CLASS, CLASSES))) < TOO_MANY


def test_it_would_be_seen():
    x, weight = np.ones((N_PER_CLASS * CLASSES, DIM), np.float32), np.ones((CLASSES, DIM), np.float32)
    assert largest(lambda: x @ weight.T > 0)[1] > TOO_MANY
    assert largest(lambda: torch.from_numpy(x) @ torch.from_numpy(weight).T > 0)[0] > TOO_MANY
