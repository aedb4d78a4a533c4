"""The frozen model over decoded batches, its transfers beside its computing."""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ltfix.backbones.load import Backbone
from ltfix.compute import Compute, lanes
from ltfix.errors import EnvironmentFault
from ltfix.extraction.decode import DecodedBatch

Fetch = Callable[[], np.ndarray]


class Forward:
    """A backbone's model on its device; the backbone's own object, so nothing is kept twice."""

    def __init__(self, backbone: Backbone, compute: Compute, *, compile: bool = False) -> None:
        self.model = compute.place(backbone.model)
        self.normalize, self.compute = backbone.preprocess.normalize, compute
        self._side, self._compiled = backbone.preprocess.image_size, compile
        self._cuda = compute.device.type == "cuda"
        if compile:
            self.model.compile()

    def over(
        self, batches: Iterable[DecodedBatch], size: int, views: int
    ) -> Generator[tuple[DecodedBatch, np.ndarray | None], None, None]:
        """Every batch with its features [B·V, D] float32, None where no image of it could be read.

        A GPU works on the next batch while the features of the last one are fetched. On a CPU each thread has
        a batch of its own: several threads on one would wait for each other at every layer, and do so
        spinning, on the processors that decode.

        Args:
            size: images a batch at most; one alone is answered before the next batch is asked for.
            views: of every image.

        Raises:
            EnvironmentFault: the device has no memory for such a batch.
        """
        started: collections.deque[tuple[DecodedBatch, Fetch | None]] = collections.deque()
        with self._lanes(size, views) as (start, ahead):
            for batch in batches:
                started.append((batch, None if batch.pixels is None else start(batch.pixels)))
                if len(started) > ahead:
                    done, result = started.popleft()
                    yield done, result and result()
            for done, result in started:
                yield done, result and result()

    @contextlib.contextmanager
    def _lanes(self, size: int, views: int) -> Iterator[tuple[Callable[[np.ndarray], Fetch], int]]:
        """What starts a batch, and how many are started beyond the one that is waited for."""
        threads = torch.get_num_threads()
        n = 1 if size == 1 or self._compiled else lanes(threads, size * views, self._side)
        if n == 1 or self.compute.device.type != "cpu":
            yield self._start, int(self._cuda)
            return
        pool = ThreadPoolExecutor(n, "forward", initializer=torch.set_num_threads, initargs=(threads // n,))
        try:
            yield lambda pixels: pool.submit(self._whole, pixels).result, n
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _whole(self, pixels: np.ndarray) -> np.ndarray:
        return self._start(pixels)()

    def _start(self, pixels: np.ndarray) -> Fetch:
        """Begin with [B, V, S, S, 3] uint8; what is returned waits for the features."""
        try:
            return self._queue(torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:])))
        except torch.cuda.OutOfMemoryError as err:
            what = f"out of memory with batches of {len(pixels)}"
            hint = f"try batch_size={max(len(pixels) // 2, 1)}"
            raise EnvironmentFault(what, where=self.compute.device, hint=hint) from err

    def _queue(self, images: torch.Tensor) -> Fetch:
        with self.compute.inference():
            if self._cuda:
                images = images.pin_memory()
            moved = images.to(self.compute.device, non_blocking=self._cuda)
            features = self.model(self.normalize(moved)).float()
            if not self._cuda:
                return functools.partial(_array, features.cpu())
            fetched = torch.empty(features.shape, dtype=torch.float32, pin_memory=True)
            fetched.copy_(features, non_blocking=True)
            there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            there.record(torch.cuda.current_stream(self.compute.device))

        def result() -> np.ndarray:
            there.synchronize()
            return _array(fetched)

        return result


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.numpy()
    return array
