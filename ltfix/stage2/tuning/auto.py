"""The method ``auto``: every method that fits the case, tuned, and the one that validation samples justify.

Tuned methods differ by less than the noise of a validation cut, and a cut that the backbone has seen
flatters those that train longest on it. So the highest score alone does not win:

- The start itself is left only for a gain that is to be seen (``EVIDENCE``).
- A method that fits and chooses nothing, as class means do, cannot be flattered: it is taken where the
  highest score gives no evidence against it.
- Else, of all methods that the best does not clearly lead, the one is taken that agrees most with these
  together, on samples made to lie further from their class means than the training samples do: the errors
  that a method makes alone, the others do not share.
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
from ltfix.seeds import derive
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.posthoc import class_means
from ltfix.stage2.fitting.validation import BY, directions
from ltfix.stage2.loop.data import Features
from ltfix.stage2.methods.registry import Method, methods
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for
from ltfix.stage2.tuning.rule import EVIDENCE, class_weights, lead

NAME = "auto"
UNCHANGED = "unchanged"
CLEARLY = 2.5
"""So many standard errors is a clear lead: one in 160 by chance."""
NOISE = 3.0
"""How many times as far from their class mean as training samples the made samples lie."""
MADE_VALUES = 1 << 19
"""Of the logits of the made samples, for each method: 2 MiB."""
CHANGES = ("nothing", "a correction of the given layer", "a layer that is trained", "a layer of another form")
"""What a method changes, from least to most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """A tuned method, or the untouched start (without a fit).

    Attributes:
        change: index into ``CHANGES``. correct: [N] whether it is right on each validation sample.
        sure: [n, K] logits of the made samples by its fit on all training samples, as directions.
        plain: whether it fits and chooses nothing.
    """

    name: str
    change: int
    correct: np.ndarray
    sure: np.ndarray
    plain: bool = False
    fit: MethodFit | None = None
    choice: Choice | None = None

    @property
    def predicted(self) -> np.ndarray:
        """[n] the classes that it gives the made samples."""
        found: np.ndarray = self.sure.argmax(1)
        return found


def fit_auto(material: Material, seeds: Sequence[int]) -> list[Head]:
    """Tune every method on the same validation samples, choose one, and fit it on all samples.

    Returns:
        One head a seed; ``meta["selection"]["auto"]`` says what was tried, left out and why one was taken.
        Its method is "unchanged" where nothing beats the stage-1 classifier (else the probe).

    Raises:
        InputError: nothing can be held out to choose on.
    """
    asked = dataclasses.replace(material, options=dataclasses.replace(material.options, tune=True))
    material = dataclasses.replace(asked, options=dataclasses.replace(asked.options, calibrate=None))
    material.warm_up()
    labels, start = material.held_labels(), material.reference()
    made = spread_samples(material.data, material.seed)
    shared = SharedProgress(material.progress)

    def tune(method: Method) -> Contender | None:
        quiet = dataclasses.replace(material, progress=shared.within(method.name, quiet=True))
        values = resolve(method, {})
        fit = MethodFit.of(quiet, values)
        choice = fit.choose(scored=True)
        if choice.correct is None:
            return None
        sure = directions(fit.train(choice, seeds[:1])[0].logits(made))
        plain = method.loss is None and not (method.keeps_start or method.grid or values.open)
        return Contender(method.name, _change(method), choice.correct, sure, plain, fit, choice)

    every = methods()
    found = run_each(tune, every, shared, "methods tuned", threads_for(material))
    left_out = {m.name: e.what for m, e in zip(every, found, strict=True) if isinstance(e, LtfixError)}
    untouched = directions(material.start(material.data).logits(made))
    field = [Contender(UNCHANGED, 0, start, untouched), *(c for c in found if isinstance(c, Contender))]
    taken, table, why = decide(field, labels)
    record = {"by": BY, "on": material.folds()[0].where, "tried": table, "left_out": left_out, "why": why}
    if taken.fit is None or taken.choice is None:
        heads = [_untouched(material, seed, record) for seed in seeds]
        return asked.calibrated(heads, lambda data: [material.start(data) for _ in seeds])
    fit = dataclasses.replace(taken.fit, material=asked)
    choice = dataclasses.replace(taken.choice, record={**taken.choice.record, "auto": record})
    return fit.train(choice, seeds)


def _change(method: Method) -> int:
    if method.loss is None:
        return 1 if method.keeps_start else 3
    return 3 if method.head.transforms else 2


def spread_samples(data: Features, seed: int) -> np.ndarray:
    """[n, D]: class means, each moved by ``NOISE`` times another sample's way from its own class mean.

    Both the class and the other sample are drawn with every class alike; classes of one sample have no ways.
    """
    rng = np.random.default_rng(derive(seed, "auto"))
    blocks = ((x, data.labels[part]) for part, x in data.mean_views())
    means, counts = class_means(blocks, len(data.counts), data.dim)
    present, n = np.flatnonzero(counts), int(np.clip(MADE_VALUES // len(counts), 64, 8192))
    share = np.where(counts[data.labels] > 1, 1.0 / counts[data.labels], 0.0)
    if not share.any():
        return np.asarray(means[rng.choice(present, n)], np.float32)
    others = rng.choice(len(data), n, p=share / share.sum())
    own = data.labels[others]
    way = (data.mean_of(others) - means[own]) * np.sqrt(counts[own] / (counts[own] - 1))[:, None]
    found: np.ndarray = (means[rng.choice(present, n)] + NOISE * way).astype(np.float32)
    return found


def decide(field: Sequence[Contender], labels: np.ndarray) -> tuple[Contender, list[dict[str, Any]], str]:
    """The contender to take, the table of all by falling score, and the reason in words.

    Args:
        labels: [N] of the validation samples.
    """
    weights = class_weights(labels)
    scores = {c.name: float(weights @ c.correct) for c in field}
    best = max(field, key=lambda c: (scores[c.name], -c.change))
    behind = {c.name: lead(best.correct, c.correct, weights) for c in field}
    allowed = {c.name: CLEARLY if c.change else EVIDENCE for c in field}
    near = [c for c in field if behind[c.name][0] <= allowed[c.name] * behind[c.name][1]]
    together = np.sum([c.sure for c in near], axis=0).argmax(1)
    agreement = {c.name: float((c.predicted == together).mean()) for c in field}
    plain = {c.name: c.plain and behind[c.name][0] <= EVIDENCE * behind[c.name][1] for c in near}
    taken = max(near, key=lambda c: (not c.change, plain[c.name], agreement[c.name], scores[c.name]))
    table = [
        {
            "method": c.name,
            "score": round(scores[c.name], 6),
            "behind": round(behind[c.name][0], 6),
            "error": round(behind[c.name][1], 6),
            "agreement": round(agreement[c.name], 6),
            "changes": CHANGES[c.change],
        }
        for c in sorted(field, key=lambda c: (-scores[c.name], c.change))
    ]
    ahead, error = (100 * number for number in behind[taken.name])
    first = f"{best.name} scores highest ({100 * scores[best.name]:.1f})"
    if taken.name == best.name:
        why = f"{best.name} has the highest {BY} on the validation samples, {100 * scores[best.name]:.1f}"
    elif not taken.change:
        why = (
            f"{first}, but leads the untouched start by only {ahead:.1f} ± {error:.1f}: no gain is to be seen"
        )
    elif plain[taken.name]:
        gap = f"{ahead:.1f} ± {error:.1f}"
        why = f"{first}, but leads {taken.name}, which fits and chooses nothing, by only {gap}"
    else:
        why = (
            f"{first}, but does not clearly lead {len(near) - 1} others; of these, {taken.name} "
            f"({ahead:.1f} ± {error:.1f} behind) agrees most with them all"
        )
    return taken, table, why


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
