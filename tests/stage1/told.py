"""A progress that keeps what it is told, and equality of runs."""

from __future__ import annotations

from pathlib import Path


class Told:
    """Keeps what it is told; stops at a note, as Ctrl-C does."""

    def __init__(self, stop_at: str = "\0") -> None:
        self.notes: list[str] = []
        self.done, self.stop_at = 0, stop_at

    def start(self, what: str, total: int, unit: str) -> None:
        self.done = 0

    def advance(self, n: int = 1) -> None:
        self.done += n

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)
        if self.stop_at in text:
            raise KeyboardInterrupt

    def finish(self) -> None: ...


def same(first: Path, second: Path) -> bool:
    return all(
        (first / name).read_bytes() == (second / name).read_bytes()
        for name in ("backbone.safetensors", "classifier.safetensors")
    )
