"""Candidates fitted and scored on validation samples, and what is taken of them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.likelihood import class_weights
from ltfix.heads.head import Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.validation import BY, Validation
from ltfix.stage2.loop.data import Features
from ltfix.stage2.methods.parts import Part
from ltfix.stage2.methods.values import CHOSEN
from ltfix.stage2.tuning.candidates import VARIED, Candidate, Ground
from ltfix.stage2.tuning.rule import (
    EVIDENCE,
    TOLERANCE,
    Trial,
    lead,
    near_best,
)

EARLY, EARLY_FROM = 0.25, 6
"""Of so many settings or more, this share of their epochs is run first, on the first fold, and to their end
only those that may still be taken then."""
EARLY_POINTS, EARLY_ERRORS = 0.01, 2.0
"""Clearly behind is more than a point, and more than this many standard errors where that is more. For less
than a point nothing is left on the way."""


def search(material: Material, tried: Sequence[Candidate], seed: int) -> list[Trial]:
    """Fit the candidates on what each fold leaves, and see how they do on the rest.

    After each, those go on of which the rule may still take one. What led after a part of its epochs may end
    behind the start: then all are run to their end that were not clearly behind.
    """
    rung = _worth_finishing(material, tried, seed)
    going = list(rung.going)
    right: list[list[np.ndarray | None]] = [[] for _ in tried]
    drift: list[list[float]] = [[] for _ in tried]
    folds, labels = material.folds(), np.empty(0, np.int64)

    def see(fold: Validation, start: np.ndarray, numbers: Sequence[int]) -> None:
        for place, linear in side_by_side(material, fold.train, [tried[i] for i in numbers], [seed]):
            right[numbers[place]].append(fold.correct(linear))
            if linear.is_finite:
                drift[numbers[place]].append(_drift(fold, linear, start))

    for fold, start in zip(folds, material.start_directions(), strict=True):
        see(fold, start, going)
        if fold is folds[0] and rung.others and _all_behind(material, [right[number][0] for number in going]):
            see(fold, start, rung.others)
            going += rung.others
        labels = np.concatenate([labels, fold.held.labels])
        if fold is not folds[-1] and _is_halved(tried):
            known = {number: joined(right[number]) for number in going}
            found = {number: each for number, each in known.items() if each is not None}
            going = _foremost(found, [_mean(each) for each in drift], class_weights(labels)) or going
    return [
        Trial(
            candidate,
            joined(right[number]) if number in going else None,
            _mean(drift[number]),
            early=number not in going,
            begun=number in rung.begun,
            cuts=len(right[number]),
            seen=joined(right[number]) if right[number] else rung.right.get(number),
            first=right[number][0] if right[number] else None,
        )
        for number, candidate in enumerate(tried)
    ]


def _all_behind(material: Material, right: Sequence[np.ndarray | None]) -> bool:
    """Whether the start does better than each, by what they got right of the first fold's samples."""
    weights = class_weights(material.folds()[0].held.labels)
    start = float(weights @ material.reference()[: len(weights)])
    return all(found is None or float(weights @ found) < start for found in right)


def _drift(fold: Validation, head: Head, start: np.ndarray) -> float:
    return 1 - float((fold.directions(head) * start).sum(1).mean())


def _mean(drift: Sequence[float]) -> float:
    return float(np.mean(drift or [math.inf]))


def _foremost(right: Mapping[int, np.ndarray], drift: Sequence[float], weights: np.ndarray) -> list[int]:
    """Those that may still be taken: as good as the best, or led by none that stays nearer to the start.

    Leading, as in ``ltfix.stage2.tuning.rule``, is by more than ``TOLERANCE`` standard errors, and good is
    what the best does not lead by ``EVIDENCE``; and both is by more than a point, since on the samples so far
    one or two that are classed otherwise may be as much. Of those that are right on the very same samples the
    nearest to the start, the farthest and one between go on.
    """

    def is_led(mine: int) -> bool:
        nearer = (theirs for theirs in right if drift[theirs] <= drift[mine])
        leads = (lead(right[theirs], right[mine], weights) for theirs in nearer)
        return any(ahead > max(EARLY_POINTS, TOLERANCE * error) for ahead, error in leads)

    best, alike = near_best(right, weights, TOLERANCE), dict[bytes, list[int]]()
    for number in near_best(right, weights, EVIDENCE, EARLY_POINTS):
        if number in best or not is_led(number):
            alike.setdefault(right[number].tobytes(), []).append(number)
    by_drift = (sorted(group, key=drift.__getitem__) for group in alike.values())
    return sorted({number for group in by_drift for number in (group[0], group[len(group) // 2], group[-1])})


@dataclasses.dataclass(frozen=True, slots=True)
class _Rung:
    """Which candidates were run a part of their epochs.

    Attributes:
        begun: all of them. going: those that may still be taken. others: those that are not clearly behind.
        right: of each that is finite, [n] whether it is right on the first fold's samples.
    """

    begun: Sequence[int]
    going: Sequence[int]
    others: Sequence[int] = ()
    right: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)


def _worth_finishing(material: Material, tried: Sequence[Candidate], seed: int) -> _Rung:
    """Run candidates a part of their epochs.

    Coarse steps of the rate are run; then what lies beside one that is not clearly behind, or below one that
    diverged. A higher rate does in that part what a lower one does in all epochs, so it speaks for it too.
    """
    everyone = range(len(tried))
    if not _is_halved(tried):
        return _Rung(everyone, everyone)
    fold = material.folds()[0]
    weights = class_weights(fold.held.labels)
    beside = [pair for line in _lines(tried) for pair in itertools.pairwise(line)]
    start = material.start_directions()[0]
    right, drift = dict[int, np.ndarray](), [math.inf] * len(tried)
    begun, fine = list[int](), set[int]()
    following = [number for number in everyone if not tried[number].later] or list(everyone)
    while following:
        begun += following
        short = [_shortened(tried[number]) for number in following]
        for place, head in side_by_side(material, fold.train, short, [seed]):
            found = fold.correct(head)
            if found is not None:
                right[following[place]] = found
                drift[following[place]] = _drift(fold, head, start)
        fine = set(near_best(right, weights, EARLY_ERRORS, EARLY_POINTS))
        diverged = set(begun).difference(right)
        near = {n for pair in beside if fine.intersection(pair) for n in pair}
        near |= {low for low, high in beside if high in diverged}
        following = sorted(near.difference(begun))

    def spoken_for(by: Collection[int]) -> list[int]:
        return [
            number
            for number in begun
            if any(
                as_fast(tried[n], tried[number])
                and EARLY * tried[n].values["lr"] <= tried[number].values["lr"]
                for n in by
            )
        ]

    going = spoken_for(_foremost(right, drift, weights)) or begun
    return _Rung(begun, going, sorted(set(spoken_for(fine)).difference(going)), right)


def _lines(tried: Sequence[Candidate]) -> list[list[int]]:
    """The candidates that differ in nothing but their rate, from the lowest to the highest."""
    lines: list[list[int]] = []
    for number in sorted(range(len(tried)), key=lambda number: tried[number].values["lr"]):
        line = next((line for line in lines if as_fast(tried[number], tried[line[0]])), None)
        if line is None:
            lines.append(line := [])
        line.append(number)
    return lines


def _shortened(candidate: Candidate) -> Candidate:
    values = candidate.values
    return dataclasses.replace(candidate, values=values.choose(epochs=math.ceil(EARLY * values["epochs"])))


def _is_halved(tried: Sequence[Candidate]) -> bool:
    """Whether the candidates are so many, and each so dear, that not all run to their end."""
    return len(tried) >= EARLY_FROM and all(c.values.method.loss is not None for c in tried)


def side_by_side(
    material: Material, data: Features, tried: Sequence[Candidate], seeds: Sequence[int]
) -> Iterator[tuple[int, Head]]:
    """Fit candidates, those of one ground together: the number of each and a fit of it, seed after seed.

    A fit that diverged is not finite.
    """
    grounds: dict[Ground, list[int]] = {}
    for number, candidate in enumerate(tried):
        grounds.setdefault(candidate.ground, []).append(number)
    for ground, members in grounds.items():
        fitter = material.fitter(data, *ground)
        settings = [tried[number].values for number in members]
        for fitted in fitter.fit(settings, seeds, tolerant=True):
            yield from zip(members, fitted, strict=True)


def joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """[N] of all folds from [n] of each; None where one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def as_fast(ours: Candidate, theirs: Candidate) -> bool:
    """Whether a candidate is another one at the same or a higher rate."""
    rate = theirs.values["lr"]
    same = ours.values.choose(lr=rate).values == theirs.values.choose(lr=rate).values
    return same and ours.ground == theirs.ground and ours.values["lr"] >= rate


def describe(
    trials: Sequence[Trial], chosen: int, rule: str, *, labels: np.ndarray, start: np.ndarray, on: str
) -> dict[str, Any]:
    """The record for the head file: what was tried, with scores, and what was taken."""

    def score(correct: np.ndarray | None) -> float | None:
        if correct is None:
            return None
        return round(float(class_weights(labels[: len(correct)]) @ correct), 6)

    def named(varied: Any) -> Any:
        return varied.name if isinstance(varied, Part) else varied

    names = [name for name, origin in trials[chosen].candidate.values.origin.items() if origin == CHOSEN]
    varied = [key for key in VARIED if len({getattr(t.candidate, key) for t in trials}) > 1]
    return {
        "chosen": names + [VARIED[key] for key in varied],
        "by": BY,
        "on": on,
        "rule": rule,
        "score": score(trials[chosen].correct),
        "start_score": score(start),
        "tried": [
            {
                **{name: t.candidate.values[name] for name in names},
                **{VARIED[key]: named(getattr(t.candidate, key)) for key in varied},
                "score": score(t.correct),
                **({} if t.steady else {"steady": False}),
                **({"early": True, "cuts": t.cuts, "early_score": score(t.seen)} if t.early else {}),
            }
            for t in trials
            if t.begun
        ],
    }


def chosen_values(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen for a head on validation samples, by name, of the metadata that it was fitted with."""
    known, said = {**meta["coordinates"], "init": meta["init"]["from"]}, meta["selection"]
    known |= {name: value["value"] for name, value in meta["values"].items()}
    epoch = {} if said["epoch"] == "last" else {"epoch": said["epoch"]}
    return {name: known[name] for name in said.get("chosen", ()) if name in known} | epoch


def best_epoch(material: Material, candidate: Candidate, seed: int) -> tuple[int, list[float], np.ndarray]:
    """The number of epochs after which a run scores best, the score after each, and its correctness then."""
    folds = [_right_by_epoch(material, fold, candidate, seed) for fold in material.folds()]
    weights = class_weights(material.held_labels())
    after = [joined(parts) for parts in zip(*folds, strict=True)]
    right = [np.zeros(len(weights), bool) if part is None else part for part in after]
    scores = [float(weights @ part) for part in right]
    best = int(np.argmax(scores))
    return best + 1, scores, right[best]


def _right_by_epoch(
    material: Material, fold: Validation, candidate: Candidate, seed: int
) -> list[np.ndarray | None]:
    """After every epoch, [n] whether a run is right on each sample that the fold holds out."""
    found: list[np.ndarray | None] = []
    fitter = material.fitter(fold.train, *candidate.ground)
    fitter.fit([candidate.values], [seed], watch=lambda epoch: found.append(fold.correct(epoch.heads[0][0])))
    return found[1:]  # the first is the start's
