"""The method ``auto``: every method that fits the case, tuned, and the one that validation samples justify.

Tuned methods differ by less than the noise of a validation cut, and a cut that the backbone has seen
flatters those that train longest on it. So the highest score alone does not win: of all methods within one
standard error of it, those that change least are preferred, and of these the one that scores highest. The
start itself is left only for a gain that is to be seen (``EVIDENCE``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ltfix._version import __version__
from ltfix.errors import LtfixError
from ltfix.heads.head import Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.methods.registry import Method, methods
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for
from ltfix.stage2.tuning.rule import EVIDENCE, class_weights, lead

NAME = "auto"
UNCHANGED = "unchanged"
TOLERANCE = 1.0
"""Methods that the best one leads by at most this many standard errors count as equally good."""
CHANGES = ("nothing", "a correction of the given layer", "a layer that is trained", "a layer of another form")
"""What a method changes, from least to most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """A tuned method, or the untouched start (without a fit).

    Attributes:
        change: index into ``CHANGES``. correct: [N] whether it is right on each validation sample.
    """

    name: str
    change: int
    correct: np.ndarray
    fit: MethodFit | None = None
    choice: Choice | None = None


def fit_auto(material: Material, seeds: Sequence[int]) -> list[Head]:
    """Tune every method on the same validation samples, choose one, and fit it on all samples.

    Returns:
        One head a seed; ``meta["selection"]["auto"]`` says what was tried, left out and why one was taken.
        Its method is "unchanged" where nothing beats the stage-1 classifier (else the probe).

    Raises:
        InputError: nothing can be held out to choose on.
    """
    material = dataclasses.replace(material, options=dataclasses.replace(material.options, tune=True))
    material.warm_up()
    labels, start = material.held_labels(), material.reference()
    shared = SharedProgress(material.progress)

    def tune(method: Method) -> Contender | None:
        quiet = dataclasses.replace(material, progress=shared.within(method.name, quiet=True))
        fit = MethodFit.of(quiet, resolve(method, {}))
        choice = fit.choose(scored=True)
        if choice.correct is None:
            return None
        return Contender(method.name, _change(method), choice.correct, fit, choice)

    every = methods()
    found = run_each(tune, every, shared, "methods tuned", threads_for(material))
    left_out = {m.name: e.what for m, e in zip(every, found, strict=True) if isinstance(e, LtfixError)}
    field = [Contender(UNCHANGED, 0, start), *(c for c in found if isinstance(c, Contender))]
    taken, table, why = decide(field, labels)
    record = {"by": BY, "on": material.folds()[0].where, "tried": table, "left_out": left_out, "why": why}
    if taken.fit is None or taken.choice is None:
        return [_untouched(material, seed, record) for seed in seeds]
    fit = dataclasses.replace(taken.fit, material=material)
    choice = dataclasses.replace(taken.choice, record={**taken.choice.record, "auto": record})
    return fit.train(choice, seeds)


def _change(method: Method) -> int:
    if method.loss is None:
        return 1 if method.keeps_start else 3
    return 3 if method.head.transforms else 2


def decide(field: Sequence[Contender], labels: np.ndarray) -> tuple[Contender, list[dict[str, Any]], str]:
    """The contender to take, the table of all by falling score, and the reason in words.

    Args:
        labels: [N] of the validation samples.
    """
    weights = class_weights(labels)
    scores = {c.name: float(weights @ c.correct) for c in field}
    best = max(field, key=lambda c: (scores[c.name], -c.change))
    behind = {c.name: lead(best.correct, c.correct, weights) for c in field}
    allowed = {c.name: TOLERANCE if c.change else EVIDENCE for c in field}
    near = [c for c in field if behind[c.name][0] <= allowed[c.name] * behind[c.name][1]]
    taken = min(near, key=lambda c: (c.change, -scores[c.name]))
    table = [
        {
            "method": c.name,
            "score": round(scores[c.name], 6),
            "behind": round(behind[c.name][0], 6),
            "error": round(behind[c.name][1], 6),
            "changes": CHANGES[c.change],
        }
        for c in sorted(field, key=lambda c: (-scores[c.name], c.change))
    ]
    return taken, table, _why(taken, best, scores, behind[taken.name], len(near))


def _why(
    taken: Contender, best: Contender, scores: dict[str, float], behind: tuple[float, float], near: int
) -> str:
    if taken.name == best.name:
        return f"{taken.name} has the highest {BY} on the validation samples, {100 * scores[taken.name]:.1f}"
    ahead, error = 100 * behind[0], 100 * behind[1]
    first = f"{best.name} scores highest ({100 * scores[best.name]:.1f}), but leads"
    if not taken.change:
        return f"{first} the untouched start by only {ahead:.1f} ± {error:.1f}: no gain is to be seen"
    return (
        f"{first} {taken.name} by only {ahead:.1f} ± {error:.1f}: of {near} within one standard error, "
        f"{taken.name} changes least ({CHANGES[taken.change]})"
    )


def _untouched(material: Material, seed: int, record: dict[str, Any]) -> Head:
    """The start as a head of its own."""
    train = material.train
    return dataclasses.replace(
        material.start(material.data),
        method=UNCHANGED,
        classes=train.classes,
        counts=train.counts,
        meta={
            "values": {},
            "init": {"from": "probe" if train.head is None else "stage1"},
            "seed": seed,
            "selection": {"by": BY, "on": record["on"], "epoch": "last", "auto": record},
            "cache": train.fingerprint,
            "versions": {"ltfix": __version__, "torch": torch.__version__},
        },
    )
