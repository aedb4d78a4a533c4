"""Tables as people read them: rich's layout, plain when piped, nothing cut off."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import TYPE_CHECKING

from ltfix.bars import hung
from ltfix.cli.printable import printable
from ltfix.evaluation.table import BEST_NOTE, EMPTY, aligned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

    from ltfix.evaluation.table import Table

FOLDED = 14  # words are folded no narrower than this
_PAD = "\ue000"  # stands for a blank that rich would trim


def draw(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    best: Set[tuple[int, int]] = frozenset(),
    right: Sequence[bool] | None = None,
    plain: bool = False,
    essential: int | None = None,
    footnotes: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """A table as text.

    On a terminal its width is kept by folding text, then by leaving out columns from the right where that
    is allowed; numbers are never cut. Into a pipe or file every row stays one line and nothing is coloured.

    Args:
        columns: headings.
        rows: cells, shown by ``str``; None is shown as ``–``.
        title: a line above the table.
        notes: lines below it.
        best: (row, column) of cells to mark with ``*``, in bold where there is colour.
        right: columns set flush right; default: those whose cells are all numbers.
        plain: for a file, though stdout may be a terminal.
        essential: so many columns always stay; None: all.
        footnotes: of a column, by its place, what is said below where it is shown.
    """
    from rich.console import Console

    cells = [[EMPTY if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if right is None:
        right = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(columns))]
    console = Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, force_terminal=False if plain else None
    )
    notes = list(notes)
    if not console.is_terminal:
        body, notes = aligned(columns, cells, right, best), [*footnotes.values(), *notes]
    else:
        widest, words = _widths(columns, cells, best, right)
        longest, at_least = max(words, default=0), words
        while longest > FOLDED and _total(at_least) > console.width:
            longest -= 1
            at_least = [n if right[i] else min(n, longest) for i, n in enumerate(words)]
        kept = _that_fit(at_least, console.width, len(columns) if essential is None else essential)
        if kept < len(columns):
            footnotes = {i: note for i, note in footnotes.items() if i < kept}
            notes.append(f"Left out for want of width: {', '.join(columns[kept:])}.")
        columns, cells = columns[:kept], [row[:kept] for row in cells]
        notes = [hung(note, console.width) for note in [*footnotes.values(), *notes]]
        title = hung(title, console.width)
        console.width = max(console.width, _total(at_least[:kept]))
        widths = _squeezed(widest[:kept], at_least[:kept], console.width)
        body = _printed(console, _grid(columns, cells, best, right, widths))
    return "\n".join([*map(printable, [title] if title else []), *body, *map(printable, notes)])


def _widths(
    columns: Sequence[str], cells: Sequence[Sequence[str]], best: Set[tuple[int, int]], right: Sequence[bool]
) -> tuple[list[int], list[int]]:
    """Of each column, its own width, and that of its longest word; numbers are one."""
    from rich.cells import cell_len

    marked = {column for _, column in best}
    widest, words = [], []
    for i, column in enumerate(columns):
        texts = [column, *(row[i] for row in cells)]
        widest.append(max(map(cell_len, texts)) + (i in marked and right[i]))
        words.append(widest[i] if right[i] else max(map(cell_len, " ".join(texts).split()), default=0))
    return widest, words


def _squeezed(widths: list[int], at_least: Sequence[int], width: int) -> list[int]:
    """Widths that fit, taken from the widest columns that may be narrower."""
    found = list(widths)
    while _total(found) > width:
        may = [i for i, least in enumerate(at_least) if found[i] > least]
        found[max(may, key=lambda i: found[i])] -= 1
    return found


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * (len(widths) - 1)  # rich pads both sides and draws one blank between


def _that_fit(widths: Sequence[int], width: int, essential: int) -> int:
    kept = len(widths)
    while kept > essential and _total(widths[:kept]) > width:
        kept -= 1
    return kept


def draw_result(table: Table, *, plain: bool = False) -> str:
    """A table of an evaluation report as text: percent with one decimal, the best per column marked."""
    best = table.best()
    notes = list(table.notes) + ([BEST_NOTE] if best else [])
    return draw(
        [column.title for column in table.shown],
        table.cells(),
        title=table.title,
        notes=notes,
        best=best,
        right=[column.kind != "text" for column in table.shown],
        plain=plain,
        essential=table.essential,
        footnotes={i: column.note for i, column in enumerate(table.shown) if column.note},
    )


def size(n: int) -> str:
    """A number of bytes as a cell: ``300 bytes``, ``1.2 KiB``."""
    if n < 1024:
        return f"{n} bytes"
    power = min((n.bit_length() - 1) // 10, 3)
    return f"{n / 1024**power:.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _grid(
    columns: Sequence[str],
    cells: list[list[str]],
    best: Set[tuple[int, int]],
    right: Sequence[bool],
    widths: Sequence[int],
) -> RichTable:
    """The table; text that is wider than its column is folded."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    marked = {column for _, column in best}
    for i, column in enumerate(columns):
        heading = column + (_PAD if i in marked and right[i] else "")
        grid.add_column(heading, justify="right" if right[i] else "left", overflow="fold", width=widths[i])
    for r, row in enumerate(cells):
        texts = []
        for c, cell in enumerate(row):
            star = "*" if (r, c) in best else _PAD if c in marked and right[c] else ""
            blanks = len(cell) - len(cell.rstrip())
            texts.append(Text(cell.rstrip() + _PAD * blanks + star, style="bold" if (r, c) in best else ""))
        grid.add_row(*texts)
    return grid


def _printed(console: Console, grid: RichTable) -> list[str]:
    with console.capture() as capture:
        console.print(grid)
    return [line.replace(_PAD, " ").rstrip() for line in capture.get().splitlines()]


def _is_number(cell: str) -> bool:
    try:
        [float(part) for part in cell.replace("±", " ").replace("%", " ").split() if part != EMPTY]
    except ValueError:
        return False
    return True
