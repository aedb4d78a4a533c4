"""Candidates fitted and scored on validation samples, and what is taken of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Linear
from ltfix.stage2.methods.values import CHOSEN
from ltfix.stage2.tuning.candidates import Candidate, Ground
from ltfix.stage2.tuning.rule import UNSTEADY, Trial, choose, class_weights, lead

SEEDS = 5
"""The choice is fitted with so many seeds on all samples, and dropped where one of them …"""
STEADY = 0.01, 3.25
"""… is behind the best by more than a point and by so many standard errors: by chance, one choice in 100."""


def search(material: Material, tried: Sequence[Candidate], seed: int) -> list[Trial]:
    """Fit every candidate on what each fold leaves, and see how it does on the rest."""
    right: list[list[np.ndarray | None]] = [[] for _ in tried]
    drift: list[list[float]] = [[] for _ in tried]
    for fold, start in zip(material.folds(), material.start_directions(), strict=True):
        for number, linear in side_by_side(material, fold.train, tried, [seed]):
            right[number].append(fold.correct(linear))
            if linear.is_finite:
                drift[number].append(1 - float((fold.directions(linear) * start).sum(1).mean()))
    return [
        Trial(candidate, _joined(right[number]), float(np.mean(drift[number] or [math.inf])))
        for number, candidate in enumerate(tried)
    ]


def side_by_side(
    material: Material, data: Features, tried: Sequence[Candidate], seeds: Sequence[int]
) -> Iterator[tuple[int, Linear]]:
    """Fit candidates, those of one ground together: the number of each and a fit of it, seed after seed.

    A fit that diverged is not finite.
    """
    grounds: dict[Ground, list[int]] = {}
    for number, candidate in enumerate(tried):
        grounds.setdefault(candidate.ground, []).append(number)
    for ground, members in grounds.items():
        fitter = material.fitter(data, *ground)
        fitter.tolerant = True
        for fitted in fitter.fit([tried[number].values for number in members], seeds):
            yield from zip(members, fitted, strict=True)


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def settle(
    material: Material, trials: Sequence[Trial], labels: np.ndarray, start: np.ndarray, seed: int
) -> tuple[list[Trial], int, str]:
    """:func:`choose` until all seeds do alike, marking what they do not with, and all higher rates.

    Returns:
        The trials, the index of the one that is taken, and the rule that took it.
    """
    marked = list(trials)
    while any(trial.steady and trial.correct is not None for trial in marked):
        taken, rule = choose(marked, labels, start)
        found = marked[taken]
        if _is_steady(material, found, labels, seed):
            return marked, taken, rule
        marked = [dataclasses.replace(t, steady=t.steady and not _as_fast(t, found)) for t in marked]
    taken, rule = choose(trials, labels, start)
    return marked, taken, rule if trials[taken].correct is None else UNSTEADY


def _is_steady(material: Material, trial: Trial, labels: np.ndarray, seed: int) -> bool:
    """Whether fits on all samples do alike on the validation samples, which they may have seen."""
    values = trial.candidate.values
    if trial.correct is None or values.method.loss is None:
        return True
    fitted = side_by_side(material, material.data, [trial.candidate], range(seed, seed + SEEDS))
    right = [_joined([fold.correct(linear) for fold in material.folds()]) for _, linear in fitted]
    known = [found for found in right if found is not None]
    if len(known) < len(right):
        return False
    weights, (points, errors) = class_weights(labels), STEADY
    best = max(known, key=lambda found: float(weights @ found))
    gaps = [lead(best, found, weights) for found in known]
    return all(behind <= max(points, errors * error) for behind, error in gaps)


def _as_fast(trial: Trial, other: Trial) -> bool:
    """Whether a trial is another one at the same or a higher rate."""
    ours, theirs = trial.candidate, other.candidate
    rate = theirs.values["lr"]
    same = ours.values.choose(lr=rate).values == theirs.values.choose(lr=rate).values
    return same and ours.ground == theirs.ground and ours.values["lr"] >= rate


def describe(
    trials: Sequence[Trial], chosen: int, rule: str, *, labels: np.ndarray, start: np.ndarray, on: str
) -> dict[str, Any]:
    """The record for the head file: what was tried, with scores, and what was taken."""
    weights = class_weights(labels)

    def score(correct: np.ndarray | None) -> float | None:
        return None if correct is None else round(float(weights @ correct), 6)

    taken = trials[chosen].candidate
    names = [name for name, origin in taken.values.origin.items() if origin == CHOSEN]
    scaled = len({t.candidate.scale for t in trials}) > 1
    started = len({t.candidate.init for t in trials}) > 1
    shifted = len({t.candidate.normalize for t in trials}) > 1
    return {
        "chosen": names + ["feature_scale"] * scaled + ["init"] * started + ["normalize"] * shifted,
        "by": BY,
        "on": on,
        "rule": rule,
        "score": score(trials[chosen].correct),
        "start_score": score(start),
        "tried": [
            {
                **{name: t.candidate.values[name] for name in names},
                **({"scale": t.candidate.scale} if scaled else {}),
                **({"init": t.candidate.init} if started else {}),
                **({"normalize": t.candidate.normalize} if shifted else {}),
                "score": score(t.correct),
                **({} if t.steady else {"steady": False}),
            }
            for t in trials
        ],
    }


def best_epoch(material: Material, candidate: Candidate, seed: int) -> tuple[int, list[float], np.ndarray]:
    """The number of epochs after which a run scores best, the score after each, and its correctness then."""
    after: list[list[np.ndarray | None]] = []

    for fold in material.folds():
        epochs: list[np.ndarray | None] = []

        def watch(epoch: int, found: list[list[Linear]], fold: Any = fold, epochs: Any = epochs) -> None:
            epochs.append(fold.correct(found[0][0]))

        fitter = material.fitter(fold.train, *candidate.ground)
        fitter.watch = watch
        fitter.fit([candidate.values], [seed])
        after.append(epochs)
    weights = class_weights(material.held_labels())
    joined = [_joined(parts) for parts in zip(*after, strict=True)]
    right = [np.zeros(len(weights), bool) if part is None else part for part in joined]
    scores = [float(weights @ part) for part in right]
    best = int(np.argmax(scores))
    return best + 1, scores, right[best]
