"""What ``auto`` takes of tuned methods.

Tuned methods differ by less than the noise of a validation cut, and a cut that the backbone has seen
flatters those that train longest on it. So the highest score alone does not win:

- What fits and chooses nothing cannot be flattered: the stage-1 classifier as it came, else class means that
  score no lower than the start. It is taken unless the highest score leads it by ``PLAIN`` standard errors.
- The probe is a fit like others, but where the features came without a classifier it is the start, and it is
  left only for a gain that is to be seen (``EVIDENCE``).
- Else, of all methods that the best does not lead so, the one is taken that agrees most with these together
  on the validation samples: the errors that a method makes alone, the others do not share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ltfix.heads.head import Head
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.rule import EVIDENCE, class_weights, lead

UNCHANGED = "unchanged"
PLAIN = 2.0
"""So many standard errors must a method, the best of many, lead what fits and chooses nothing."""
CHANGES = ("nothing", "a correction of the given layer", "a layer that is trained", "a layer of another form")
"""What a method changes, from least to most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """A tuned method, or the untouched start (without a fit).

    Attributes:
        change: index into ``CHANGES``. correct: [N] whether it is right on each validation sample.
        sure: [n, K] logits of some of these by its fit on all training samples, as directions.
        plain: whether it fits and chooses nothing; of the start, whether it came with the features.
        head: of the first seed, fitted on all samples.
    """

    name: str
    change: int
    correct: np.ndarray
    sure: np.ndarray
    plain: bool = False
    fit: MethodFit | None = None
    choice: Choice | None = None
    head: Head | None = None

    @property
    def predicted(self) -> np.ndarray:
        """[n] the classes that it gives these."""
        found: np.ndarray = self.sure.argmax(1)
        return found


def decide(field: Sequence[Contender], labels: np.ndarray) -> tuple[Contender, list[dict[str, Any]], str]:
    """The contender to take, the table of all by falling score, and the reason in words.

    Args:
        labels: [N] of the validation samples.
    """
    weights = class_weights(labels)
    scores = {c.name: float(weights @ c.correct) for c in field}
    best = max(field, key=lambda c: (scores[c.name], -c.change))
    behind = {c.name: lead(best.correct, c.correct, weights) for c in field}
    allowed = {c.name: PLAIN if c.plain and c.change else EVIDENCE for c in field}
    near = [c for c in field if behind[c.name][0] <= allowed[c.name] * behind[c.name][1]]
    together = np.sum([c.sure for c in near], axis=0).argmax(1)
    agreement = {c.name: float((c.predicted == together).mean()) for c in field}
    floor = max((scores[c.name] for c in field if not c.change), default=0.0)
    plain = {c.name: c.plain and scores[c.name] >= floor for c in near}
    taken = max(near, key=lambda c: (plain[c.name], not c.change, agreement[c.name], scores[c.name]))
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
    ahead, error = (100 * number for number in behind[taken.name])
    first = f"{best.name} scores highest ({100 * scores[best.name]:.1f})"
    if taken.name == best.name:
        top = f"{100 * scores[best.name]:.1f}"
        why = f"{best.name}, which has the highest {BY} on the validation samples, {top}"
    elif not taken.change:
        gap = f"{ahead:.1f} ± {error:.1f}"
        why = f"the start, {taken.name}: {first}, but leads it by only {gap}, so no gain is to be seen"
    elif plain[taken.name]:
        gap = f"{ahead:.1f} ± {error:.1f}"
        why = f"{taken.name}, which fits and chooses nothing: {first}, but leads it by only {gap}"
    else:
        why = (
            f"{taken.name}: {first}, but does not lead {len(near) - 1} others by {EVIDENCE} standard errors; "
            f"of these, {taken.name} ({ahead:.1f} ± {error:.1f} behind) agrees most with them all"
        )
    return taken, table, why
