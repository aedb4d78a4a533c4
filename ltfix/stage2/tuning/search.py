"""What a fit leaves open is chosen here, by mean class accuracy on validation samples.

Validation samples are few where it matters, in the tail, and a backbone may have seen them. So the best score
alone decides nothing that noise could decide: of all candidates that are about as good as the best one, the
one whose logits stay nearest to the untouched start's is taken, and none that scores below it. Where the best
does not clearly lead the start either, no gain is to be seen, and "about as good" is read more widely. What
is taken must do alike with five seeds: a rate at the edge of what trains may fail with some of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Linear
from ltfix.stage2.methods.compatibility import keeps_features
from ltfix.stage2.methods.registry import Method
from ltfix.stage2.methods.values import CHOSEN, Values

RATES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
"""--tune tries these multiples of a method's rate with every value of the method's grid …"""
DIRECTION_RATES = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""… (these for heads over directions, which take and need higher rates) …"""
SCALES = (0.5, 1.0, 2.0)
"""… and, at the published values, with these multiples of the feature scale, and with standardised features
(with plain ones, where they are standardised anyhow): to heads over directions or norms, another origin. …"""
FRESH = "random"
"""… A fresh head is also tried from stage 1, since few samples do not train one."""
ORIGIN = ("tau-norm", "mult-la")
"""Post-hoc steps that depend on where the features' origin lies."""
UNSCALED = ("cosine", "causal")
"""Heads over directions: the feature scale does nothing that the rate does not do."""
TOLERANCE = 0.5
"""Candidates within so many standard errors of the best one count as equally good."""
EVIDENCE = 1.64
"""So many standard errors the best must lead the start for a gain to be seen: one in twenty by chance."""
SEEDS = 5
"""The choice is fitted with so many seeds on all samples, and dropped where one of them …"""
STEADY = 0.01, 3.25
"""… is behind the best by more than a point and by so many standard errors: by chance, one choice in 100."""
BEST = "highest score"
GAIN = f"nearest to the start of those within {TOLERANCE} standard errors of the best"
UNSTEADY = "none does alike with every seed, so the first choice stays"
NO_GAIN = f"nearest to the start, which the best does not lead by {EVIDENCE} standard errors"


Ground = tuple[str, float, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One setting to try.

    Attributes:
        values: the method's values. scale: multiple of the feature scale. init: where it starts.
        normalize: what is done to the features first.
    """

    values: Values
    scale: float = 1.0
    init: str = "stage1"
    normalize: str = "none"

    @property
    def ground(self) -> Ground:
        """What a :class:`~ltfix.stage2.fitting.runs.Fitter` is made for."""
        return self.init, self.scale, self.normalize


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


def candidates(
    values: Values,
    *,
    tune: bool,
    init: str | None = None,
    normalize: str = "none",
    scaled: bool = False,
    normalized: bool = False,
) -> list[Candidate]:
    """The settings to try: the grids of values without a default, and with ``tune`` the method's grid too.

    The rate is tried with every value of the grid and every start; scales and another normalisation only
    beside the published values, since they act much like a rate (but not on heads over directions). A value
    that was given is not searched.

    Args:
        init: the start that was asked for; None: the method's own is open.
        normalize: what is done to the features, unless the method needs them as they are.
        scaled: whether the feature scale is open. normalized: whether the normalisation is.
    """
    method = values.method
    grids = _grids(values, tune)
    own = init or method.init
    inits = (own, "stage1") if tune and init is None and own == FRESH else (own,)
    scales = SCALES if tune and scaled and method.loss is not None and method.head not in UNSCALED else ()
    usual = "none" if keeps_features(values) else normalize
    other = "none" if usual == "standardize" else "standardize"
    shifts = [other] if tune and normalized and _has_origin(values) else []
    every = method.loss is None or method.head in UNSCALED
    beside = [] if every else [name for name in grids if name != "lr"]
    found = []
    for point in itertools.product(*grids.values()):
        chosen = values.choose(**dict(zip(grids, point, strict=True)))
        found += [Candidate(chosen, 1.0, start, usual) for start in inits]
        if all(chosen[name] == values[name] for name in beside):
            found += [Candidate(chosen, scale, own, usual) for scale in scales if scale != 1]
            found += [Candidate(chosen, 1.0, own, shift) for shift in shifts]
    return found


def searches(method: Method) -> bool:
    """Whether ``--tune`` tries more for a method than it does for itself."""
    return bool(method.loss or method.grid or method.posthoc in ORIGIN)


def _has_origin(values: Values) -> bool:
    """Whether it matters to a method where the features' origin lies, and another makes sense."""
    trained = values.method.loss is not None and not keeps_features(values)
    return trained or values.method.posthoc in ORIGIN


def _grids(values: Values, tune: bool) -> dict[str, list[Any]]:
    """What is tried of each open value, its default among it."""
    grids: dict[str, list[Any]] = {}
    for name, spec in values.method.values().items():
        if values[name] is None and spec.grid:
            grids[name] = list(spec.grid)
    if not tune:
        return grids
    for name, tried in values.method.grid.items():
        if values.origin.get(name) == "default":
            more = [] if values[name] is None or values[name] in tried else [values[name]]
            grids[name] = [*tried, *more]
    if values.origin.get("lr") == "default":
        factors = DIRECTION_RATES if values.method.head in UNSCALED else RATES
        grids["lr"] = [factor * values["lr"] for factor in factors]
    return grids


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
