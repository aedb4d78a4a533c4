"""The scores of a head: an entry of ``SCORES`` is in every report, table, format and gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial

import numpy as np

from ltfix.evaluation.scores import class_accuracy, shot_means
from ltfix.evaluation.shots import FEW, MANY, SHOTS, group

_RECALL_FLOOR = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Verdicts:
    """What one head says of the test samples.

    Attributes:
        predicted, labels: [N] predicted and true classes.
        shots: [K] the shot of each class, an index into ``SHOTS``.
        rank: [N] how many classes come before the true one (255: or more); None where only the first was
            asked for.
    """

    predicted: np.ndarray
    labels: np.ndarray
    shots: np.ndarray
    rank: np.ndarray | None = None

    @cached_property
    def recall(self) -> np.ndarray:
        """[K] accuracy per class, NaN for a class without samples."""
        return class_accuracy(self.predicted, self.labels, len(self.shots))

    @property
    def correct(self) -> np.ndarray:
        """[N] bool, whether the prediction is right."""
        return np.asarray(self.predicted == self.labels)

    def worst(self, names: Sequence[str] | None) -> str:
        """The class of least accuracy, by its name, else its index; the first of equal ones."""
        index = int(np.nanargmin(self.recall))
        return names[index] if names is not None and index < len(names) else str(index)

    def scores(self, names: Iterable[str]) -> dict[str, float | None]:
        """These scores as fractions; None for a shot without a tested class."""
        return {name: SCORES[name].of(self) for name in names}


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """What a score is called, and how it is counted of a head's verdicts, as a fraction."""

    title: str
    of: Callable[[Verdicts], float | None]


def harmonic_mean(recall: np.ndarray) -> float | None:
    """Harmonic mean of per-class accuracies [K] (fractions), as LIFT (Shi et al., 2024) reports it.

    A class below 0.001 % counts as 0.001 %, as in its published code, so one class never hit pulls the
    mean close to zero without making it undefined. Classes without samples (NaN) are left out; None if
    that leaves none.
    """
    tested = recall[~np.isnan(recall)]
    if not len(tested):
        return None
    return float(1.0 / np.mean(1.0 / np.maximum(tested, _RECALL_FLOOR)))


def g_mean(recall: np.ndarray) -> float:
    """Geometric mean of per-class accuracies [K]; zero where a tested class is never hit."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.nanmean(np.log(recall))))


def macro_f1(verdicts: Verdicts) -> float:
    """Mean over classes of F1 = 2 hits / (tested + predicted samples), of those with either."""
    k = len(verdicts.shots)
    hit = np.bincount(verdicts.labels[verdicts.correct], minlength=k)
    either = np.bincount(verdicts.labels, minlength=k) + np.bincount(verdicts.predicted, minlength=k)
    return float(np.mean(2 * hit[either > 0] / either[either > 0]))


def top_accuracy(verdicts: Verdicts, k: int) -> float | None:
    """Share of samples whose true class is among the ``k`` of largest logits."""
    return None if verdicts.rank is None else float(np.mean(verdicts.rank < k))


def _shot(shot: str, verdicts: Verdicts) -> float | None:
    return shot_means(verdicts.recall, verdicts.shots)[shot]


SCORES = {  # in the order of the columns, which a narrow terminal leaves out from the right
    "all": Score("All", lambda a: float(np.mean(a.correct))),
    **{shot: Score(shot.capitalize(), partial(_shot, shot)) for shot in SHOTS},
    "harmonic_mean": Score("Harmonic", lambda a: harmonic_mean(a.recall)),
    "worst_class": Score("Worst class", lambda a: float(np.nanmin(a.recall))),
    "class_mean": Score("Class mean", lambda a: float(np.nanmean(a.recall))),
    "g_mean": Score("G-mean", lambda a: g_mean(a.recall)),
    "macro_f1": Score("Macro-F1", macro_f1),
    "top5": Score("Top-5", partial(top_accuracy, k=5)),
}
TITLES = {name: score.title for name, score in SCORES.items()}


def shot_accuracy(
    predicted: np.ndarray, labels: np.ndarray, counts: np.ndarray, many: int = MANY, few: int = FEW
) -> dict[str, float | None]:
    """``all`` and the shots' accuracies of predicted and true classes [N], by training samples [K]."""
    return Verdicts(predicted, labels, group(counts, many, few).of).scores(("all", *SHOTS))
