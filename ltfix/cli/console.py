"""What the user sees: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ltfix.cli import config
from ltfix.errors import UsageError
from ltfix.progress import SILENT, Progress

WIDTH = 80


def note(text: str) -> None:
    """One line to the user on stderr; nothing with --quiet."""
    if not config.current().quiet:
        print("ltfix: " + " ".join(text.split()), file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Text to stdout, ending in one line break; a character the terminal lacks becomes ``?``."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write((text.rstrip("\n") + "\n").encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Demand --overwrite before a file or folder is replaced.

    Raises:
        UsageError: ``path`` exists and ``overwrite`` is false.
    """
    if path.exists() and not overwrite:
        raise UsageError("already there", where=path, hint="--overwrite replaces it")


def deliver(text: str, output: Path | None, *, overwrite: bool = False) -> None:
    """A result to stdout (``output`` None or ``-``) or, whole or not at all, into a file.

    Raises:
        UsageError: the file exists and ``overwrite`` is false.
        EnvironmentFault: it cannot be written.
    """
    if output is None or str(output) == "-":
        write(text)
        return
    from ltfix import files

    refuse_existing(output, overwrite=overwrite)
    files.write_text(output, text.rstrip("\n") + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Print a plain table to stdout.

    A terminal's width is kept by folding long cells; into a pipe or file every row stays one line.

    Args:
        columns: headings; columns whose cells are all numbers are set flush right.
        rows: cells, shown by ``str``; None is shown as ``–``.
        title: a line above the table.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    shown = [["–" if cell is None else str(cell) for cell in row] for row in rows]
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, title=title, title_justify="left")
    for i, column in enumerate(columns):
        right = bool(shown) and all(_is_number(row[i]) for row in shown)
        drawn.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=not console.is_terminal
        )
    if not console.is_terminal:
        console.width = max(
            WIDTH, console.measure(drawn, options=console.options.update(width=10_000)).maximum
        )
    with console.capture() as capture:
        console.print(drawn)
    write("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _is_number(cell: str) -> bool:
    bare = cell.replace("±", " ").replace("%", " ").replace(",", "").split()
    try:
        [float(part) for part in bare if part not in ("–", "-")]
    except ValueError:
        return False
    return True


def progress(quiet: bool = False) -> Progress:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere, nothing with --quiet."""
    if quiet or config.current().quiet:
        return SILENT
    if sys.stderr.isatty():
        from ltfix.cli.progress import Bar

        return Bar()
    from ltfix.cli.progress import Lines

    return Lines(lambda text: print(text, file=sys.stderr, flush=True))
