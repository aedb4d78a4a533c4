"""What an evaluation found, as every report gives it: one JSON document, and its tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from ltfix.evaluation.bootstrap import LEVEL, RESAMPLES
from ltfix.evaluation.result import Result
from ltfix.evaluation.shots import SHOTS, Shots
from ltfix.evaluation.table import Column, ColumnKind, Table

FORMAT = "ltfix-report/1"
HEAD_COLUMNS = (
    Column("name", "Head"),
    Column("path", "", csv_only=True),
    Column("method", "", csv_only=True),
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report(Result):
    """What `evaluate` found.

    Attributes:
        kind: the report's name.
        cache: path, n, classes and fingerprint of the evaluated cache.
        shots: the shot of each class and the rule.
        heads: one mapping a head, stage 1 first: name, path, method and what was measured.
        about: what was measured on the cache alone; further keys of the JSON.
        layout: makes the table of this kind of report.
        title: the cache and how its views were treated, for people. notes: lines below the table.
    """

    kind: str
    cache: dict[str, Any]
    shots: Shots
    heads: list[dict[str, Any]]
    about: dict[str, Any]
    layout: Callable[[Report], Table]
    title: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md: fractions, None where there is no value."""
        return {
            "format": FORMAT,
            "report": self.kind,
            "cache": self.cache,
            "shots": self.shots.to_dict(),
            "heads": self.heads,
            **self.about,
            "notes": list(self.notes),
        }

    def tables(self) -> list[Table]:
        """What people read: the report's table, and the differences where a head was compared with."""
        main = self.layout(self)
        notes = (*main.notes, *self.notes)
        main = dataclasses.replace(main, title=main.title or self.title, notes=notes)
        return [_with_differences(main, self), _differences(self)] if "against" in self.about else [main]


def nothing_further(test: object) -> dict[str, Any]:
    """The ``about`` of a report that measures nothing on the cache alone."""
    return {}


def shot_columns(
    kind: ColumnKind, best: Literal["max", "min"] | None = None, prefix: str = ""
) -> tuple[Column, ...]:
    """One column a shot, whose values stand under its name behind ``prefix``."""
    return tuple(Column(prefix + shot, shot.capitalize(), kind, best) for shot in SHOTS)


def _with_differences(table: Table, report: Report) -> Table:
    """The table with each head's differences in its csv: value, low and high a shot."""
    if table.tidy is not None:
        return dataclasses.replace(table, tidy=_with_differences(table.tidy, report))
    by_name = {(head["name"], head["path"]): head["difference"] for head in report.heads}
    keys = [f"difference_{shot}" for shot in ("all", *SHOTS)]
    rows = []
    for row in table.rows:
        found = row.get("difference", by_name.get((row.get("name", row.get("head")), row.get("path")))) or {}
        rows.append({**row, **{key: found.get(key.removeprefix("difference_")) for key in keys}})
    columns = [Column(key, "", "difference", csv_only=True) for key in keys]
    return dataclasses.replace(table, columns=(*table.columns, *columns), rows=rows)


def _differences(report: Report) -> Table:
    rows = []
    for head in report.heads:
        for shot in ("all", *SHOTS):
            found = (head["difference"] or {}).get(shot)
            if found is not None:
                rows.append({"name": head["name"], "shot": shot.capitalize(), **found})
    columns = (
        Column("name", "Head"),
        Column("shot", "Shot"),
        Column("value", "Difference", "percent"),
        Column("low", "from", "percent"),
        Column("high", "to", "percent"),
    )
    against = report.about["against"]
    return Table(
        columns,
        rows,
        title=f"Points above {against['name']}, with {100 * LEVEL:.0f} % intervals",
        notes=(f"Paired bootstrap: {RESAMPLES} resamples of each class's samples, seed {against['seed']}.",),
    )
