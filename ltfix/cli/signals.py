"""Ctrl-C and SIGTERM: whenever they come, the process ends with their code and says one line.

A signal is raised where the program stands, so that its clean-up runs. In the middle of an import, which may
swallow an exception or die of it, there is nothing to clean up yet, and the process ends there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from ltfix.cli import config

_PATIENCE = 1.0  # seconds that clean-up may take; who asks again after them wants an end at once


class Terminated(BaseException):
    """SIGTERM, raised where the program stands so that its clean-up runs."""


ENDINGS: dict[int, tuple[type[BaseException], str, int]] = {  # what is raised, the word, the exit code
    signal.SIGINT: (KeyboardInterrupt, "interrupted", 130),
    signal.SIGTERM: (Terminated, "terminated", 143),
}


class _Catcher:
    """Handles the signals of one process."""

    def __init__(self) -> None:
        self.process, self.raised = os.getpid(), -_PATIENCE  # when a signal was raised, none yet
        self.any = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise the first signal; those that follow at once are the same one."""
        if os.getpid() != self.process:  # a forked worker: its parent speaks
            os._exit(ENDINGS[number][2])
        if time.monotonic() - self.raised < _PATIENCE:
            return
        if self.any or _is_importing(frame):
            _leave(number)
        self.any, self.raised = True, time.monotonic()
        raise ENDINGS[number][0]

    def hook(self, found: Any) -> None:
        """An exception that a destructor could not raise: a signal is sent again, when that is over."""
        number = next((n for n, (kind, *_) in ENDINGS.items() if isinstance(found.exc_value, kind)), None)
        if number is None:
            sys.__unraisablehook__(found)
            return
        self.any, self.raised = False, -_PATIENCE
        again = threading.Timer(0.02, _send, [number])
        again.daemon = True
        again.start()


@contextlib.contextmanager
def caught(last: bool = False) -> Iterator[None]:
    """A block, in the main thread, in which both signals are raised; one that the shell ignores stays so.

    Args:
        last: the process ends after it: where a signal was raised, one that follows ends it at once and
            says nothing more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    catcher, hook = _Catcher(), sys.unraisablehook
    before = {number: signal.getsignal(number) for number in ENDINGS}
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        sys.unraisablehook = catcher.hook
        for number in taken:
            signal.signal(number, catcher.handle)
        yield
    finally:
        for number in taken:
            signal.signal(number, _end if last and catcher.any else before[number])
        sys.unraisablehook = hook


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave(number: int) -> NoReturn:
    for act in config.current().clean_up:
        with contextlib.suppress(Exception):
            act()
    with contextlib.suppress(OSError):
        os.write(2, f"ltfix: {ENDINGS[number][1]}\n".encode())
    os._exit(ENDINGS[number][2])


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """What is left of the process may hang behind a thread of others, and all is said."""
    os._exit(ENDINGS[number][2])


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill") and threading.main_thread().ident is not None:
        signal.pthread_kill(threading.main_thread().ident, number)  # type: ignore[arg-type]
    else:
        import _thread

        _thread.interrupt_main(signal.Signals(number))
