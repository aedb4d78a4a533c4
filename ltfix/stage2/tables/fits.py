"""The fits of a comparison: found in its folder, or made, scored and kept there."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ltfix.errors import InputError, LtfixError, UsageError
from ltfix.evaluation.baseline import pack_correct
from ltfix.heads.head import Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.tables.bench import Bench
from ltfix.stage2.tables.entries import Entry
from ltfix.stage2.tuning.budget import limit
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for
from ltfix.stage2.tuning.search import chosen_values
from ltfix.stage2.tuning.store import Finished, Store, settings_of, shared_settings

Runs = Mapping[int, Finished]
"""What each seed of a row came to."""
AllRuns = tuple[dict[str, Runs], dict[str, str]]


class Fits:
    """The fits of all rows: found in the folder, or made, scored and kept there.

    Attributes:
        records: of every row that is fitted, the metadata of its first head.
        chosen: of every row with kept heads, which of its candidates these are.
    """

    def __init__(self, bench: Bench, store: Store, shared: SharedProgress) -> None:
        self.bench, self.store, self.shared = bench, store, shared
        self.searched: Material | None = None
        self.scored = False  # on validation samples, whether something is chosen for a row or not
        self.records: dict[str, Mapping[str, Any]] = {}
        self.chosen: dict[str, int] = {}
        self.common = shared_settings(
            bench.material,
            store.folder is not None,
            caches={"test": bench.test},
            shots={"many": bench.shots.many, "few": bench.shots.few},
            kept=["worst", "correct", "class_mean", "chosen"],
        )

    def settings(self, entry: Entry, seed: int) -> dict[str, Any]:
        """All that decides one fit and its scores."""
        options = self.bench.material.options
        chosen = entry.tuned or bool(entry.values.open or options.calibrate) or options.select != "last"
        return settings_of(self.common, entry.values, seed, chosen=chosen)

    def refuse_others(self, wanted: Sequence[Entry], seeds: Sequence[int]) -> None:
        """Refuse other finished heads before anything is done (see ``Store.refuse_others``)."""
        self.store.refuse_others({_file(e, seed): self.settings(e, seed) for e in wanted for seed in seeds})

    def limited(self, wanted: Sequence[Entry], n_seeds: int) -> list[Entry]:
        """The entries as a budget leaves them: not tuned where it has room for the published values alone."""
        if self.bench.material.options.budget is None:
            return list(wanted)
        fits = self.runnable(wanted)
        self.searched = self.within_budget(fits.values(), n_seeds)
        self.common["searched"] = self.searched.search.about.get("tuned_on")  # it decides the heads
        limited = {name: dataclasses.replace(fit, material=self.searched) for name, fit in fits.items()}
        fixed = {name for name, fit in limited.items() if len(fit.candidates()) == 1}
        return [entry.untuned() if entry.name in fixed else entry for entry in wanted]

    def finish(self, wanted: Sequence[Entry], seeds: Sequence[int]) -> AllRuns:
        """The runs of every entry by seed, those that are missing fitted; and why an entry has none."""
        material, shared = self.bench.material, self.shared
        threads = threads_for(material)
        asked = {e.name: seeds if e.values.method.is_seeded else seeds[:1] for e in wanted}
        finished = {e.name: self.kept(e, asked[e.name]) for e in wanted}
        kept = sum(map(len, finished.values()))
        if kept:
            heads = f"{kept} finished heads are" if kept > 1 else "1 finished head is"
            shared.note(f"{heads} taken from {self.store.folder}")
        todo = [e for e in wanted if len(finished[e.name]) < len(asked[e.name])]
        open_ = [e for e in todo if e.name not in self.chosen and (material.options.tune or e.values.open)]
        if material.options.tune and open_ and self.searched is None:
            self.searched = self.within_budget(self.runnable(open_).values(), len(seeds))
        if open_:
            with contextlib.suppress(InputError):  # said of the methods that need it
                (self.searched or material).warm_up()
                self.scored = material.options.tune
        missing = {e.name: [seed for seed in asked[e.name] if seed not in finished[e.name]] for e in todo}
        found = run_each(lambda e: self.fit(e, missing[e.name]), todo, shared, "compare", threads)
        left_out = {e.name: r.what for e, r in zip(todo, found, strict=True) if isinstance(r, LtfixError)}
        for entry, made in zip(todo, found, strict=True):
            if isinstance(made, dict):
                runs = {**finished[entry.name], **made}
                finished[entry.name] = {seed: runs[seed] for seed in asked[entry.name]}
        return finished, left_out

    @property
    def tunes(self) -> bool:
        """Whether more is tried than the published values, which a budget may leave alone."""
        return self.bench.material.options.tune and (not self.searched or self.searched.search.settings > 0)

    @property
    def budget(self) -> Mapping[str, Any]:
        """What the budget left to tune on; empty where there was none."""
        return self.searched.search.about if self.searched else {}

    def runnable(self, wanted: Sequence[Entry]) -> dict[str, MethodFit]:
        """The fits of those that can run on this cache, by name."""
        fits = {}
        for entry in wanted:
            with contextlib.suppress(InputError, UsageError):  # said where it is to be fitted
                fits[entry.name] = MethodFit.of(self.bench.material, entry.values)
        return fits

    def within_budget(self, fits: Iterable[MethodFit], n_seeds: int) -> Material:
        """What all of them are tuned on; how long that takes is said where there is no budget for it."""
        material, each = self.bench.material, list(fits)
        more: dict[str, Any] = {"tell": material.options.budget is None, "threads": threads_for(material)}
        more |= {"store": self.store, "shared": self.common}
        return limit(each, n_seeds, **more) if each else material

    def kept(self, entry: Entry, seeds: Sequence[int]) -> Runs:
        """What the folder has of these seeds."""
        if self.store.overwrite and any(part.is_own for part in entry.values.parts.values()):
            return {}  # code of the user's may have changed where no digest tells
        sought = {seed: self.store.find(_file(entry, seed), self.settings(entry, seed)) for seed in seeds}
        found = {seed: run for seed, run in sought.items() if run is not None}
        if found:
            first, run = next(iter(found.items()))
            self.records[entry.name], self.chosen[entry.name] = (
                self.store.head(_file(entry, first)).meta,
                run.chosen,
            )
        return found

    def fit(self, entry: Entry, seeds: Sequence[int]) -> dict[int, Finished]:
        """The runs of these seeds, fitted side by side."""
        began = time.perf_counter()
        material = dataclasses.replace(self.bench.material, progress=self.shared.within(entry.name))
        fit = MethodFit.of(material, entry.values)
        tuned_on = dataclasses.replace(self.searched or material, progress=material.progress)
        tuned = dataclasses.replace(fit, material=tuned_on)
        if entry.name in self.chosen:  # by the same first seed, so it would be the same again
            choice = tuned.chosen(self.chosen[entry.name], dict(self.records[entry.name]["selection"]))
        else:
            choice = tuned.choose(scored=self.scored)
        heads = fit.train(choice, seeds)
        self.records[entry.name] = heads[0].meta
        seconds = (time.perf_counter() - began) / len(seeds)
        found = {}
        for seed, head in zip(seeds, heads, strict=True):
            found[seed] = dataclasses.replace(finished_run(self.bench, head, seconds), chosen=choice.number)
            self.store.save(_file(entry, seed), self.settings(entry, seed), head, found[seed])
        return found

    def by_validation(self, name: str) -> dict[str, Any]:
        """What validation samples chose for a row, and its score there; of the start what fits say."""
        meta = self.records.get(name)
        if meta is not None:
            return {"chosen": chosen_values(meta), "validation": meta["selection"].get("score")}
        said = (meta["selection"].get("start_score") for meta in self.records.values())
        return {"chosen": {}, "validation": next((score for score in said if score is not None), None)}


def _file(entry: Entry, seed: int) -> str:
    return f"{entry.name}-s{seed}"


def finished_run(bench: Bench, head: Head, seconds: float) -> Finished:
    """A head scored on the samples of the table."""
    scores, worst, correct = bench.measure(head)
    return Finished(scores, seconds, worst, pack_correct(correct))
