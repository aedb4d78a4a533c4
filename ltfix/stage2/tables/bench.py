"""What the rows of a table share: caches to fit on, samples to score on, and the form of scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.errors import UsageError
from ltfix.evaluation.gate import untested
from ltfix.evaluation.given import is_same, training_counts
from ltfix.evaluation.metrics import TITLES, Verdicts
from ltfix.evaluation.scores import predictions, spread
from ltfix.evaluation.shots import SHOTS, group
from ltfix.evaluation.table import Column
from ltfix.features.provenance import demand_alike
from ltfix.features.read import CacheLike
from ltfix.heads.head import Head
from ltfix.progress import Progress
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.compatibility import open_caches
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tables.entries import SCORES

Scores = Mapping[str, float | None]


class Bench:
    """Where the rows of a table are fitted and scored.

    Args:
        train: the training cache. test: the cache that scores; None: ``val`` does, else a class-wise cut of
            the training samples, which is left out of the fits.
        options: how to fit. seed: of the cut. many, few: Many is n > many, Few is n < few.

    Attributes:
        material: what all fits share. test: the opened cache that scores; None where validation samples do.
        data: what is fitted. labels: [N] of the samples that score. where: these samples in words.
        shots: the shot of each of the K classes. otherwise: notes of test pictures prepared otherwise.

    Raises:
        InputError: caches that are wrong or do not fit each other.
    """

    def __init__(
        self,
        train: CacheLike,
        test: CacheLike | None,
        val: CacheLike | None,
        options: Options,
        seed: int,
        *,
        many: int,
        few: int,
        progress: Progress,
    ) -> None:
        opened, held, self.test = open_caches(train, val, options, test)
        self.material = Material.of(opened, held, options, seed, progress)
        self.otherwise = () if self.test is None else demand_alike(opened, self.test, opened.path)
        self.shots = group(training_counts(opened), many, few)
        if self.test is not None:
            self.data, self.labels, self.where = self.material.data, self.test.labels, str(self.test.path)
        else:
            fold = self.material.folds()[0]
            self.data, self.labels, self.where = fold.train, fold.held.labels, fold.where

    def demand_fresh(self) -> None:
        """Refuse to choose on what is scored: a validation cache that is the test cache (UsageError)."""
        if is_same(self.material.held, self.test):
            hint = "leave it out: a cut of the training samples serves"
            raise UsageError("it is the test cache, on which nothing may be chosen", where="val", hint=hint)

    def penalty(self) -> dict[str, Any] | None:
        """The penalty of the probe where the fits begin at one, and in words the samples that chose it."""
        found = {} if self.material.came else self.material.start(self.material.data).meta
        return {key: found[key] for key in ("penalty", "chosen_on")} if "chosen_on" in found else None

    def demand_tested(self, held: Iterable[str]) -> None:
        """Refuse a gate on a shot that no tested class is of, before anything is fitted (InputError)."""
        tested = {SHOTS[shot] for shot in self.shots.of[np.unique(self.labels)]}
        for name in held:
            if name in SHOTS and name not in tested:
                raise untested(name)

    def measure(self, head: Head) -> tuple[Scores, str, np.ndarray]:
        """Of a head the scores, its worst class by name, and which samples it got right, [N] bool.

        Scores are accuracies as fractions: over samples, by shot, and of classes the mean and the worst.
        """
        if self.test is not None:
            predicted = predictions(head, self.test)
        else:
            predicted = self.material.folds()[0].predict(head)
        found = Verdicts(predicted, self.labels, self.shots.of)
        return found.scores(SCORES), found.worst(self.material.train.classes), found.correct


def spreads(runs: Sequence[Scores], keys: Iterable[str]) -> dict[str, Any]:
    """Mean and deviation of every score over the runs of one row."""
    return {key: spread(scores[key] for scores in runs) for key in keys}


def score_columns(keys: Iterable[str]) -> tuple[Column, ...]:
    """The columns of these scores."""
    return tuple(Column(key, TITLES[key], "spread", "max") for key in keys)


def penalty_note(of_probe: Mapping[str, Any] | None) -> list[str]:
    """That validation samples chose where the fits begin, which shows in no row."""
    if of_probe is None:
        return []
    on = f"{of_probe['chosen_on']}, the same for every seed: no ± or interval holds it"
    return [f"The penalty of the probe, {of_probe['penalty']:g}, was chosen on {on}."]


def seeds_note(seeds: Sequence[int]) -> list[str]:
    """What ± means, where there is something to deviate."""
    told = f"Mean ± standard deviation over {len(seeds)} seeds; without ± one fit serves them all."
    return [told] if len(seeds) > 1 else []
