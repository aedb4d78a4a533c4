"""Several fits at once: small ones leave a second core idle, so each takes its own thread.

torch gives the interpreter lock back inside its operators, so threads serve as well as processes, share the
features and need no start-up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch

from ltfix.progress import Progress
from ltfix.stage2.fitting.context import Material

MOST_JOBS = 4
SMALL = 1 << 16
"""Weights of a head, below which one fit does not keep several cores busy."""

Item = TypeVar("Item")


class Stopped(Exception):
    """Another fit failed, or the user interrupted: this one ends at its next epoch."""


class Teller:
    """One progress for many fits: it counts finished ones, and passes on what each says, once.

    Args:
        progress: who shows it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stopped = threading.Event()
        self._lock, self._said = threading.Lock(), set[str]()

    def within(self, name: str | None, *, quiet: bool = False) -> Progress:
        """The progress of one fit of that name; its own counts are not shown, and if ``quiet`` nothing is."""
        return _Within(self, name, quiet)

    def note(self, text: str) -> None:
        """Say one line, unless it was said before."""
        with self._lock:
            if text not in self._said:
                self._said.add(text)
                self.progress.note(text)

    @contextlib.contextmanager
    def task(self, what: str, total: int, unit: str) -> Iterator[None]:
        """A task of ``total`` units, ended also by an error."""
        self.progress.start(what, total, unit)
        try:
            yield
        finally:
            self.progress.finish()

    def advance(self) -> None:
        """One unit more is done."""
        with self._lock:
            self.progress.advance(1)


@dataclasses.dataclass(frozen=True, slots=True)
class _Within:
    teller: Teller
    name: str | None
    quiet: bool

    def start(self, what: str, total: int, unit: str) -> None:
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        if self.teller.stopped.is_set():
            raise Stopped

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        known = self.name is None or self.name in text
        if not self.quiet:
            self.teller.note(text if known else f"{self.name}: {text}")

    def finish(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Crew:
    """So many threads, each with so many of torch's own."""

    jobs: int

    @classmethod
    def of(cls, material: Material) -> Crew:
        """As many as fit: one on a GPU, for large heads, and for features that are streamed."""
        small = material.n_classes * material.data.dim <= SMALL and not material.data.streamed
        on_cpu = torch.device(material.options.device).type == "cpu"
        return cls(min(MOST_JOBS, torch.get_num_threads()) if small and on_cpu else 1)

    def each(self, work: Callable[[Item], Any], items: Sequence[Item], teller: Teller) -> None:
        """Do ``work`` on every item and count it; the first error stops all.

        Raises:
            whatever ``work`` raised first.
        """
        if self.jobs == 1 or len(items) < 2:
            for item in items:
                work(item)
                teller.advance()
            return
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(self.jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                running = [pool.submit(self._one, work, item, teller) for item in items]
                done, _ = wait(running, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                teller.stopped.set()
                pool.shutdown(cancel_futures=True)
                torch.set_num_threads(threads)
        teller.stopped.clear()

    @staticmethod
    def _one(work: Callable[[Item], Any], item: Item, teller: Teller) -> None:
        work(item)
        teller.advance()
