"""All that the heads of a report are held to, and the holding."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.errors import Unused
from ltfix.evaluation import gate
from ltfix.evaluation.baseline import OTHER_CLASSES, Baseline, read_baseline
from ltfix.evaluation.bootstrap import paired_difference
from ltfix.evaluation.given import NamedHead
from ltfix.evaluation.testset import TestSet

_Row = Mapping[str, Any]
_Scored = list[dict[str, Any]]
_SAME = 1e-6  # as large is the rounding of a difference


@dataclasses.dataclass(frozen=True, slots=True)
class Bars:
    """Gates as they were read.

    Attributes:
        least: percent by score. drops: points by score, and what they are a fall from.
    """

    least: Mapping[str, float]
    drops: Mapping[str, float]
    earlier: Baseline | None

    @classmethod
    def of(cls, fail_under: str | None, baseline: Path | str | None, max_drop: str | None) -> Bars:
        """What `evaluate` takes.

        Raises:
            UsageError: no gate. Unused: one of the last two without the other. InputError: no report.
        """
        demand_both(baseline, max_drop)
        return cls(
            {} if fail_under is None else gate.parse_gates(fail_under),
            {} if max_drop is None else gate.parse_gates(max_drop, "max_drop"),
            None if baseline is None else read_baseline(baseline),
        )

    def hold(
        self, found: _Scored, rows: Sequence[NamedHead], test: TestSet
    ) -> tuple[_Scored, list[gate.Outcome]]:
        """The rows of a report with the scores that are held, whatever it is of, and each gate's outcome."""
        ece = "ece" in {*self.least, *self.drops}
        scored = [_scores(row, test, ece=ece) | entry for row, entry in zip(rows, found, strict=True)]
        held = gate.outcomes(self.least, scored)
        if self.earlier is not None:
            self.earlier.demand_bounds(test.shots.to_dict())
            self.earlier.demand_classes(self.drops, test.tested_classes, test.labels)
            pairs = list(zip(rows, scored, strict=True))
            fitted = [pair for pair in pairs if not pair[0].is_start] or pairs
            for row, head in fitted:
                was = self.earlier.row(row.name, row.path, alone=len(fitted) == 1)
                tested = test.tested_classes
                why = {name: self.earlier.why_unpaired(was, name, test.labels, tested) for name in self.drops}
                pairs_with = {} if all(why.values()) else _differences(self.earlier, was, row, test)
                held += self._falls(self.earlier, was, head, pairs_with, why)
        return scored, [{**one, "idle": gate.why_idle(one, test.n_classes)} for one in held]

    def _falls(
        self, earlier: Baseline, was: _Row, head: _Row, intervals: _Row, why: Mapping[str, str]
    ) -> list[gate.Outcome]:
        """By how much a head fell behind an earlier row; of ``ece``, by how much it rose."""
        found = []
        for name, points in self.drops.items():
            if head[name] is None:
                raise gate.untested(name, "max_drop")
            before = earlier.value(was, name)
            bar = before + points / 100 * (1 if name in gate.LOWER_IS_BETTER else -1)
            fall = gate.outcome(head, name, bar, "max_drop")
            interval = None if why[name] else intervals.get(name)
            unpaired = why[name] or _of_other_classes(interval, head[name] - before)
            more = {
                "max_drop": points / 100,
                "paired": not unpaired,
                "unpaired": unpaired or None,
                "interval": None if unpaired else interval,
            }
            found.append({**fall, "baseline": before, "baseline_head": was["name"], **more})
        return found


def demand_both(baseline: object, max_drop: object) -> None:
    """Refuse one of them without the other (Unused)."""
    if (baseline is None) != (max_drop is None):
        given, other = ("max_drop", "a baseline") if baseline is None else ("baseline", "max_drop=…")
        hint = '`ltfix.evaluate(..., baseline="last.json", max_drop="few=1.0,all=0.5")`'
        raise Unused(f"it needs {other} beside it", where=given, hint=hint)


def _scores(row: NamedHead, test: TestSet, *, ece: bool) -> dict[str, Any]:
    from ltfix.evaluation.reports import calibration, many_medium_few

    scores = many_medium_few.measure(row.head, test)
    if not ece:
        return scores
    known = calibration.calibrate(test.blocks(row.head), test.labels)
    return scores | {"ece": calibration.expected_calibration_error(known.confidence, known.correct)}


def _differences(earlier: Baseline, was: _Row, row: NamedHead, test: TestSet) -> Mapping[str, Any]:
    """The paired differences of a head to an earlier row."""
    theirs = earlier.correct(was, len(test.labels))
    return paired_difference(test.correct(row.head), theirs, test.labels, test.shots.of, seed=test.seed)


def _of_other_classes(interval: Mapping[str, float] | None, change: float) -> str:
    """Why a shot's pairs are none: classes changed places, so that its samples are not those of before."""
    same = interval is None or abs(interval["value"] - change) < _SAME
    return "" if same else OTHER_CLASSES
