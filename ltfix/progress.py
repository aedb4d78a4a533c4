"""How the library tells of its progress: it calls these, whoever shows them implements them."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One running task at a time, and messages. The CLI draws it; ``SILENT`` drops it."""

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task of ``total`` units (images, epochs, …)."""

    def advance(self, n: int = 1) -> None:
        """Report ``n`` more units done."""

    def note(self, text: str) -> None:
        """Say one line that the user should read."""

    def finish(self) -> None:
        """End the task."""


class _Silent:
    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self) -> None: ...


SILENT: Progress = _Silent()
