"""Tables of results: raw values under typed columns, and how each is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from typing import Any, Literal
from unicodedata import combining, east_asian_width

from ltfix.errors import readable

ColumnKind = Literal[
    "text", "count", "percent", "number", "value", "spread", "interval", "difference", "gain"
]
ALPHA = 0.05
"""Differences of a smaller corrected p are marked."""
EMPTY = "–"
BEST_NOTE = "* best in its column"
PARTS = {"spread": ("mean", "std"), "interval": ("low", "high"), "difference": ("value", "low", "high")}
"""Of each kind whose values are mappings, their keys."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a :class:`Table`.

    Attributes:
        key: where its values stand in a row; the name of the csv column.
        title: what people read above it.
        kind: "percent" holds fractions and shows 100 times them with the table's decimals, "spread" such a
            ``mean`` and its ``std`` (None of one run), "interval" its ``low`` and ``high``, "difference" a
            ``value`` too, "gain" its ``value`` and † where its ``p_holm`` is small, "number" shows three
            significant digits, "value" what was set, "count" integers, "text" words.
        best: whether the largest ("max") or smallest ("min") value is marked.
        csv_only: part of the csv, not of what people read.
        aside: not part of LaTeX: no paper has such a column.
        note: a line below the table, where the column is shown.
    """

    key: str
    title: str
    kind: ColumnKind = "text"
    best: Literal["max", "min"] | None = None
    csv_only: bool = False
    aside: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows of raw values under typed columns.

    Attributes:
        columns: in order.
        rows: one mapping a row from column key to raw value: str, int, float, or None where there is none.
        title: what the table is of.
        notes: lines to print below it.
        essential: so many columns stay on a terminal that is too narrow for all; None: every one.
        digits: the decimals of percentages.
        tidy: what the csv holds instead, where people read other rows.
    """

    columns: tuple[Column, ...]
    rows: Sequence[dict[str, Any]]
    title: str = ""
    notes: tuple[str, ...] = ()
    essential: int | None = None
    digits: int = 1
    tidy: Table | None = None

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that people read."""
        return tuple(column for column in self.columns if not column.csv_only)

    @property
    def below(self) -> tuple[str, ...]:
        """What stands below it: notes of its columns, then its own."""
        return (*(column.note for column in self.shown if column.note), *self.notes)

    def cells(self) -> list[list[str]]:
        """The shown columns as text, row by row, without marks."""
        return [
            [format_value(row.get(column.key), column.kind, self.digits) for column in self.shown]
            for row in self.rows
        ]

    def __str__(self) -> str:
        """As the command line prints it into a pipe or a file."""
        best = self.best()
        body = aligned(
            [c.title for c in self.shown], self.cells(), [c.kind != "text" for c in self.shown], best
        )
        lines = [*([self.title] if self.title else []), *body, *self.below, *([BEST_NOTE] if best else [])]
        return "\n".join(map(readable, lines))

    def best(self) -> set[tuple[int, int]]:
        """(row, shown column) of every best value; equal as printed is equally good, none where all are."""
        marked: set[tuple[int, int]] = set()
        if len(self.rows) < 2:
            return marked
        cells = self.cells()
        for index, column in enumerate(self.shown):
            if column.best is None:
                continue
            known = [
                (_rank(row[column.key]), i)
                for i, row in enumerate(self.rows)
                if row.get(column.key) is not None
            ]
            if not known:
                continue
            winner = max(known)[1] if column.best == "max" else min(known)[1]
            shown = [cell[index].partition(" ")[0] for cell in cells]
            equal = {(i, index) for _, i in known if shown[i] == shown[winner]}
            marked |= equal if len(equal) < len(known) or len(known) == 1 else set()
        return marked


def aligned(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    best: Set[tuple[int, int]] = frozenset(),
) -> list[str]:
    """Lines of plain text: headings, a rule, rows; cells of ``best``, (row, column), have a ``*``."""
    marked = {column for _, column in best}

    def line(number: int, row: Sequence[str]) -> list[str]:
        ends = ("*" if (number, j) in best else " " * (right[j] and j in marked) for j in range(len(row)))
        return [cell + end for cell, end in zip(row, ends, strict=True)]

    lines = [line(number, row) for number, row in enumerate([columns, *cells], -1)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]

    def padded(text: str, width: int, flush_right: bool) -> str:
        blank = " " * (width - _width(text))
        return blank + text if flush_right else text + blank

    heading, *rows = ("   ".join(map(padded, row, widths, right)).rstrip() for row in lines)
    return [heading, "─" * (sum(widths) + 3 * (len(widths) - 1)), *rows]


def _width(text: str) -> int:
    """The cells that it takes on a screen."""
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def _rank(value: Any) -> Any:
    return value["mean"] if isinstance(value, dict) else value


def format_value(value: Any, kind: ColumnKind, digits: int = 1) -> str:
    """One value as people read it, percentages with so many decimals; ``–`` for None."""
    if value is None:
        return EMPTY
    if kind in PARTS:
        joint = " ± " if kind == "spread" else " to "
        parts = (value[part] for part in PARTS[kind])
        return joint.join(format_value(part, "percent", digits) for part in parts if part is not None)
    if kind in ("percent", "gain"):
        share = round(100 * (value["value"] if kind == "gain" else value), 9)  # whatever the order of a sum
        if kind == "percent":
            return f"{share:.{digits}f}".replace("-", "−")
        mark = " †" if value["p_holm"] < ALPHA else "  "  # so that the digits stand below each other
        return f"{share:+.{digits}f}".replace("-", "−") + mark
    if kind == "number":
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
        return f"{value:.{digits}f}"
    return readable(f"{value:.4g}" if kind == "value" and isinstance(value, float) else str(value))
