"""What a comparison found, as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.evaluation.result import Result
from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import ALPHA, Column, Table, format_value
from ltfix.stage2.tables.bench import score_columns
from ltfix.stage2.tables.entries import SCORES

FORMAT = "ltfix-compare/1"
_COST = "Fit s: wall seconds of all seeds together"
_INTERVAL = "All, 95 %: what the test sample leaves open, beside the spread of seeds."
_VALIDATION = "Validation: mean class accuracy on {}."
_WORST = "Which: the worst class of most seeds."
_MARKED = (
    "†: beyond chance over test samples{} ({}, Holm-corrected, p < {}); by the samples on which two rows "
    "differ, for all rows together: a larger difference may have none, and one whose interval has no 0."
)
_ALONE = "McNemar's test with the correction for continuity"
_MORE = (
    "In json and csv: the corrected p, the interval, and the same of Many, Medium and Few; in json p itself."
)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Comparison(Result):
    """What `compare` found.

    Attributes:
        rows: one mapping a row, by falling All: method, name, seeds (how many), fit_seconds, for every
            score its ``mean`` and ``std`` (of one seed: None) as fractions, or None for an empty shot;
            ``worst_class_name``, of most seeds; ``runs``, the scores of each seed; ``interval`` of All that
            the test sample leaves open; ``chosen``, the values that validation samples chose, and
            ``validation``, the mean class accuracy there.
        left_out: name -> why this method cannot run on this cache.
        about: further keys of the JSON: the caches, the shots, how values were chosen.
        title, notes: lines above and below the table.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, str]
    about: dict[str, Any]
    title: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md."""
        found = {"rows": self.rows, "left_out": self.left_out, "notes": list(self.notes)}
        return {"format": FORMAT, **self.about, **found}

    def tables(self) -> list[Table]:
        """The rows, the best of every score marked, and what validation chose said or chose something."""
        against = self.about.get("against")
        each_shot = ("", *(f"_{shot}" for shot in SHOTS))
        told = [
            column
            for shot in each_shot
            for column in (
                Column(f"against{shot}", "", "difference", csv_only=True),
                Column(f"p_holm{shot}", "", csv_only=True),
            )
        ]
        seeds = sorted({run["seed"] for row in self.rows for run in row["runs"]})
        each = [f"{score}_s{seed}" for seed in seeds for score in SCORES]
        over = " and seeds together" if len(seeds) > 1 else ", of this one seed"
        marked = _MARKED.format(over, self._test, ALPHA)
        beside = [Column("against", f"− {against}", "gain", note=marked)] if against else []
        tuning = ", tuning included" if self.about.get("tuned") else ""
        columns = (
            Column("name", "Method"),
            Column("method", "", csv_only=True),
            *score_columns(SCORES[:4]),
            *beside,
            *score_columns(SCORES[4:5]),
            Column("worst_class_name", "Which", aside=True, note=_WORST if len(seeds) > 1 else ""),
            *score_columns(SCORES[5:]),
            Column("interval", "All, 95 %", "interval", note=_INTERVAL),
            Column("seeds", "Seeds", "count"),
            Column("fit_seconds", "Fit s", "number", aside=True, note=f"{_COST}{tuning}."),
            *(told if against else []),
            *(Column(key, "", "number", csv_only=True) for key in each),
            Column("validation", "", "percent", csv_only=True),
            Column("chosen", "", csv_only=True),
        )
        left_out = [f"Left out: {name}: {why}." for name, why in self.left_out.items()]
        rows = [
            {**row, **_by_seed(row["runs"]), **_marked(row), "chosen": _told(row["chosen"])}
            for row in self.rows
        ]
        notes = (*([_MORE] if against else []), *self.notes, *left_out)
        tidy = Table(tuple(c for c in columns if c not in beside), rows)
        found = Table(columns, rows, self.title, notes, essential=6 if against else 5, tidy=tidy)
        return [found, *self._chosen([row for row in rows if row["validation"] is not None])]

    @property
    def _test(self) -> str:
        """The test of the differences: two rows of a single fit each have no spread of seeds."""
        alone = {row["name"]: len(row["runs"]) == 1 for row in self.rows}
        if not alone.pop(str(self.about.get("against")), False) or not any(alone.values()):
            return "paired t-test"
        return _ALONE if all(alone.values()) else f"paired t-test, of two single fits {_ALONE}"

    def _chosen(self, rows: Sequence[dict[str, Any]]) -> list[Table]:
        """What was chosen for each row."""
        chose = self.about.get("chosen_on") is not None
        on = "the samples that chose" if chose else "validation samples, on which nothing was chosen"
        columns = (
            Column("name", "Method"),
            Column("validation", "Validation", "percent", "max", note=_VALIDATION.format(on)),
            *([Column("chosen", "Chosen values")] if any(row["chosen"] for row in rows) else []),
        )
        title = "What validation samples chose" if chose else "What validation samples say"
        best = [row for row in rows if row["name"] == self.about.get("chosen")]
        notes = tuple(
            f"Chosen on validation: {row['name']}, {100 * row['validation']:.1f} %." for row in best
        )
        return [Table(columns, rows, title, notes)] if rows else []


def _told(chosen: Mapping[str, Any]) -> str:
    """Values by name in a line: ``lr=0.1, delta=0.9``."""
    return ", ".join(f"{name}={format_value(value, 'value')}" for name, value in chosen.items())


def _by_seed(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    return {f"{score}_s{run['seed']}": run[score] for run in runs for score in SCORES}


def _marked(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the csv has of the difference to the row compared with: its corrected p, and those by shot."""
    found = row.get("against")
    if found is None:
        return {}
    shots = {f"against_{shot}": found[shot] for shot in SHOTS}
    p = {f"p_holm_{shot}": (found[shot] or {}).get("p_holm") for shot in SHOTS}
    return {"p_holm": found["p_holm"], **shots, **p}
