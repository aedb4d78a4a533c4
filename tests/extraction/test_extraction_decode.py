"""ltfix.extraction.decode: order, errors and endings do not depend on the number of threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ltfix.errors import InputError
from ltfix.extraction.decode import AHEAD, available_workers, decode_batches

BATCHES = [range(0, 5), range(5, 8), range(8, 9), range(9, 30)]


def render(index: int) -> np.ndarray:
    time.sleep(0.001 * (index % 3))
    return np.full((1, 2, 2, 3), index, np.uint8)


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
def test_order(workers: int):
    batches = list(decode_batches(BATCHES, render, workers))
    assert [batch.index for batch in batches] == [list(indices) for indices in BATCHES]
    for batch in batches:
        assert batch.pixels is not None
        assert batch.pixels[:, 0, 0, 0, 0].tolist() == batch.index
        assert not batch.failed


@pytest.mark.parametrize("workers", [0, 3])
def test_errors_are_collected_in_order(workers: int):
    def spoiled(index: int) -> np.ndarray:
        if index in (5, 6, 7, 9):
            raise InputError("corrupt", where=index)
        return render(index)

    batches = list(decode_batches(BATCHES, spoiled, workers))
    assert [[index for index, _ in batch.failed] for batch in batches] == [[], [5, 6, 7], [], [9]]
    assert batches[1].pixels is None
    assert batches[3].index[0] == 10


@pytest.mark.parametrize("workers", [0, 3])
def test_other_errors_end_it(workers: int):
    def broken(index: int) -> np.ndarray:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(decode_batches(BATCHES, broken, workers))
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_it_reads_ahead_but_not_far_and_stops_when_closed():
    asked: list[int] = []

    def counted(index: int) -> np.ndarray:
        asked.append(index)
        return render(index)

    batches = decode_batches(([i] for i in range(1000)), counted, workers=2)
    next(batches)
    time.sleep(0.05)
    assert len(asked) <= AHEAD + 2 * 2 + 2
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_workers_are_cores():
    assert available_workers() >= 1
