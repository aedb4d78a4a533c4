"""What a fit leaves open is chosen here, by mean class accuracy on validation samples.

Validation samples are few where it matters, in the tail, and a backbone may have seen them. So the best score
alone decides nothing that noise could decide: of all candidates that are about as good as the best one, the
one whose logits stay nearest to the untouched start's is taken, and none that scores below it. Where the best
does not clearly lead the start either, no gain is to be seen, and "about as good" is read more widely. What
is taken must do alike with five seeds: a rate at the edge of what trains may fail with some of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ltfix.evaluation.likelihood import class_weights
from ltfix.stage2.tuning.candidates import Candidate

TOLERANCE = 0.5
"""Candidates that the best one leads by at most this many standard errors count as equally good."""
EVIDENCE = 1.64
"""By this many standard errors the best must lead the start for a gain to be seen. Chance alone leads by more
once in twenty."""
DIGITS = 6
"""Decimals of a drift: what is behind them is rounding."""
BEST = "highest score"
GAIN = f"nearest to the start of those within {TOLERANCE} standard errors of the best"
UNSTEADY = "none does alike with every seed, so the first choice stays"
NO_GAIN = f"nearest to the start, which the best does not lead by {EVIDENCE} standard errors"


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and how it does on the validation samples.

    Attributes:
        correct: [N] whether it is right on each; None where it diverged or was not run to its end.
        drift: how far its logits are from the start's: 1 − mean cosine of the centred logits.
        steady: false where other seeds were found to do worse, or would at a higher rate.
        early: whether it was run no further than to where it was behind another one.
        begun: whether it was run at all.
        cuts: on how many cuts it was run to its end.
        seen: [n] whether it was right on their samples; with none, after a part of its epochs on the first.
        first: [n] whether it is right on each sample of the first fold, where it was run to its end there.
    """

    candidate: Candidate
    correct: np.ndarray | None
    drift: float = 0.0
    steady: bool = True
    early: bool = False
    begun: bool = True
    cuts: int = 0
    seen: np.ndarray | None = None
    first: np.ndarray | None = None


def lead(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """How far one head leads another in mean class accuracy on the same samples, and the standard error.

    Σ w_i d_i and √Σ (w_i d_i)² with d_i ∈ {−1, 0, 1}: samples on which both agree say nothing.

    Args:
        ours, theirs: [N] bool, whether each head is right. weights: of ``class_weights``.
    """
    signed = weights * (ours.astype(np.float64) - theirs)
    return float(signed.sum()), float(np.sqrt(np.square(signed).sum()))


def is_clear(ahead: tuple[float, float]) -> bool:
    """Whether a lead is one of more than ``EVIDENCE`` standard errors."""
    return ahead[0] > EVIDENCE * ahead[1]


def near_best(
    right: Mapping[int, np.ndarray], weights: np.ndarray, errors: float, points: float = 0.0
) -> list[int]:
    """Those that the best leads by no more than so many standard errors, or by so little.

    Args:
        right: of each, [N] whether it is right. weights: of ``class_weights``.
    """
    best = max(right.values(), key=lambda found: float(weights @ found), default=None)
    if best is None:
        return []
    gaps = {number: lead(best, found, weights) for number, found in right.items()}
    return [number for number, (gap, error) in gaps.items() if gap <= max(points, errors * error)]


def choose(
    trials: Sequence[Trial], labels: np.ndarray, start: np.ndarray, *, tuned: bool = True
) -> tuple[int, str]:
    """Which trial to take by the rule of this module.

    Args:
        labels: [N] of the validation samples. start: [N] whether the untouched start is right.
        tuned: false where only what the method itself leaves to validation is open (its τ). Then the highest
            score decides alone.

    Returns:
        The index of the trial, and in words what took it. Where the rule does not decide, the higher score
        does, and then the lower index.
    """
    weights = class_weights(labels)
    right = {i: t.correct for i, t in enumerate(trials) if t.steady and t.correct is not None}
    if not right:
        return 0, BEST
    scores = {i: float(weights @ correct) for i, correct in right.items()}
    best = max(scores, key=scores.__getitem__)
    if not tuned:
        return best, BEST
    gain = is_clear(lead(right[best], start, weights))
    errors, floor = (TOLERANCE, float(weights @ start)) if gain else (EVIDENCE, 0.0)
    near = [i for i in near_best(right, weights, errors) if scores[i] >= floor]
    taken = min(near, key=lambda i: (round(trials[i].drift, DIGITS), -scores[i], i))
    return taken, GAIN if gain else NO_GAIN
