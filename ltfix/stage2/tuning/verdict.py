"""What ``auto`` takes of tuned methods.

Tuned methods differ by less than the noise of a validation cut, and a cut that the backbone has seen
flatters those that train longest on it. So the highest score alone does not win:

- The start is left only for a gain that is to be seen, a lead of ``EVIDENCE`` standard errors.
- Else, of all linear methods that the best does not lead so, the one is taken that agrees most with all of
  these together on the validation samples: the errors that a method makes alone, the others do not share.
- What is taken, but for a stage-1 classifier as it came, is averaged with the class means
  (:mod:`~ltfix.stage2.tuning.means`): on samples that the backbone has not seen, where the average does no
  worse; else, since their scores flatter what was trained, unless the start clearly leads the class means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.likelihood import class_weights
from ltfix.heads.head import Head
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.rule import EVIDENCE, is_clear, lead

ROUNDING = 1e-9
UNCHANGED = "unchanged"
AVERAGED = "auto"
"""The method of a start that is taken and averaged, which is no method's own."""
CHANGES = ("nothing", "a correction of the given layer", "a layer that is trained", "a layer of another form")
"""What a method changes, from least to most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """A tuned method, or the untouched start (without a fit).

    Attributes:
        change: index into ``CHANGES``. correct: [N] whether it is right on each validation sample.
        sure: [n, K] logits of some of these by its fit on all training samples, as directions.
        came: of the start, whether it came with the features.
        head: of the first seed, fitted on all samples.
    """

    name: str
    change: int
    correct: np.ndarray
    sure: np.ndarray
    came: bool = False
    fit: MethodFit | None = None
    choice: Choice | None = None
    head: Head | None = None

    @property
    def linear(self) -> bool:
        """Whether it can be averaged with another linear head."""
        return self.head is None or self.head.transform is None

    @property
    def predicted(self) -> np.ndarray:
        """[n] the classes that it gives these."""
        found: np.ndarray = self.sure.argmax(1)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What is taken.

    Attributes:
        taken: the contender. averaged: whether with the class means.
        correct: [N] whether what is written is right on each validation sample.
        table: all by falling score. why: the reason in words.
    """

    taken: Contender
    averaged: bool
    correct: np.ndarray
    table: list[dict[str, Any]]
    why: str


def decide(
    field: Sequence[Contender],
    means: np.ndarray,
    labels: np.ndarray,
    *,
    fresh: bool,
    mean: Callable[[Contender], np.ndarray] | None,
) -> Verdict:
    """What to take of all contenders.

    Args:
        means: [N] whether the class means are right on each validation sample. labels: [N] of these.
        fresh: whether neither what is scored on them nor the backbone has seen them.
        mean: [N] whether the average of a contender with the class means is right; None: nothing is averaged.
    """
    weights = class_weights(labels)
    scores = {c.name: float(weights @ c.correct) for c in field}
    best = max(field, key=lambda c: (scores[c.name], -c.change))
    behind = {c.name: lead(best.correct, c.correct, weights) for c in field}
    near = [c for c in field if not is_clear(behind[c.name])]
    together = np.sum([c.sure for c in near], axis=0).argmax(1)
    agreement = {c.name: float((c.predicted == together).mean()) for c in field}
    linear = [c for c in near if c.linear] or near
    taken = max(linear, key=lambda c: (not c.change, agreement[c.name], scores[c.name]))
    table = [
        {
            "method": c.name,
            "score": round(scores[c.name], 6),
            "behind": round(behind[c.name][0], 6),
            "error": round(behind[c.name][1], 6),
            "agreement": round(agreement[c.name], 6),
            "changes": CHANGES[c.change],
        }
        for c in sorted(field, key=lambda c: (-scores[c.name], c.change))
    ]
    why = _why(taken, best, 100 * scores[best.name], behind[taken.name], len(near))
    if taken.came or not taken.linear or mean is None:
        return Verdict(taken, False, taken.correct, table, why)
    alone = f"alone these score {100 * float(weights @ means):.1f} by their directions; ncm goes by distances"
    start = next(c for c in field if not c.change)
    if not fresh and is_clear(lead(start.correct, means, weights)):
        why += f"; not averaged with the class means, which the start clearly leads ({alone})"
        return Verdict(taken, False, taken.correct, table, why)
    both = mean(taken)
    averaged = not fresh or lead(taken.correct, both, weights)[0] < ROUNDING
    told = f"{'' if averaged else 'not '}averaged with the class means"
    why += f"; {told}, with which it scores {100 * float(weights @ both):.1f} ({alone})"
    return Verdict(taken, averaged, both if averaged else taken.correct, table, why)


def _why(taken: Contender, best: Contender, score: float, behind: tuple[float, float], n_near: int) -> str:
    first = f"{best.name} scores highest ({score:.1f})"
    gap = "{:.1f} (standard error {:.1f})".format(*(100 * number for number in behind))
    if taken.name == best.name:
        return f"{best.name}, which has the highest {BY} on the validation samples, {score:.1f}"
    if not taken.change:
        return f"the start, {taken.name}: {first}, but leads it by only {gap}, no more than chance may"
    others = "1 other" if n_near == 2 else f"{n_near - 1} others"
    return (
        f"{taken.name}: {first}, but does not lead {others} by {EVIDENCE} standard errors; "
        f"of these, {taken.name}, {gap} behind, agrees most with them all"
    )
