"""A choice that does alike with every seed."""

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
from ltfix.stage2.tuning.search import as_fast, side_by_side

SEEDS = 5
"""So many seeds fit the chosen setting, to see whether it does alike with each."""
ON_ALL = 3
"""So many of them on all samples."""
STEADY_POINTS, STEADY_ERRORS = 0.01, 3.25
"""A seed may fall behind the best one by a point, and by this many standard errors where that is more. By
chance alone one choice in 100 fails that."""


def settle(
    material: Material, trials: Sequence[Trial], labels: np.ndarray, start: np.ndarray, seed: int
) -> tuple[list[Trial], int, str, list[Head]]:
    """Choose by the rule, and choose again without what does not do alike with every seed.

    A choice that is not steady is dropped, and so is the same setting at all higher rates. Where nothing is
    steady, the first choice stays.

    Returns:
        The trials with those that were dropped marked, the index of the one taken, what took it, and its fits
        on all samples, of ``seed`` and the seeds after it, as far as there are any.
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
    training samples by heart; then on all samples, where they must do no worse.
    """
    if trial.candidate.values.method.loss is None:
        return True, []
    fold, seeds = material.folds()[0], range(seed, seed + SEEDS)
    weights, unseen = class_weights(fold.held.labels), [trial.first]
    whole = seeds
    if fold.train is not material.data:
        unseen += [fold.correct(head) for head in _fits(material, fold.train, trial.candidate, seeds[1:])]
        whole = seeds[:ON_ALL]
        if not _are_alike(unseen, weights):
            return False, []
    fitted = _fits(material, material.data, trial.candidate, whole)
    return _are_alike([fold.correct(head) for head in fitted], weights, unseen), fitted


def _fits(material: Material, data: Features, candidate: Candidate, seeds: Sequence[int]) -> list[Head]:
    return [head for _, head in side_by_side(material, data, [candidate], seeds)]


def _are_alike(
    right: Sequence[np.ndarray | None], weights: np.ndarray, beside: Sequence[np.ndarray | None] = ()
) -> bool:
    """Whether fits are finite and the best of them, and of those ``beside``, leads none of them by much."""
    known = {number: found for number, found in enumerate([*right, *beside]) if found is not None}
    near = near_best(known, weights, STEADY_ERRORS, STEADY_POINTS)
    return set(range(len(right))) <= set(near)
