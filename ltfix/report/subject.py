"""What a report is of: evaluated heads, and the results that lie beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from ltfix.evaluation.given import NamedHead
from ltfix.evaluation.measure import Evaluation
from ltfix.evaluation.report import Report
from ltfix.evaluation.shots import Shots

MOST_HEADS = 8
"""So many heads are drawn: the start, and the best of the others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A result that was kept in a file: what it is called, and the JSON value that it holds."""

    name: str
    content: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """Results that were found, as docs/format.md has them."""

    sweeps: Sequence[Finding] = ()
    comparisons: Sequence[Finding] = ()
    traces: Sequence[Finding] = ()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What figures are drawn of.

    Attributes:
        evaluation: the heads and the cache they are measured on.
        findings: results that lie beside them.
        reports: those made so far, by kind.
    """

    evaluation: Evaluation
    findings: Findings = Findings()
    reports: dict[str, Report] = dataclasses.field(default_factory=dict)

    @property
    def shots(self) -> Shots:
        """The shot of each class."""
        return self.evaluation.test.shots

    @property
    def start(self) -> NamedHead | None:
        """What stage 2 started from, stage 1 or the probe, where it is among the heads."""
        return next((row for row in self.evaluation.rows if row.is_start), None)

    def report(self, kind: str) -> Report:
        """One report, made once; the accuracies with what every head gained over the start."""
        if kind not in self.reports:
            begin = self.start if kind == "many-medium-few" else None
            against = None if begin is None else begin.head
            self.reports[kind] = self.evaluation.report(kind, against=against)
        return self.reports[kind]

    def ranked(self) -> list[int]:
        """The rows by falling accuracy over all samples."""
        scores = [head["all"] for head in self.report("many-medium-few").heads]
        return sorted(range(len(scores)), key=lambda i: -scores[i])

    def distinct(self, rows: Iterable[int]) -> int:
        """How many classifiers rows are: a calibrated copy that says the same of every sample is no other."""
        heads = self.report("many-medium-few").heads
        return len({(heads[i]["method"], heads[i]["correct"]) for i in rows})

    def shown(self) -> list[int]:
        """The rows that are drawn, in their order: the start, and the best of the others."""
        rows = self.evaluation.rows
        best = sorted(self.ranked(), key=lambda i: not rows[i].is_start)[:MOST_HEADS]
        return sorted(best)

    def heads(self, kind: str) -> list[dict[str, Any]]:
        """What a report says of the heads that are drawn."""
        found = self.report(kind).heads
        return [found[i] for i in self.shown()]
