"""What decoding tells beside the picture, and how many pixels are in memory at one time.

A thread that decodes for an extraction does so inside :func:`watching`; whatever source opens its pictures
then waits for room and leaves its remarks there. Outside of it both are ignored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator

import numpy as np

from ltfix.progress import Progress

MAX_PIXELS = 178_956_970  # where Pillow, too, speaks of a decompression bomb

JpegDecoder = Callable[[bytes], np.ndarray]

_here = threading.local()


class PixelGate:
    """Lets threads decode side by side up to ``pixels`` together; one picture of more waits to be alone."""

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        self.pixels, self._held, self._changed = pixels, 0, threading.Condition()

    def enter(self, pixels: int) -> None:
        """Wait until there is room for so many."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + pixels <= self.pixels)
            self._held += pixels

    def leave(self, pixels: int) -> None:
        """Give the room back."""
        with self._changed:
            self._held -= pixels
            self._changed.notify_all()


@dataclasses.dataclass(slots=True, eq=False)
class Watch:
    """What one thread's decoding came to.

    Attributes:
        gate: where it waits for room.
        remarks: what was noticed of the picture that is being decoded; they are named with it.
        held: the pixels that it has room for.
        jpeg: decodes a JPEG to [H, W, 3] uint8 in place of Pillow; None: Pillow does.
    """

    gate: PixelGate
    jpeg: JpegDecoder | None = None
    remarks: list[str] = dataclasses.field(default_factory=list)
    held: int = 0

    def hold(self, pixels: int) -> None:
        """Wait for the room that a picture of so many pixels takes."""
        if not self.held:  # a second picture goes with the first, or two threads could block
            self.gate.enter(pixels)
            self.held = pixels


@contextlib.contextmanager
def watching(gate: PixelGate, jpeg: JpegDecoder | None = None) -> Iterator[Watch]:
    """Watch what this thread decodes; the room that it took is given back at the end."""
    watch = _here.watch = Watch(gate, jpeg)
    try:
        yield watch
    finally:
        _here.watch = None
        if watch.held:
            gate.leave(watch.held)


def current() -> Watch:
    """The watch of this thread; one that nobody looks at where there is none."""
    return getattr(_here, "watch", None) or Watch(PixelGate())


class Remarks:
    """Remarks on the images of the split of that name, counted."""

    def __init__(self, split: str) -> None:
        self.split = split
        self._found: dict[str, tuple[int, str]] = {}  # how often, and of which image first

    def add(self, sample: str, text: str) -> None:
        """Count a remark on one image."""
        count, first = self._found.get(text, (0, sample))
        self._found[text] = count + 1, first

    def tell(self, progress: Progress) -> None:
        """A note for each kind of remark."""
        for text, (count, first) in self._found.items():
            some, more = "s" * (count > 1), ", …" * (count > 1)
            progress.note(f"{count:,} image{some} of {self.split}: {text} ({first}{more})")
