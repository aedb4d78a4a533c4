"""ltfix.extraction.decode: order, errors and endings do not depend on the number of threads."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ltfix.errors import EnvironmentFault, InputError
from ltfix.extraction import decode as decoding
from ltfix.extraction.decode import AHEAD, decode_batches
from ltfix.images import watch
from ltfix.images.decode import decode

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


@pytest.mark.parametrize("workers", [0, 3])
def test_a_file_that_may_not_be_read_is_collected_and_a_full_machine_is_not(workers: int):
    def refused(index: int) -> np.ndarray:
        if index == 6:
            raise EnvironmentFault("no permission") from PermissionError()
        return render(index)

    batches = list(decode_batches(BATCHES, refused, workers))
    assert [[index for index, _ in batch.failed] for batch in batches] == [[], [6], [], []]

    def full(index: int) -> np.ndarray:
        raise EnvironmentFault("too many open files") from OSError(24, "")

    with pytest.raises(EnvironmentFault):
        list(decode_batches(BATCHES, full, workers))


def test_remarks_come_with_their_samples():
    def remarking(index: int) -> np.ndarray:
        if index % 4 == 0:
            watch.current().remarks.append(f"{index} is a fourth")
        return render(index)

    for workers in (0, 3):
        batches = decode_batches(BATCHES, remarking, workers)
        found = [pair for batch in batches for pair in batch.remarks]
        assert found == [(i, f"{i} is a fourth") for i in range(0, 30, 4)]


@pytest.mark.parametrize("large", [60, 100, 1000])
def test_only_so_many_pixels_are_in_memory_at_once(large: int, monkeypatch: pytest.MonkeyPatch):
    """Every fifth image is large; one that is larger than the room goes alone, and none waits for ever."""
    monkeypatch.setattr(decoding, "PixelGate", lambda: watch.PixelGate(100))
    lock, held, most = threading.Lock(), [0], [0]

    def heavy(index: int) -> np.ndarray:
        pixels = large if index % 5 == 0 else 10
        watch.current().hold(pixels)
        with lock:
            held[0] += pixels
            most[0] = max(most[0], held[0])
        result = render(index)
        with lock:
            held[0] -= pixels
        return result

    assert sum(len(batch.index) for batch in decode_batches(BATCHES, heavy, 6)) == 30
    assert most[0] <= max(100, large)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_takes_its_room_before_its_pixels_are_made(workers: int, monkeypatch: pytest.MonkeyPatch):
    entered = list[int]()

    class Noting(watch.PixelGate):
        def enter(self, pixels: int) -> None:
            entered.append(pixels)
            super().enter(pixels)

    monkeypatch.setattr(decoding, "PixelGate", Noting)
    whole = io.BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(whole, "png", compress_level=0)
    pictures = [whole.getvalue(), whole.getvalue()[:300]]  # of the second no pixel can be made

    def render_picture(index: int) -> np.ndarray:
        return np.asarray(decode(pictures[index], index))[None]

    (batch,) = decode_batches([range(2)], render_picture, workers)
    assert entered == [600, 600]
    assert [index for index, _ in batch.failed] == [1]
