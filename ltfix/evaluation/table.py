"""Tables of results and their plain renderings: csv (raw values) and markdown (as people read it)."""

from __future__ import annotations

import abc
import csv
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ltfix import files
from ltfix.errors import UsageError

ColumnKind = Literal["text", "count", "percent", "number", "value", "spread"]
EMPTY = "–"
_SPREAD = ("mean", "std")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a :class:`Table`.

    Attributes:
        key: where its values stand in a row; the name of the csv column.
        title: what people read above it.
        kind: "percent" holds fractions and shows 100 times them with one decimal, "spread" such a ``mean``
            and its ``std`` (None of one run), "number" shows three significant digits, "value" what
            was set, "count" integers, "text" words.
        best: whether the largest ("max") or smallest ("min") value is marked.
        csv_only: part of the csv, not of what people read.
    """

    key: str
    title: str
    kind: ColumnKind = "text"
    best: Literal["max", "min"] | None = None
    csv_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows of raw values under typed columns.

    Attributes:
        columns: in order.
        rows: one mapping a row from column key to raw value: str, int, float, or None where there is none.
        title: what the table is of.
        notes: lines to print below it.
        essential: so many columns stay on a terminal that is too narrow for all; None: every one.
    """

    columns: tuple[Column, ...]
    rows: Sequence[dict[str, Any]]
    title: str = ""
    notes: tuple[str, ...] = ()
    essential: int | None = None

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that people read."""
        return tuple(column for column in self.columns if not column.csv_only)

    def cells(self) -> list[list[str]]:
        """The shown columns as text, row by row, without marks."""
        return [
            [format_value(row.get(column.key), column.kind) for column in self.shown] for row in self.rows
        ]

    def best(self) -> set[tuple[int, int]]:
        """(row, shown column) of every best value; equal as printed is equally good, none where all are."""
        marked: set[tuple[int, int]] = set()
        if len(self.rows) < 2:
            return marked
        cells = self.cells()
        for index, column in enumerate(self.shown):
            known = [
                (_rank(row[column.key]), i)
                for i, row in enumerate(self.rows)
                if row.get(column.key) is not None
            ]
            if column.best is None or not known:
                continue
            winner = max(known)[1] if column.best == "max" else min(known)[1]
            shown = [cell[index].partition(" ")[0] for cell in cells]
            equal = {(i, index) for _, i in known if shown[i] == shown[winner]}
            marked |= equal if len(equal) < len(known) or len(known) == 1 else set()
        return marked


class Result(abc.ABC):
    """What a command found: one JSON document, and the tables that people read."""

    __slots__ = ()

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md: fractions, None where there is no value."""

    @abc.abstractmethod
    def tables(self) -> list[Table]:
        """What people read; the first one is also the csv."""

    def render(self, form: str) -> str:
        """All of it as "json" or "markdown" text, or the first table's raw values as "csv".

        Raises:
            UsageError: another format.
        """
        if form == "json":
            return json_text(self.to_dict())
        if form == "csv":
            return encodable(to_csv(self.tables()[0]))
        if form == "markdown":
            return to_markdown(self.tables())
        raise UsageError(f"no such text format: {form!r}", hint="known: json, csv, markdown")


def encodable(text: str) -> str:
    """``text`` with lone surrogates, which no encoder takes, written as JSON escapes them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _rank(value: Any) -> Any:
    return value["mean"] if isinstance(value, dict) else value


def format_value(value: Any, kind: ColumnKind) -> str:
    """One value as people read it; ``–`` for None."""
    if value is None:
        return EMPTY
    if kind == "spread":
        mean = format_value(value["mean"], "percent")
        return mean if value["std"] is None else f"{mean} ± {format_value(value['std'], 'percent')}"
    if kind == "percent":
        return f"{100 * value:.1f}"
    if kind == "value" and isinstance(value, float):
        return f"{value:.4g}"
    if kind == "number":
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
        return f"{value:.{digits}f}"
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def json_text(value: Any) -> str:
    """A result as JSON that every reader takes: null for a number that is not finite, no half of a pair."""
    return files.to_json(value, indent=1, sort=False) + "\n"


def to_csv(table: Table) -> str:
    """The raw values under a header of column keys: fractions, full precision, empty where there is none.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    cells = [(c.key, part) for c in table.columns for part in (_SPREAD if c.kind == "spread" else ("",))]
    writer.writerow([f"{key}_{part}" if part else key for key, part in cells])
    for row in table.rows:  # the writer leaves None empty
        writer.writerow(
            [(row.get(key) or {}).get(part) if part else _unquestioned(row.get(key)) for key, part in cells]
        )
    return out.getvalue()


def _unquestioned(value: Any) -> Any:
    """A value that a spreadsheet takes as it is; numbers are numbers, also those in text."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # csv's writer leaves it bare, and its reader ends the line there
    if not value.startswith(("=", "+", "-", "@", "\t")):
        return value
    return value if re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", value) else f"'{value}"


def to_markdown(tables: Iterable[Table]) -> str:
    """The tables one after the other as GitHub markdown, the best per column in bold."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    best = table.best()
    lines = [f"**{_escape(table.title)}**", ""] if table.title else []
    lines.append("| " + " | ".join(column.title for column in table.shown) + " |")
    lines.append("| " + " | ".join("---" if c.kind == "text" else "---:" for c in table.shown) + " |")
    for i, row in enumerate(table.cells()):
        cells = [f"**{cell}**" if (i, j) in best else _escape(cell) for j, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"{_escape(note)}  " for note in table.notes)] if table.notes else []
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return re.sub(r"([\\|*`\[]|<(?=[a-zA-Z/!?]))", r"\\\1", text)
