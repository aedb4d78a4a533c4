"""A search whose choice does alike with every seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ltfix.evaluation.likelihood import class_weights
from ltfix.heads.head import Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.loop.data import Features
from ltfix.stage2.tuning.candidates import Candidate
from ltfix.stage2.tuning.rule import UNSTEADY, Trial, choose, near_best
from ltfix.stage2.tuning.search import as_fast, joined, search, side_by_side

SEEDS = 5
"""So many seeds fit the chosen setting, to see whether it does alike with each."""
ON_ALL = 3
"""So many of them on all samples."""
AGAIN = 2
"""So often what is left is searched, where nothing was steady."""
STEADY_POINTS, STEADY_ERRORS = 0.01, 3.25
"""A seed may fall behind the best one by a point, and by this many standard errors where that is more. By
chance alone one choice in 100 fails that."""


Settled = tuple[list[Trial], int, str, list[Head]]
"""The trials with those that were dropped marked, the index of the one taken, what took it, and its fits on
all samples, of the first seed and those after it, as far as there are any."""


def find_steady(
    material: Material, tried: Sequence[Candidate], labels: np.ndarray, start: np.ndarray, seed: int
) -> Settled:
    """Search and settle; where nothing that ran to its end is steady, once or twice more among the rest."""
    found = settle(material, search(material, tried, seed), labels, start, seed)
    for _ in range(AGAIN):
        trials = found[0]
        left = [number for number, trial in enumerate(trials) if trial.steady]
        if found[2] != UNSTEADY or not left:
            break
        for number, trial in zip(left, search(material, [tried[n] for n in left], seed), strict=True):
            trials[number] = trial
        found = settle(material, trials, labels, start, seed)
    return found


def settle(
    material: Material, trials: Sequence[Trial], labels: np.ndarray, start: np.ndarray, seed: int
) -> Settled:
    """Choose by the rule, and choose again without what does not do alike with every seed.

    A choice that is not steady is dropped, and so is the same setting at all higher rates. Where nothing is
    steady, the first choice stays.
    """
    marked = list(trials)
    while any(trial.steady and trial.correct is not None for trial in marked):
        taken, rule = choose(marked, labels, start)
        found = marked[taken].candidate
        steady, fitted = _is_steady(material, marked[taken], seed)
        if steady:
            return marked, taken, rule, fitted
        marked = [dataclasses.replace(t, steady=t.steady and not as_fast(t.candidate, found)) for t in marked]
    taken, rule = choose(trials, labels, start)
    return marked, taken, rule if trials[taken].correct is None else UNSTEADY, []


def _is_steady(material: Material, trial: Trial, seed: int) -> tuple[bool, list[Head]]:
    """Whether several seeds do alike, and what was fitted on all samples for that, from ``seed`` on.

    First on samples of the first fold that no fit has seen, since there fits differ that all know their
    training samples by heart; then on all samples. A validation cache has all of them on all samples.
    """
    if trial.candidate.values.method.loss is None:
        return True, []
    folds, seeds = material.folds(), range(seed, seed + SEEDS)
    if folds[0].train is not material.data:
        others = _fits(material, folds[0].train, trial.candidate, seeds[1:])
        unseen = [trial.first, *(folds[0].correct(head) for head in others)]
        if not _are_alike(unseen, folds[0].held.labels):
            return False, []
        seeds = seeds[:ON_ALL]
    fitted = _fits(material, material.data, trial.candidate, seeds)
    right = [joined([fold.correct(head) for fold in folds]) for head in fitted]
    return _are_alike(right, material.held_labels()), fitted


def _fits(material: Material, data: Features, candidate: Candidate, seeds: Sequence[int]) -> list[Head]:
    return [head for _, head in side_by_side(material, data, [candidate], seeds)]


def _are_alike(right: Sequence[np.ndarray | None], labels: np.ndarray) -> bool:
    """Whether fits are finite and the best of them leads none of the others by much."""
    known = {number: found for number, found in enumerate(right) if found is not None}
    return len(near_best(known, class_weights(labels), STEADY_ERRORS, STEADY_POINTS)) == len(right)
