"""The method ``auto``: every method that fits the case, tuned, and the one that validation justifies."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ltfix.errors import InputError, LtfixError, UsageError
from ltfix.evaluation.baseline import pack_correct, unpack_correct
from ltfix.evaluation.likelihood import class_weights
from ltfix.heads.head import PROBE, STAGE1, Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.starts import told_of
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.loop.data import Features
from ltfix.stage2.methods.method import find_start
from ltfix.stage2.methods.registry import Method, methods
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.budget import limit
from ltfix.stage2.tuning.means import averaged, mean_directions
from ltfix.stage2.tuning.method_fit import Choice, MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for
from ltfix.stage2.tuning.store import NOWHERE, Finished, Store, settings_of, shared_settings
from ltfix.stage2.tuning.verdict import AVERAGED, UNCHANGED, Contender, decide

SURE_VALUES = 1 << 19
"""Of logits that are kept of each method, to see which agree: 2 MiB."""
_SHOWN = 0.0005
"""A score that is less by so much is told so: a tenth of a point."""
_LESS = (
    "the average has {:.1f} less than {} alone and is taken all the same: samples that were seen, by the "
    "backbone or the fits, flatter what was trained on them, and class means fit no noise"
)
UNSCORED = dict.fromkeys(("many", "medium", "few", "worst_class"))


def fit_auto(
    material: Material,
    seeds: Sequence[int],
    entries: Sequence[Method] | None = None,
    store: Store = NOWHERE,
) -> list[Head]:
    """Tune every method on the same validation samples, choose one, and fit it on all samples.

    Args:
        entries: the methods; None: all. store: keeps what is tuned, so that the same call goes on.

    Returns:
        One head a seed; ``meta["selection"]["auto"]`` says what was tried, left out and why one was taken,
        ``meta["selection"]["score"]`` how the head as it is does on the samples that chose it.
        Its method is "unchanged" where nothing beats the stage-1 classifier, "auto" where nothing beats the
        probe and it is averaged with the class means.

    Raises:
        InputError: nothing can be held out to choose on.
        UsageError, EnvironmentFault: of the store.
    """
    asked = dataclasses.replace(material, options=dataclasses.replace(material.options, tune=True))
    material = dataclasses.replace(asked, options=dataclasses.replace(asked.options, calibrate=None))
    every = methods() if entries is None else entries
    with store.held():
        field = _Field(material, every, seeds, store)
        contenders, labels = field.contenders(), field.searched.held_labels()
        means = field.searched.right(lambda data: mean_directions(field.searched, data))
        average, fresh = material.options.average, field.searched.folds()[0].fresh
        mean = field.averaged if average else None
        verdict = decide(contenders, means, labels, fresh=fresh, mean=mean)
    taken, weights = verdict.taken, class_weights(labels)
    about = field.searched.search.about
    part = about.get("tuned_on")
    short = f"; tuned on {part}, by the budget: more, or fewer methods, may show more" if part else ""
    score, alone, before = (
        round(float(weights @ each), 6) for each in (verdict.correct, taken.correct, contenders[0].correct)
    )
    less = f"; {_LESS.format(100 * (alone - score), taken.name)}" if alone - score >= _SHOWN else ""
    record = {
        "by": BY,
        "on": field.searched.folds()[0].where,
        "tried": verdict.table,
        "left_out": field.left_out,
        "averaged": verdict.averaged,
        "alone": alone,
        "why": verdict.why + less + short,
        **({} if average else {"average": False}),
    }
    selection = {"by": BY, "on": record["on"], "epoch": "last", "score": score, "start_score": before}
    selection |= {**(taken.head.meta["selection"] if taken.head else {}), "score": score, "auto": record}
    selection |= {"budget": about} if about else {}
    means_told = (
        f", averaged with the class means (average=False is without them: {100 * alone:.1f})"
        if verdict.averaged
        else ""
    )
    told = f"auto takes {taken.name}{means_told}: {BY} on the validation samples {100 * score:.1f}"
    material.progress.note(f"{told}, of the start {100 * before:.1f}")

    def finish(head: Head, data: Features) -> Head:
        return averaged(head, material, data) if verdict.averaged else head

    if taken.fit is None or taken.choice is None or taken.head is None:
        heads = [finish(_untouched(material, seed, selection), material.data) for seed in seeds]
        return asked.calibrated(heads, lambda data: [finish(material.start(data), data) for _ in seeds])
    fit = dataclasses.replace(taken.fit, material=asked)
    choice = dataclasses.replace(taken.choice, record=selection)
    values = choice.candidate.values.record()  # a file's are sorted
    meta = {**taken.head.meta, "values": values, "selection": selection}
    first = dataclasses.replace(taken.head, meta=meta)
    return fit.train(choice, seeds, done=[first], finish=finish)


class _Field:
    """The methods that can run, tuned, or found in the store.

    Attributes:
        searched: what they are tuned on. left_out: why a method is none of them.
    """

    def __init__(
        self, material: Material, every: Sequence[Method], seeds: Sequence[int], store: Store
    ) -> None:
        self.material, self.seeds, self.seed, self.store = material, seeds, seeds[0], store
        self.shared = SharedProgress(material.progress)
        self.left_out: dict[str, str] = {}
        self.fits: list[MethodFit] = []
        for method in every:
            own = method.loss is not None and method.loss.by_autograd  # of which there is more to say
            heard = dataclasses.replace(material, progress=self.shared.within(method.name, quiet=not own))
            try:
                self.fits.append(MethodFit.of(heard, resolve(method, {})))
            except (InputError, UsageError) as err:
                self.left_out[method.name] = err.what
        self.settings = shared_settings(material, store.folder is not None)
        store.refuse_others(
            {self.name(fit): settings_of(self.settings, fit.values, self.seed) for fit in self.fits}
        )
        self.threads = threads_for(material)
        self.searched = self.within_budget(self.fits, tell=False)
        self.settings["searched"] = self.searched.search.about.get("tuned_on")

    def contenders(self) -> list[Contender]:
        """All that can be taken, the untouched start first."""
        kept = [self.kept(fit) for fit in self.fits]
        if any(kept):
            self.material.progress.note(
                f"{sum(k is not None for k in kept)} tuned methods are taken from {self.store.folder}"
            )
        todo = [fit for fit, known in zip(self.fits, kept, strict=True) if known is None]
        if not self.searched.search.about:  # else the budget says what there is to do
            self.within_budget(todo, tell=True)
        self.searched.warm_up()
        made = run_each(self.tune, todo, self.shared, "methods tuned", self.threads)
        for fit, result in zip(todo, made, strict=True):
            if isinstance(result, LtfixError):
                self.left_out[fit.values.method.name] = result.what
        tuned = iter(made)
        found = [known or next(tuned) for known in kept]
        untouched = self.sure(self.material.start(self.material.data))
        came = self.material.start(self.material.data).method != PROBE
        start = Contender(UNCHANGED, 0, self.searched.reference(), untouched, came)
        return [start, *(c for c in found if isinstance(c, Contender))]

    def within_budget(self, fits: Sequence[MethodFit], *, tell: bool) -> Material:
        """What these are tuned on; ``tell`` says how long that takes, where nothing is left out."""
        material = self.material
        if tell:
            whole = dataclasses.replace(material.options, budget=None)
            material = dataclasses.replace(material, options=whole)
        told = [dataclasses.replace(fit, material=material) for fit in fits]
        more: dict[str, Any] = {"tell": tell, "store": self.store, "shared": self.settings}
        return limit(told, len(self.seeds), threads=self.threads, **more) if told else self.material

    def tune(self, fit: MethodFit) -> Contender:
        """A method tuned and fitted, and kept."""
        began = time.perf_counter()
        choice = dataclasses.replace(fit, material=self.within(fit)).choose(scored=True)
        head = fit.train(choice, [self.seed])[0]
        choice, correct = dataclasses.replace(choice, fitted=()), choice.correct  # which are large
        if correct is None:  # it diverged wherever it was tried
            raise InputError("no fit of it has finite weights")
        seconds, scores = time.perf_counter() - began, {**UNSCORED, "all": float(correct.mean())}
        run = Finished(scores, seconds, "", pack_correct(correct), choice.number)
        self.store.save(self.name(fit), settings_of(self.settings, fit.values, self.seed), head, run)
        return self.contender(fit, choice, head, correct)

    def kept(self, fit: MethodFit) -> Contender | None:
        """A method as the store has it."""
        name = self.name(fit)
        run = self.store.find(name, settings_of(self.settings, fit.values, self.seed))
        if run is None:
            return None
        head, n = self.store.head(name), len(self.searched.held_labels())
        tuned = dataclasses.replace(fit, material=self.within(fit))
        correct = unpack_correct(run.correct, n, self.store.folder, name)
        choice = tuned.chosen(run.chosen, head.meta["selection"], correct)
        return self.contender(fit, choice, head, correct)

    def contender(self, fit: MethodFit, choice: Choice, head: Head, correct: np.ndarray) -> Contender:
        """What is to be known of a tuned method."""
        method = fit.values.method
        if method.loss is None:
            change = 1 if method.keeps_start else 3
        else:
            change = 3 if method.head.transforms else 2
        return Contender(method.name, change, correct, self.sure(head), False, fit, choice, head)

    def averaged(self, taken: Contender) -> np.ndarray:
        """[N] whether its average with the class means is right on each validation sample."""

        def mean(data: Features) -> Head:
            head = self.fitted(taken, data)
            return averaged(head, self.searched, data) if head.is_finite else head

        return self.searched.right(mean)

    def fitted(self, taken: Contender, data: Features) -> Head:
        """It as it is fitted on these samples, or the start of them; not finite where that diverges."""
        if taken.choice is None or taken.head is None:
            return self.searched.start(data)
        if data is self.material.data:  # as it is where a validation cache holds the others
            return taken.head
        candidate, stop = taken.choice.candidate, taken.choice.stop
        fitter = self.searched.fitter(data, *candidate.ground)
        return fitter.fit([candidate.values], [self.seed], stop=stop, tolerant=True)[0][0]

    def sure(self, head: Head) -> np.ndarray:
        """[n, K] what a head says of evenly spaced validation samples."""
        folds = self.searched.folds()
        most = SURE_VALUES // (head.n_classes * len(folds))
        return np.concatenate([fold.directions(head, most) for fold in folds])

    def within(self, fit: MethodFit) -> Material:
        """What a method is tuned on, with its own listener."""
        return dataclasses.replace(self.searched, progress=fit.material.progress)

    def name(self, fit: MethodFit) -> str:
        """What the store calls it."""
        return f"{fit.values.method.name}-s{self.seed}"


def _untouched(material: Material, seed: int, selection: dict[str, Any]) -> Head:
    """The start as a head of its own."""
    init, start = material.options.init, material.start(material.data)
    own = None if init is None else find_start(init).own
    begun = {"from": "stage1" if start.method == STAGE1 else PROBE} if own is None else told_of(own)
    method = AVERAGED if selection["auto"]["averaged"] else UNCHANGED
    named = dataclasses.replace(start, method=method)
    return material.recorded(named, seed, selection, values={}, init=begun)
