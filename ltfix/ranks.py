"""The processes that ``torchrun`` started together: which of them this is, and what they tell each other."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ltfix.progress import Progress

T = TypeVar("T")
_TURNS = itertools.count()  # all processes do the same, so their numbers agree
_CONNECT = datetime.timedelta(seconds=60)
_PATIENCE = datetime.timedelta(days=30)  # the slowest may take its time; torchrun ends all where one fails


@dataclasses.dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many this process is, among all and among those of this host.

    Attributes:
        rank, size: of all. local, local_size: of this host.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one speaks for all."""
        return self.rank == 0


def ranks() -> Ranks:
    """What ``torchrun`` told this process; one alone where it told nothing."""
    told = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    rank, size, local, local_size = (int(text) if text.isdecimal() else None for text in told)
    if not size or size == 1 or not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return Ranks()
    return Ranks(rank or 0, size, local or 0, local_size or 1)


@functools.cache
def store() -> Any:
    """The table of keys and numbers that the processes share."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    opened, _, _ = next(iter(rendezvous("env://", timeout=_CONNECT)))
    return PrefixStore("ltfix", opened)


def first_to_tell() -> bool:
    """Whether this process is to say how all of them ended: the first that asks.

    Before torch is loaded they all end alike, and the first by number does.
    """
    own = ranks()
    if own.size == 1 or "torch" not in sys.modules:
        return own.first
    try:
        return bool(store().add("told", 1) == 1)
    except (RuntimeError, ValueError):  # who keeps the table has ended: it told
        return own.first


def first_then_others(act: Callable[[], T]) -> T:
    """What an act gives, which the first process does before the others do."""
    own = ranks()
    if own.size == 1:
        return act()
    turn = f"turn {next(_TURNS)}"
    if not own.first:
        store().wait([turn], _PATIENCE)
        return act()
    result = act()
    store().set(turn, "")
    return result


def end_together() -> None:
    """Say that this process needs the shared table no more; the first one, which keeps it, waits for all."""
    own = ranks()
    if own.size == 1:
        return
    turn = f"turn {next(_TURNS)}"
    with contextlib.suppress(RuntimeError):  # one died, which torchrun says
        store().set(f"{turn} {own.rank}", "")
        if own.first:
            store().wait([f"{turn} {rank}" for rank in range(own.size)], _CONNECT)


class OneProgress:
    """The progress of all processes as one, which the first of them shows."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.first = progress, ranks().first
        self._task, self._shown = "", 0

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task, the same in every process."""
        self._task, self._shown = what, 0
        if self.first:
            self.progress.start(what, total, unit)

    def advance(self, n: int = 1) -> None:
        """Report ``n`` more units done by this process; 0 looks at what the others did."""
        try:
            done = store().add(self._task, n)
        except RuntimeError:  # the first, which keeps the table, has died: the shards are made all the same
            if self.first:
                raise
            return
        if self.first:
            self.progress.advance(done - self._shown)
            self._shown = done

    def describe(self, text: str) -> None:
        """Show words beside the count."""
        if self.first:
            self.progress.describe(text)

    def note(self, text: str) -> None:
        """Say one line: whichever process has something to say."""
        self.progress.note(text)

    def finish(self) -> None:
        """End the task."""
        if self.first:
            self.progress.finish()
