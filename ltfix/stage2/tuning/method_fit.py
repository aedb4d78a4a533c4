"""One method on one training cache: choose the values that are open, train, and record both in the heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.likelihood import class_weights
from ltfix.features.foreign import ask_from_1
from ltfix.heads.head import INIT, STAGE1, Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.runs import AfterEpoch
from ltfix.stage2.fitting.trace import Trace
from ltfix.stage2.fitting.validation import BY, Validation, cut
from ltfix.stage2.loop.data import Features
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.compatibility import decide
from ltfix.stage2.methods.values import Values
from ltfix.stage2.tuning import rule as rules
from ltfix.stage2.tuning import search
from ltfix.stage2.tuning.candidates import Candidate, candidates, nearest_first, searches, unsearched
from ltfix.stage2.tuning.steadiness import find_steady

KEPT = ("head", "loss", "posthoc")
"""The parts that a head file names."""
SEEN_SAMPLES, KEPT_SHARE = 8192, 0.85
"""A fit that gets right less than this share of what its start did, of so many training samples, unlearned:
where that was tried, such fits did worse than the start on test samples, and hardly another."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and how.

    Attributes:
        candidate: values, feature scale and start. record: for the head file.
        correct: [N] whether the chosen fit is right on each validation sample; None where none was looked at.
        stop: the epochs to run; None: all.
        number: which of the candidates was taken.
        fitted: its fits on all samples, of the material's seed and those after it, where choosing made them.
    """

    candidate: Candidate
    record: dict[str, Any]
    correct: np.ndarray | None = None
    stop: int | None = None
    number: int = 0
    fitted: Sequence[Head] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class MethodFit:
    """A method with its values, on a training cache; :meth:`of` makes one."""

    material: Material
    values: Values

    @classmethod
    def of(cls, material: Material, values: Values) -> MethodFit:
        """With the values that the cache decides (InputError, UsageError: it cannot run on this cache)."""
        values, told = decide(values, material.options, material.train)
        if told is not None:
            material.note_once(told)
        if values.any("by_autograd"):
            loss = values.method.loss
            assert loss is not None
            built = build_loss(
                loss, material.data.counts, [values.values]
            )  # which refuses a wrong one at once
            if getattr(built, "is_reversed", False):
                wrong = "is larger where logits are right than where they are wrong: has it the wrong sign?"
                material.note_once(f"the loss {loss} {wrong}")
            if getattr(built, "is_summed", False):
                grows = "of the same samples twice is twice as large: does it add where it should average?"
                rate = "The rate is then too high by as many times as a batch is large"
                material.note_once(f"the loss {loss} {grows} {rate}")
            material.note_once(f"the loss {loss} is differentiated by autograd, slower than a built-in one")
        step, trained = values.parts.get("posthoc"), [values.parts.get(role) for role in ("loss", "sampler")]
        twice = [part for part in trained if part is not None and (part.corrects_prior or part.balanced)]
        if step is not None and step.corrects_prior and twice:
            material.note_once(f"the {twice[0].kind} {twice[0]} and the step {step} both correct the prior")
        left = unsearched(values) if material.options.tune else ()
        if left:
            why = "not searched, for want of a grid: that of a Method says what tune=True tries"
            material.note_once(f"{values.method.name}: {', '.join(left)} {why}")
        return cls(material, values)

    def candidates(self) -> list[Candidate]:
        """The settings to try; one where nothing is open, or a budget leaves the published alone."""
        part, found = self.material.search, self._candidates(tune=self.material.options.tune)
        if part.settings < 1:
            found = part.of(nearest_first(found, self.values))
        return found if len(found) > 1 else self._candidates(tune=False)

    def _candidates(self, *, tune: bool) -> list[Candidate]:
        o = self.material.options
        return candidates(
            self.values,
            tune=tune,
            init=o.init,
            normalize=self.material.normalize,
            scaled=o.feature_scale == "auto",
            normalized=o.normalize == o.feature_scale == "auto",
        )

    def choose(self, *, scored: bool = False) -> Choice:
        """Fill in what is open, on validation samples; ``scored``: look at them even where nothing is."""
        material, o = self.material, self.material.options
        tried = self.candidates()
        by_epoch = o.select == "best-val" and self.values.method.loss is not None
        asked = scored or material.held is not None or bool(o.val_fraction or o.val_per_class)
        budget = {"budget": material.search.about} if material.search.about else {}
        if len(tried) == 1 and not by_epoch and not asked:
            return Choice(tried[0], {"epoch": "last", **budget})
        choice = Choice(tried[0], {"by": BY, "on": material.folds()[0].where})
        if len(tried) > 1 or not by_epoch:
            choice = self._best(tried)
        if by_epoch:
            stop, scores, correct = search.best_epoch(material, choice.candidate, material.seed)
            record = {"epoch": stop, "epoch_scores": [round(score, 6) for score in scores]}
            choice = dataclasses.replace(choice, stop=stop, record=choice.record | record, correct=correct)
        return self._beside_start(dataclasses.replace(choice, record=choice.record | budget))

    def chosen(self, number: int, record: dict[str, Any], correct: np.ndarray | None = None) -> Choice:
        """The choice that is kept with a head: which candidate, and what the head's file says of it."""
        stop = record["epoch"] if isinstance(record["epoch"], int) else None
        return Choice(self.candidates()[number], record, correct, stop, number)

    def _best(self, tried: Sequence[Candidate]) -> Choice:
        """The candidate that validation samples like best."""
        material = self.material
        labels, start, on = material.held_labels(), material.reference(), material.folds()[0].where
        record: dict[str, Any] = {"by": BY, "on": on}
        taken, fitted = 0, list[Head]()
        searched = len(tried) > 1 and material.options.tune
        if searched:
            trials, taken, rule, fitted = find_steady(material, tried, labels, start, material.seed)
        else:
            trials = search.search(material, tried, material.seed)
        if len(trials) > 1:
            if not searched:
                taken, rule = rules.choose(trials, labels, start, tuned=False)
            if rule == rules.UNSTEADY:
                name = self.values.method.name
                material.progress.note(f"{name}: at no rate that was run to its end do all seeds do alike")
            record = search.describe(trials, taken, rule, labels=labels, start=start, on=on)
        record |= {"epoch": "last"}
        whole = fitted if material.search.samples == 1 else ()
        return Choice(trials[taken].candidate, record, trials[taken].correct, None, taken, whole)

    def _beside_start(self, choice: Choice) -> Choice:
        """Whether the fit beats the untouched start on the validation samples; says so where it does not."""
        if choice.correct is None:
            return choice
        weights = class_weights(self.material.held_labels())
        fitted, before = float(weights @ choice.correct), float(weights @ self.material.reference())
        if fitted < before:
            self.material.progress.note(
                f"{self.values.method.name} is worse on the validation samples than {self._start_name}: "
                f"{BY} {100 * fitted:.1f} against {100 * before:.1f}{self._advice}"
            )
        scores = {"score": round(fitted, 6), "start_score": round(before, 6)}
        return dataclasses.replace(choice, record=choice.record | scores)

    def train(
        self,
        choice: Choice,
        seeds: Sequence[int],
        trace: Trace | None = None,
        done: Sequence[Head] = (),
        finish: Callable[[Head, Features], Head] = lambda head, data: head,
    ) -> list[Head]:
        """Fit what was chosen on all training samples, one head a seed, side by side; ``trace`` is told how.

        Args:
            done: the heads of the first seeds, where they are fitted already.
            finish: makes the head that is wanted of a fitted one and the samples it was fitted on.

        Raises:
            Diverged: a run did.
        """
        material, candidate = self.material, choice.candidate

        def fit(
            data: Features, seeds: Sequence[int] = seeds, watch: Callable[[AfterEpoch], None] | None = None
        ) -> list[Head]:
            fitter = material.fitter(data, *candidate.ground)
            grid = fitter.fit([candidate.values], seeds, stop=choice.stop, watch=watch)
            return [finish(row[0], data) for row in grid]

        watch = None if trace is None else lambda epoch: trace.add(epoch, material, seeds)
        left = seeds[len(done) :]
        known = {} if watch or choice.stop else dict(enumerate(choice.fitted, material.seed))
        others = [seed for seed in left if seed not in known]
        runs = {seed: finish(head, material.data) for seed, head in known.items() if seed in left}
        runs |= zip(others, fit(material.data, others, watch) if others else (), strict=True)
        empty = int((material.data.counts == 0).sum())
        if empty:
            ask = ask_from_1(material.data.counts, material.train.classes)
            told = f"{empty} of {material.n_classes} classes have no training sample"
            material.progress.note(f"{told}: {ask}" if ask else told)
        heads = [finish(head, material.data) for head in done]
        heads += [self._head(runs[seed], seed, choice, empty) for seed in left]
        if choice.correct is None and heads:
            self._beside_training(heads[0], choice.candidate)
        return material.calibrated(heads, fit)

    def _beside_training(self, head: Head, candidate: Candidate) -> None:
        """Say so where a fit has lost much of what its start knew, by some training samples of each class."""
        data, each = self.material.data, max(1, SEEN_SAMPLES // self.material.n_classes)
        _, some = cut(data, self.material.seed, per_class=each)
        unread = self.values.method.needs_no_start
        if unread or not candidate.init.trained or not len(some):
            return
        seen = Validation(data, data.subset(some), "training samples")
        weights = class_weights(seen.held.labels)
        right = [seen.correct(one) for one in (head, self.material.start(data))]
        after, before = (0.0 if found is None else float(weights @ found) for found in right)
        if after < KEPT_SHARE * before:
            self.material.progress.note(
                f"{self.values.method.name}: the fit unlearned much of what {self._start_name} knew, {BY} on "
                f"training samples fell from {100 * before:.1f} to {100 * after:.1f}{self._advice}"
            )

    @property
    def _start_name(self) -> str:
        names = {INIT: "the head that was given", STAGE1: "the stage-1 classifier"}
        return names.get(self.material.start(self.material.data).method, "the linear probe")

    @property
    def _advice(self) -> str:
        tunable = searches(self.values.method) and not self.material.options.tune
        return "; tune=True searches for values that suit these features" if tunable else ""

    def _head(self, head: Head, seed: int, choice: Choice, empty: int) -> Head:
        """A fitted head with all that its file holds."""
        parts = self.values.parts
        return self.material.recorded(
            head,
            seed,
            choice.record,
            **head.meta,
            values=choice.candidate.values.record(),
            parts={name: parts[name].identity if name in parts else None for name in KEPT},
            views_used=self.material.options.views_used,
            empty_classes=empty,
        )
