"""How far the work is: a bar on a terminal or in a notebook, a line now and then in a log."""

from __future__ import annotations

import html
import sys
import textwrap
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ltfix.errors import readable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

QUIET_SECONDS = 2.0  # a task shorter than this says nothing in a log
EVERY_SECONDS = 10.0
EVERY_SHARE = 0.1
REDRAW_SECONDS = 0.05
MOST_NOTES = 20  # below a notebook's bar
HANGING = " " * len("ltfix: ")  # before the further lines of a note


def bar_here() -> NotebookBar | ProgressBar | ProgressLines:
    """What suits where this runs: a notebook, a terminal, or neither."""
    from rich.console import Console

    if Console(stderr=True).is_jupyter:
        from IPython.display import HTML, display

        shown = display(HTML(""), display_id=True)
        return NotebookBar(lambda text: shown.update(HTML(text)))
    if sys.stderr.isatty():
        return ProgressBar()
    return ProgressLines(lambda text: sys.stderr.write(f"{text}\n"))


def plain(text: str) -> str:
    """``text`` on one line, without what a terminal would obey."""
    return readable(" ".join(text.split()))


def hung(text: str, width: int, indent: str = "  ") -> str:
    """A sentence on lines that break between words alone, those after the first indented."""
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def duration(seconds: float) -> str:
    """``95`` -> ``1 min 35 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(done: float, seconds: float, unit: str) -> str:
    """``1234.5 images/s``, with the digits that mean something."""
    speed = done / seconds if seconds > 0 else 0.0
    return f"{speed:.0f} {unit}/s" if speed >= 100 else f"{speed:.3g} {unit}/s"


class ProgressLines:
    """Progress as a line every ten seconds or tenth part; short tasks say nothing.

    Args:
        say: takes one finished line.
        clock: seconds that only grow.
        clean: makes of a text one line that may be shown.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        clean: Callable[[str], str] = plain,
    ) -> None:
        self._say, self._clock, self._clean = say, clock, clean
        self._what, self._unit = "", ""
        self._total = self._done = 0
        self._began = self._last = 0.0
        self._share = 0.0
        self._notes_only = False

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task of ``total`` units."""
        self._what, self._total, self._unit = what, total, unit
        self._done, self._share, self._notes_only = 0, 0.0, False
        self._began = self._last = self._clock()

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more units; speak if it is time."""
        self._done += n
        now = self._clock()
        passed, share = now - self._began, self._done / max(self._total, 1)
        due = now - self._last >= EVERY_SECONDS or (
            share - self._share >= EVERY_SHARE and share < 1 and now - self._last >= QUIET_SECONDS
        )
        if due and self._what and share != 1 and not self._notes_only:
            count, told = f"{self._done} {self._unit}", f"{duration(passed)} so far"
            if share < 1:  # else there is more than was expected, or nobody knows
                count = f"{self._done}/{self._total} {self._unit} ({share:.0%})"
            if 0 < share < 1:
                told = f"{rate(self._done, passed, self._unit)}, {duration(passed * (1 / share - 1))} left"
            self._say(f"{self._what}: {count}, {told}")
            self._last, self._share = now, share

    def describe(self, text: str) -> None:
        """Nothing: such a task is told by its notes, and its count is left out."""
        self._notes_only = True

    def note(self, text: str) -> None:
        """Say one line."""
        self._say("ltfix: " + self._clean(text))

    def finish(self) -> None:
        """End the task with its count and rate."""
        passed = self._clock() - self._began
        if self._what and passed >= QUIET_SECONDS:
            self._say(
                f"{self._what}: {self._done} {self._unit} in {duration(passed)}, "
                f"{rate(self._done, passed, self._unit)}"
            )
        self._what = ""


class ProgressBar:
    """Progress as a rich bar on stderr: count, rate, time left; texts are shown as ``clean`` makes them."""

    def __init__(self, clean: Callable[[str], str] = plain) -> None:
        from rich.console import Console

        self._clean = clean
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar: RichProgress | None = None
        self._waiting, self._drawn = 0, 0.0

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task of ``total`` units."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(rate(task.completed, task.elapsed or 0.0, unit))

        self.finish()
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
        )
        self._bar.start()
        self._bar.add_task(self._clean(what), total=total or None, words="")

    def advance(self, n: int = 1) -> None:
        """Move the bar by ``n`` units; drawn a few times a second, so that it may be called every step."""
        self._waiting += n
        now = time.monotonic()
        if now - self._drawn >= REDRAW_SECONDS:
            self._draw()
            self._drawn = now

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], self._waiting)
            task = self._bar.tasks[0]
            if task.total is not None and task.completed > task.total:  # which was a guess
                self._bar.update(task.id, total=None)
        self._waiting = 0

    def describe(self, text: str) -> None:
        """Show ``text`` behind the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], words=self._clean(text))

    def note(self, text: str) -> None:
        """Print one sentence above the bar."""
        line = hung("ltfix: " + self._clean(text), self._console.width, HANGING)
        self._console.print(line, soft_wrap=True)

    def finish(self) -> None:
        """Leave the bar as it stands, and give the cursor back."""
        self._draw()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class NotebookBar:
    """Progress as one bar of a notebook's cell, whichever task runs, with the notes below it.

    Args:
        show: takes the HTML that stands in place of the last.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show, self._notes = show, list[str]()
        self._what = self._unit = self._words = ""
        self._total = self._done = 0
        self._drawn = 0.0

    def start(self, what: str, total: int, unit: str) -> None:
        """Begin a task of ``total`` units."""
        self._what, self._total, self._unit, self._done, self._words = what, total, unit, 0, ""
        self._draw()

    def advance(self, n: int = 1) -> None:
        """Move the bar by ``n`` units; drawn a few times a second."""
        self._done += n
        if time.monotonic() - self._drawn >= 2 * REDRAW_SECONDS:
            self._draw()

    def describe(self, text: str) -> None:
        """Show ``text`` behind the bar."""
        self._words = text

    def note(self, text: str) -> None:
        """Add one line below the bar."""
        self._notes = [*self._notes, text][-MOST_NOTES:]
        self._draw()

    def finish(self) -> None:
        """Leave the bar as it stands."""
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        most = f' value="{self._done}" max="{max(self._total, 1)}"' if self._done <= self._total else ""
        bar = f"<progress{most}></progress>"
        known = f"{self._done}/{self._total}" if self._done <= self._total else f"{self._done}"
        count = f"{known} {self._unit} {self._words}"
        told = "".join(f"<br>{html.escape(plain(note))}" for note in self._notes)
        head = f"{html.escape(plain(self._what))} {bar} {html.escape(plain(count))}" if self._what else ""
        self._show(f"<div>{head}{told}</div>")
