"""What a fit leaves open is chosen here, by mean class accuracy on validation samples.

Validation samples are few where it matters, in the tail, and a backbone may have seen them. So the best score
alone decides nothing that noise could decide: of all candidates that are about as good as the best one, the
one whose logits stay nearest to the untouched start's is taken, and none that scores below it. Where the best
does not clearly lead the start either, no gain is to be seen, and "about as good" is read more widely. What
is taken must do alike with five seeds: a rate at the edge of what trains may fail with some of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ltfix.stage2.tuning.candidates import Candidate

TOLERANCE = 0.5
"""Candidates within so many standard errors of the best one count as equally good."""
EVIDENCE = 1.64
"""So many standard errors the best must lead the start for a gain to be seen: one in twenty by chance."""
BEST = "highest score"
GAIN = f"nearest to the start of those within {TOLERANCE} standard errors of the best"
UNSTEADY = "none does alike with every seed, so the first choice stays"
NO_GAIN = f"nearest to the start, which the best does not lead by {EVIDENCE} standard errors"


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and how it does on the validation samples.

    Attributes:
        correct: [N] whether it is right on each; None where it diverged.
        drift: how far its logits are from the start's: 1 − mean cosine of the centred logits.
        steady: false where other seeds were found to do worse, or would at a higher rate.
    """

    candidate: Candidate
    correct: np.ndarray | None
    drift: float = 0.0
    steady: bool = True


def class_weights(labels: np.ndarray) -> np.ndarray:
    """[N] what each sample counts, so that every class that occurs counts the same and all sum to 1."""
    counts = np.bincount(labels)
    share: np.ndarray = 1.0 / (counts[labels] * np.count_nonzero(counts))
    return share


def lead(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """How far one head leads another in mean class accuracy on the same samples, and the standard error.

    Σ w_i d_i and √Σ (w_i d_i)² with d_i ∈ {−1, 0, 1}: samples on which both agree say nothing.

    Args:
        ours, theirs: [N] bool, whether each head is right. weights: of :func:`class_weights`.
    """
    signed = weights * (ours.astype(np.float64) - theirs)
    return float(signed.sum()), float(np.sqrt(np.square(signed).sum()))


def choose(
    trials: Sequence[Trial], labels: np.ndarray, start: np.ndarray, *, tuned: bool = True
) -> tuple[int, str]:
    """Which trial to take: the rule of the module, or of a method's own open values the best score.

    Args:
        labels: [N] of the validation samples. start: [N] whether the untouched start is right.
        tuned: whether more is open than what the method itself leaves to validation (its τ).

    Returns:
        Its index, and the rule that took it; where that does not decide, the higher score, then the first.
    """
    weights = class_weights(labels)
    right = [trial.correct if trial.steady else None for trial in trials]
    scores = [-1.0 if correct is None else float(weights @ correct) for correct in right]
    best = int(np.argmax(scores))
    winner = right[best]
    if winner is None or not tuned:
        return best, BEST

    def near(errors: float, floor: float = 0.0) -> list[int]:
        found = []
        for number, correct in enumerate(right):
            if correct is not None and scores[number] >= floor:
                ahead, error = lead(winner, correct, weights)
                if ahead <= errors * error:
                    found.append(number)
        return found

    ahead, error = lead(winner, start, weights)
    gain = ahead > EVIDENCE * error
    good = near(TOLERANCE, floor=float(weights @ start)) if gain else near(EVIDENCE)
    taken = min(good, key=lambda i: (round(trials[i].drift, 6), -scores[i], i))
    return taken, GAIN if gain else NO_GAIN
