"""`compare`: every method × seeds on one pair of caches, one table.

All that is chosen is chosen on validation samples; the test cache only scores finished heads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix._version import __version__
from ltfix.errors import InputError, LtfixError, UsageError
from ltfix.evaluation import evaluate
from ltfix.evaluation.scores import TITLES, spread
from ltfix.evaluation.shots import FEW, MANY, SHOTS, Shots
from ltfix.evaluation.table import Column, Result, Table
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache
from ltfix.heads.head import STAGE1, Head
from ltfix.progress import SILENT, Progress
from ltfix.seeds import list_seeds
from ltfix.stage2.fitting.context import Material, check_pair
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method, methods
from ltfix.stage2.methods.values import Values, resolve
from ltfix.stage2.tables.store import Run, Store, digest
from ltfix.stage2.tuning.candidates import searches
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for

FORMAT = "ltfix-compare/1"
SCORES = ("all", *SHOTS, "worst_class")
SEEDS = 5
PROBE = "probe"


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison(Result):
    """What `compare` found.

    Attributes:
        rows: one mapping a row, by falling All: method, name, seeds (how many), fit_seconds, and for every
            score its ``mean`` and ``std`` (of one seed: None) as fractions, or None for an empty shot.
        left_out: name -> why this method cannot run on this cache.
        about: further keys of the JSON: the caches, the shots, how values were chosen.
        title, notes: lines above and below the table.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, str]
    about: dict[str, Any]
    title: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md."""
        return {"format": FORMAT, **self.about, "rows": self.rows, "left_out": self.left_out}

    def tables(self) -> list[Table]:
        """The one table."""
        return [self.table()]

    def table(self) -> Table:
        """What people read: the best of every score is marked."""
        columns = (
            Column("name", "Method"),
            Column("method", "", csv_only=True),
            Column("seeds", "Seeds", "count"),
            *(Column(key, TITLES[key], "spread", "max") for key in SCORES),
            Column("fit_seconds", "Fit s", "number"),
        )
        left_out = tuple(f"Left out: {name}: {why}." for name, why in self.left_out.items())
        notes = (*self.notes, *left_out)
        return Table(columns, self.rows, title=self.title, notes=notes, essential=6)  # to Few


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row that is asked for: a method with its values, and the name that its heads get."""

    name: str
    values: Values


def entries(asked: Sequence[str] | None, shared: Mapping[str, Any], *, tune: bool) -> list[Entry]:
    """The rows that are asked for.

    Args:
        asked: ``NAME`` or ``NAME:KEY=VALUE:…`` each, so that a method may appear with several values;
            None: every method of the table.
        shared: values for every method that takes them.

    Raises:
        UsageError: an unknown method or value, the same row twice, a shared value that no method takes.
    """
    found: dict[str, Entry] = {}
    unused = set(shared)
    for text in [method.name for method in methods()] if asked is None else asked:
        name, *pairs = text.split(":")
        if name == "auto":
            raise UsageError(
                "auto is no row but a choice among them", where="--methods", hint="use fit --method auto"
            )
        method, given = find_method(name, "--methods"), {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"{pair!r} is no KEY=VALUE", where=text, hint="write NAME:KEY=VALUE")
            given[key.replace("-", "_")] = value
        usable = {key: value for key, value in shared.items() if key in method.values()}
        unused -= set(usable)
        values = resolve(method, {**usable, **given})
        entry = Entry(head_name(values, tuned=tune and searches(method)), values)
        if entry.name in found:
            raise UsageError(f"{entry.name} is asked for twice", where="--methods")
        found[entry.name] = entry
    if unused:
        raise UsageError(f"no method here takes {', '.join(sorted(unused))}", where="--set")
    if not found:
        raise UsageError("no method is named", where="--methods")
    return list(found.values())


def compare(
    train: FeatureCache | Path | str,
    test: FeatureCache | Path | str,
    asked: Sequence[str] | None = None,
    *,
    seeds: int | Sequence[int] = SEEDS,
    val: FeatureCache | Path | str | None = None,
    values: Mapping[str, Any] | None = None,
    options: Options | None = None,
    folder: Path | str | None = None,
    overwrite: bool = False,
    many: int = MANY,
    few: int = FEW,
    progress: Progress = SILENT,
) -> Comparison:
    """Fit methods with several seeds each on one cache and score them all on another.

    Args:
        train: features of the training split. test: of the test split; nothing is chosen on it.
        asked: methods, as :func:`entries` takes them; None: all that can run on this cache.
        seeds: how many, or which. Choices are made once a method, with the first seed.
        val: validation features to choose on.
        values: for every method that takes them.
        options: how to fit; ``tune`` among them.
        folder: where finished heads and their scores are kept; what is there already is not fitted again as
            long as caches, values and seeds are the same. None keeps nothing.
        overwrite: replace heads in the folder that something else wrote.
        many, few: Many is n > many, Few is n < few.

    Raises:
        UsageError: an unknown method or value; foreign files in the folder; none of the methods can run.
        InputError: caches that are wrong or do not fit each other.
    """
    numbers, options = list_seeds(seeds), options or Options()
    wanted = entries(asked, values or {}, tune=options.tune)
    opened, tested = (open_cache(c) if isinstance(c, Path | str) else c for c in (train, test))
    held = open_cache(val) if isinstance(val, Path | str) else val
    check_pair(opened, tested, "test")
    shared = SharedProgress(progress)
    material = Material.of(opened, held, options, numbers[0], shared.within(None))
    bench = _Bench(material, tested, Store(None if folder is None else Path(folder), overwrite), many, few)
    return bench.run(wanted, numbers, shared)


@dataclasses.dataclass(slots=True)
class _Bench:
    """One pair of caches, on which entries are fitted and scored."""

    material: Material
    test: FeatureCache
    store: Store
    many: int
    few: int
    common: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(self, wanted: Sequence[Entry], seeds: Sequence[int], shared: SharedProgress) -> Comparison:
        start, shots = self._start_row()
        self.common = self._common()
        finished = {
            e.name: {seed: self.store.find(_file(e, seed), self._settings(e, seed)) for seed in seeds}
            for e in wanted
        }
        todo = [entry for entry in wanted if not all(finished[entry.name].values())]
        kept = sum(run is not None for runs in finished.values() for run in runs.values())
        if kept:
            shared.note(f"{kept} finished heads are taken from {self.store.folder}")
        if any(_is_open(entry.values) for entry in todo) or self.material.options.tune:
            with contextlib.suppress(InputError):  # said of the methods that need it
                self.material.warm_up()

        def work(entry: Entry) -> dict[int, Run | None]:
            runs = finished[entry.name]
            return runs | self._fit(entry, [seed for seed, run in runs.items() if run is None], shared)

        found = run_each(work, todo, shared, "compare", threads_for(self.material))
        left_out = {e.name: r.what for e, r in zip(todo, found, strict=True) if isinstance(r, LtfixError)}
        finished |= {e.name: r for e, r in zip(todo, found, strict=True) if isinstance(r, dict)}
        rows = [start, *(_row(e, finished[e.name]) for e in wanted if e.name not in left_out)]
        if len(rows) == 1:
            name, why = next(iter(left_out.items()))
            where, hint = self.material.train.path, f"{name}: {why}"
            raise UsageError("no method can run on this cache", where=where, hint=hint)
        rows.sort(key=lambda row: -row["all"]["mean"])
        return Comparison(rows, left_out, self._about(seeds, shots), self._title(), self._notes(seeds, shots))

    def _start_row(self) -> tuple[dict[str, Any], Shots]:
        """The row of stage 1, else of the probe; and the shots."""
        train = self.material.train
        began = time.perf_counter()
        heads: list[Any] = [train]
        if train.head is None:
            probe = self.material.start(self.material.data)
            heads.append(Head(probe.weight, probe.bias, PROBE, classes=train.classes, counts=train.counts))
        seconds = time.perf_counter() - began
        report = evaluate(heads, self.test, many=self.many, few=self.few)
        own = STAGE1 if train.head is not None else PROBE
        scores = next(head for head in report.heads if head["method"] == own)
        row = {"method": own, "name": own, "seeds": 1}
        row |= {key: spread([scores[key]]) for key in SCORES}
        return row | {"fit_seconds": 0.0 if own == STAGE1 else seconds}, report.shots

    def _fit(self, entry: Entry, seeds: Sequence[int], shared: SharedProgress) -> dict[int, Run]:
        """Fit the missing seeds side by side, score and keep them."""
        material = dataclasses.replace(self.material, progress=shared.within(entry.name))
        began = time.perf_counter()
        fit = MethodFit.of(material, entry.values)
        heads = fit.train(fit.choose(), seeds)
        seconds = (time.perf_counter() - began) / len(seeds)
        report = evaluate([self.material.train, *heads], self.test, many=self.many, few=self.few).heads
        found = {}
        for seed, head, scores in zip(seeds, heads, report[-len(heads) :], strict=True):
            found[seed] = Run({key: scores[key] for key in SCORES}, seconds)
            self.store.save(_file(entry, seed), self._settings(entry, seed), head, found[seed])
        return found

    def _common(self) -> dict[str, Any]:
        """What decides every run: the caches, how to fit, how to score."""
        caches = {"train": self.material.train, "test": self.test, "val": self.material.held}
        options = {k: v for k, v in dataclasses.asdict(self.material.options).items() if k != "device"}
        kept = self.store.folder is not None
        return {
            "caches": {k: None if c is None or not kept else digest(c) for k, c in caches.items()},
            "options": options,
            "choices_by_seed": self.material.seed,
            "shots": {"many": self.many, "few": self.few},
            "version": __version__,
        }

    def _settings(self, entry: Entry, seed: int) -> dict[str, Any]:
        """All that decides one run."""
        method = dataclasses.asdict(entry.values.method)
        return {**self.common, "method": method, "values": entry.values.record(), "seed": seed}

    def _about(self, seeds: Sequence[int], shots: Shots) -> dict[str, Any]:
        tuned, train = self.material.options.tune, self.material.train
        caches = {
            name: {"path": str(c.path), "n": c.n, "classes": c.n_classes, "fingerprint": c.fingerprint}
            for name, c in (("train", train), ("test", self.test))
        }
        chosen_on = self.material.folds()[0].where if tuned else None
        about = {"shots": shots.to_dict(), "seeds": list(seeds), "tuned": tuned, "chosen_on": chosen_on}
        return {**caches, **about}

    def _title(self) -> str:
        how = "tuned" if self.material.options.tune else "published values"
        return f"{self.test.path}: {self.test.n} samples; heads of {self.material.train.path}, {how}"

    def _notes(self, seeds: Sequence[int], shots: Shots) -> tuple[str, ...]:
        tuned = self.material.options.tune
        runs = f"Mean ± standard deviation over {len(seeds)} seeds. " if len(seeds) > 1 else ""
        cost = "Fit s: wall seconds of all seeds together" + (", tuning included." if tuned else ".")
        chosen = (f"Chosen on: {self.material.folds()[0].where}.",) if tuned else ()
        same = self.test.path.resolve() == self.material.train.path.resolve()
        seen = ("These are the training samples: the scores say nothing of others.",) if same else ()
        return (f"{shots.rule()}.", runs + cost, *chosen, *seen)


def _is_open(values: Values) -> bool:
    """Whether a value has no default and is found on validation samples."""
    return any(values[name] is None and spec.grid for name, spec in values.method.values().items())


def _file(entry: Entry, seed: int) -> str:
    return f"{entry.name}-s{seed}"


def _row(entry: Entry, runs: Mapping[int, Run | None]) -> dict[str, Any]:
    done = [run for run in runs.values() if run is not None]
    row: dict[str, Any] = {"method": entry.values.method.name, "name": entry.name, "seeds": len(done)}
    row |= {key: spread(run.scores[key] for run in done) for key in SCORES}
    return row | {"fit_seconds": sum(run.seconds for run in done)}
