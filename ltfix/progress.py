"""How long work reports its progress: it calls a ``Progress``; whoever passed it decides what is shown."""

from __future__ import annotations

from typing import Protocol

from ltfix.errors import UsageError


class Progress(Protocol):
    """One running task at a time, and messages. The CLI draws it; ``SILENT`` drops it."""

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task of ``total`` units (images, epochs, …), 0 where nobody knows."""

    def advance(self, n: int = 1) -> None:
        """Report ``n`` more units done."""

    def describe(self, text: str) -> None:
        """Show words beside the running task's count, in place of the last ones: loss, accuracy, ….

        For a display that can be redrawn. A task that describes itself tells logs by notes: there its
        count is not shown.
        """

    def note(self, text: str) -> None:
        """Say one line that the user should read."""

    def finish(self) -> None:
        """End the task."""


class _Silent:
    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def describe(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self) -> None: ...


SILENT: Progress = _Silent()


class Noted:
    """Another progress, of which the notes are kept, each once."""

    def __init__(self, to: Progress) -> None:
        self.notes: list[str] = []
        self._to = to

    def note(self, text: str) -> None:
        """Keep it, and pass it on."""
        self.notes += [] if text in self.notes else [text]
        self._to.note(text)

    def start(self, what: str, total: int, unit: str) -> None:
        """Passed on, as all else."""
        self._to.start(what, total, unit)

    def advance(self, n: int = 1) -> None:
        """Passed on."""
        self._to.advance(n)

    def describe(self, text: str) -> None:
        """Passed on."""
        self._to.describe(text)

    def finish(self) -> None:
        """Passed on."""
        self._to.finish()


def listener(progress: Progress | bool) -> Progress:
    """Who is told: a ``Progress``, True for a bar (in a notebook too), False for nobody (else UsageError)."""
    if not isinstance(progress, bool):
        if not hasattr(progress, "start"):
            raise UsageError(
                f"progress is {progress!r}", where="progress", hint="True, or a ltfix.progress.Progress"
            )
        return progress
    if not progress:
        return SILENT
    from ltfix.bars import bar_here

    return bar_here()
