"""Several fits at once: small ones leave a second core idle, so each takes its own thread.

torch gives the interpreter lock back inside its operators, so threads serve as well as processes, share the
features and need no start-up.
"""

from __future__ import annotations

import contextvars
import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

from ltfix.errors import InputError, UsageError
from ltfix.progress import Progress
from ltfix.stage2.fitting.context import Material

MOST_THREADS = 4
SMALL = 1 << 20
"""Weights of a head, below which a fit of its own a core is no slower than all cores at one fit, and does not
wait at every product where the machine is shared."""

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):
    """Another fit failed, or the user interrupted: this one ends at its next epoch."""


class SharedProgress:
    """One progress for many fits: it counts finished ones, and passes on what each says, once.

    Before they are counted, what they share (the linear probe) shows itself.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stopped, self.counting = threading.Event(), False
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

    def advance(self, n: int = 1) -> None:
        """So many fits more are done."""
        with self._lock:
            self.progress.advance(n)


@dataclasses.dataclass(frozen=True, slots=True)
class _Within:
    shared: SharedProgress
    name: str | None
    quiet: bool

    @property
    def hidden(self) -> bool:
        return self.quiet or self.shared.counting

    def start(self, what: str, total: int, unit: str) -> None:
        if self.hidden:
            self.advance(0)
        else:
            self.shared.progress.start(what, total, unit)

    def advance(self, n: int = 1) -> None:
        if self.shared.stopped.is_set():
            raise Stopped
        self.shared.advance(0 if self.hidden else n)  # a log is due a line though no fit ends

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        first = text.split(maxsplit=1)[0].rstrip(":")  # the method, say, of which this is one row
        if f"{self.name}-".startswith(f"{first}-"):
            text = f"{self.name}{text.removeprefix(first)}"
        known = self.name is None or self.name in text
        if not self.quiet:
            self.shared.note(text if known else f"{self.name}: {text}")

    def finish(self) -> None:
        if not self.hidden:
            self.shared.progress.finish()


def threads_for(material: Material) -> int:
    """How many fits go at once: one on a GPU, for large heads, and for features that are streamed."""
    small = material.n_classes * material.data.dim <= SMALL and not material.data.streamed
    on_cpu = material.compute.device.type == "cpu"
    return min(MOST_THREADS, torch.get_num_threads()) if small and on_cpu else 1


def run_each(
    work: Callable[[T], R], items: Sequence[T], shared: SharedProgress, what: str, threads: int = 1
) -> list[R | InputError | UsageError]:
    """Do ``work`` on every method of ``items``, so many at once, and count those that are done.

    Returns:
        What ``work`` made of each, in order; where a method cannot run on the cache, the error that says why.

    Raises:
        Whatever else ``work`` raised first; the others are stopped.
    """

    def attempt(item: T) -> R | InputError | UsageError:
        try:
            return work(item)
        except (InputError, UsageError) as err:
            return err

    if not items:
        return []
    shared.counting = True
    shared.progress.start(what, len(items), "methods")
    try:
        if threads > 1 and len(items) > 1:
            return _in_threads(attempt, items, shared, threads)
        found = []
        for item in items:
            found.append(attempt(item))
            shared.advance()
        return found
    finally:
        shared.counting = False
        shared.progress.finish()


def _in_threads(work: Callable[[T], R], items: Sequence[T], shared: SharedProgress, threads: int) -> list[R]:
    """Each thread has one of torch's own; they are given back at the end."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        running = [pool.submit(contextvars.copy_context().run, work, item) for item in items]
        for future in as_completed(running):
            future.result()
            shared.advance()
        return [future.result() for future in running]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        shared.stopped.set()
        raise
    finally:
        pool.shutdown()
        torch.set_num_threads(before)
