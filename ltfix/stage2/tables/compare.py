"""`compare`: every method × seeds on one pair of caches, one table.

All that is chosen is chosen on validation samples; the test cache only scores finished heads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import EnvironmentFault, InputError, LtfixError, UsageError, nearest
from ltfix.evaluation import gate
from ltfix.evaluation.baseline import pack_correct, unpack_correct
from ltfix.evaluation.measure import describe_cache
from ltfix.evaluation.shots import FEW, MANY
from ltfix.evaluation.significance import differences_by_shot, sample_interval
from ltfix.features.read import CacheLike
from ltfix.heads.head import PROBE, Head
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.seeds import list_seeds
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.loop.scaling import told_scaling
from ltfix.stage2.methods.method import Method
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tables.bench import Bench, is_same, seeds_note, spreads
from ltfix.stage2.tables.comparison import Comparison
from ltfix.stage2.tables.entries import SCORES, Entry, entries
from ltfix.stage2.tuning.budget import limit, watched
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for
from ltfix.stage2.tuning.store import Finished, Store, settings_of, shared_settings

SEEDS = 5
Runs = Mapping[int, Finished | None]


@public
def compare(
    train: CacheLike,
    test: CacheLike,
    methods: Method | str | Sequence[Method | str] | None = None,
    *,
    seeds: int | Sequence[int] = SEEDS,
    val: CacheLike | None = None,
    values: Mapping[str, Any] | None = None,
    options: Options | None = None,
    folder: Path | str | None = None,
    overwrite: bool = False,
    against: str | None = None,
    fail_under: str | None = None,
    many: int = MANY,
    few: int = FEW,
    progress: Progress | bool = SILENT,
    **more: Any,
) -> Comparison:
    """Fit methods with several seeds each on one cache and score them all on another.

    >>> import numpy as np, ltfix
    >>> labels = np.repeat([0, 1, 2], [40, 12, 4])
    >>> train, test = (np.eye(3, 8)[labels], labels), (np.eye(3, 8), [0, 1, 2])
    >>> found = ltfix.compare(train, test, ["ncm", "samn:epochs=2"], seeds=2)
    >>> sorted((row["name"], row["all"]["mean"]) for row in found.rows)
    [('ncm', 1.0), ('probe', 1.0), ('samn-freq-epochs2', 1.0)]

    Args:
        train: features of the training split. test: of the test split; nothing is chosen on it.
        methods: names or methods, as :func:`entries` takes them; None: all that can run on this cache.
        seeds: how many, or which. Choices are made once a method, with the first seed.
        val: validation features to choose on.
        values: for every method that takes them.
        options: how to fit; ``tune`` among them.
        folder: where finished heads and their scores are kept; what is there already is not fitted again as
            long as caches, values and seeds are the same. None keeps nothing.
        overwrite: replace heads in the folder that something else wrote.
        against: the row that every other is tested against, by its name or by that of a method with one row.
        fail_under: what the mean of each fitted row must reach, in percent, as ``few=20,all=45``; the
            outcome is in ``Comparison.gates``.
        many, few: Many is n > many, Few is n < few.
        progress: told how far it is; True shows a bar.
        more: further ``values``, and fields of ``options``: ``tune=True``.

    Raises:
        UsageError: an unknown method or value; foreign files in the folder; none of the methods can run.
        InputError: caches that are wrong or do not fit each other.
        EnvironmentFault: another comparison is writing into the folder, or it cannot be written.
    """
    numbers, progress = list_seeds(seeds), listener(progress)
    options, given = (options or Options()).beside({**(values or {}), **more})
    options.demand_tuning()
    asked = [methods] if isinstance(methods, str | Method) else methods
    wanted = entries(asked, given, tune=options.tune)
    bars = {} if fail_under is None else gate.parse_gates(fail_under, known=SCORES)
    shared = SharedProgress(progress)
    bench = Bench(train, test, val, options, numbers[0], many=many, few=few, progress=shared.within(None))
    bench.demand_fresh()
    known = bench.material.given or bench.material.train.head
    against = against and _row_called(against, known.method if known else PROBE, wanted)
    start = _start_row(bench)
    store = Store(None if folder is None else Path(folder), overwrite)
    with store.held(), watched(bench.material):
        finished, left_out = _Fits(bench, store, shared).finish(wanted, numbers)
    if len(left_out) == len(wanted):
        where, hint = bench.material.train.path, ": ".join(next(iter(left_out.items())))
        raise UsageError("no method can run on this cache", where=where, hint=hint)
    done = [(e.values.method.name, e.name, finished[e.name]) for e in wanted if e.name not in left_out]
    ran: list[tuple[str, str, Runs]] = [start, *done]
    rows = sorted((_row(bench, *row) for row in ran), key=lambda row: -row["all"]["mean"])
    on, chosen = _chosen(bench, [entry for entry in wanted if entry.name not in left_out])
    about = _about(bench, numbers) | {"chosen_on": on}
    if against is not None:
        about["against"] = against
        _test_against(bench, rows, {name: _correct(bench, runs) for _, name, runs in ran}, against)
    if bars:
        means = [{**row, **{key: row[key] and row[key]["mean"] for key in SCORES}} for row in rows]
        about["gates"] = gate.outcomes(bars, means)
    return Comparison(rows, left_out, about, _title(bench, given), _notes(bench, numbers, chosen))


def _row_called(name: str, first: str, wanted: Sequence[Entry]) -> str:
    """The row of that name, else the one row of the method of that name."""
    rows = [first, *(entry.name for entry in wanted)]
    of_method = [entry.name for entry in wanted if entry.values.method.name == name]
    if name not in rows and len(of_method) != 1:
        raise UsageError(f"no row is called {name}", where="against", hint=nearest(name, rows))
    return name if name in rows else of_method[0]


def _start_row(bench: Bench) -> tuple[str, str, Runs]:
    """The row of where the fits begin: the head that was given, else stage 1, else the probe."""
    began = time.perf_counter()
    head = bench.material.start(bench.material.data)
    seconds = time.perf_counter() - began if head.method == PROBE else 0.0
    return head.method, head.method, {bench.material.seed: _finished(bench, head, seconds)}


def _finished(bench: Bench, head: Head, seconds: float) -> Finished:
    scores, worst, correct = bench.measure(head)
    return Finished(scores, seconds, worst, pack_correct(correct))


def _row(bench: Bench, method: str, name: str, runs: Runs) -> dict[str, Any]:
    done = {seed: run for seed, run in runs.items() if run is not None}
    return {
        "method": method,
        "name": name,
        "seeds": len(done),
        **spreads([run.scores for run in done.values()], SCORES),
        "worst_class_name": statistics.mode(run.worst for run in done.values()),
        "fit_seconds": sum(run.seconds for run in done.values()),
        "interval": sample_interval(_correct(bench, runs)),
        "runs": [{"seed": seed, **run.scores, "worst_class_name": run.worst} for seed, run in done.items()],
    }


def _correct(bench: Bench, runs: Runs) -> np.ndarray:
    """[S, N] bool, which samples each run got right."""
    n = len(bench.labels)
    return np.stack([unpack_correct(run.correct, n, bench.where, "a run") for run in runs.values() if run])


def _test_against(
    bench: Bench, rows: Sequence[dict[str, Any]], correct: Mapping[str, np.ndarray], against: str
) -> None:
    """Give every other row its difference to one: of all samples, and by shot."""
    if against not in correct:
        raise UsageError(f"{against} is no row here", where="against", hint=nearest(against, correct))
    found = differences_by_shot(correct, against, bench.labels, bench.shots.of)
    for row in rows:
        row["against"] = found.get(row["name"])


class _Fits:
    """The fits of all rows: found in the folder, or made, scored and kept there."""

    def __init__(self, bench: Bench, store: Store, shared: SharedProgress) -> None:
        self.bench, self.store, self.shared = bench, store, shared
        self.searched: Material | None = None
        self.common = shared_settings(
            bench.material,
            store.folder is not None,
            caches={"test": bench.test},
            shots={"many": bench.shots.many, "few": bench.shots.few},
            kept=["worst", "correct", "class_mean"],
        )

    def settings(self, entry: Entry, seed: int) -> dict[str, Any]:
        """All that decides one fit and its scores."""
        return settings_of(self.common, entry.values, seed)

    def finish(
        self, wanted: Sequence[Entry], seeds: Sequence[int]
    ) -> tuple[dict[str, dict[int, Finished | None]], dict[str, str]]:
        """The runs of every entry by seed, those that are missing fitted; and why an entry has none."""
        material, shared = self.bench.material, self.shared
        threads = threads_for(material)
        if material.options.budget is not None:  # what it leaves to tune on decides the heads
            self.searched = self.within_budget(wanted, len(seeds), threads)
            self.common["searched"] = self.searched.search.about.get("tuned_on")
        finished = {e.name: self.kept(e, seeds if _is_seeded(e) else seeds[:1]) for e in wanted}
        kept = sum(run is not None for runs in finished.values() for run in runs.values())
        if kept:
            shared.note(f"{kept} finished heads are taken from {self.store.folder}")
        todo = [entry for entry in wanted if not all(finished[entry.name].values())]
        if material.options.tune and todo and self.searched is None:
            self.searched = self.within_budget(wanted, len(seeds), threads)
        if any(material.options.tune or entry.values.open for entry in todo):
            with contextlib.suppress(InputError):  # said of the methods that need it
                (self.searched or material).warm_up()
        found = run_each(lambda e: self.fit(e, finished[e.name]), todo, shared, "compare", threads)
        left_out = {e.name: r.what for e, r in zip(todo, found, strict=True) if isinstance(r, LtfixError)}
        finished |= {e.name: r for e, r in zip(todo, found, strict=True) if isinstance(r, dict)}
        return finished, left_out

    def within_budget(self, wanted: Sequence[Entry], n_seeds: int, threads: int) -> Material:
        """What all of them are tuned on."""
        fits = []
        for entry in wanted:
            with contextlib.suppress(InputError, UsageError):  # said where it is to be fitted
                fits.append(MethodFit.of(self.bench.material, entry.values))
        return limit(fits, n_seeds, threads=threads, tell=True) if fits else self.bench.material

    def kept(self, entry: Entry, seeds: Sequence[int]) -> dict[int, Finished | None]:
        """What the folder has of each seed."""
        return {seed: self.store.find(_file(entry, seed), self.settings(entry, seed)) for seed in seeds}

    def fit(self, entry: Entry, runs: Mapping[int, Finished | None]) -> dict[int, Finished | None]:
        """The runs with those that were missing, fitted side by side."""
        seeds = [seed for seed, run in runs.items() if run is None]
        began = time.perf_counter()
        material = dataclasses.replace(self.bench.material, progress=self.shared.within(entry.name))
        fit = MethodFit.of(material, entry.values)
        tuned_on = dataclasses.replace(self.searched or material, progress=material.progress)
        heads = fit.train(dataclasses.replace(fit, material=tuned_on).choose(), seeds)
        seconds = (time.perf_counter() - began) / len(seeds)
        found = dict(runs)
        for seed, head in zip(seeds, heads, strict=True):
            run = _finished(self.bench, head, seconds)
            try:
                self.store.save(_file(entry, seed), self.settings(entry, seed), head, run)
            except (InputError, UsageError) as err:  # of the folder, not of the method
                raise EnvironmentFault(err.what, where=err.where, hint=err.hint) from err
            found[seed] = run
        return found


def _is_seeded(entry: Entry) -> bool:
    """Whether a seed decides anything: of what is not trained, only a start at random."""
    method = entry.values.method
    return method.loss is not None or (method.init is not None and method.init.name == "random")


def _file(entry: Entry, seed: int) -> str:
    return f"{entry.name}-s{seed}"


def _about(bench: Bench, seeds: Sequence[int]) -> dict[str, Any]:
    material = bench.material
    caches = {"train": material.train, "test": bench.test}
    return {
        **{name: describe_cache(cache) for name, cache in caches.items() if cache is not None},
        "shots": bench.shots.to_dict(),
        "seeds": list(seeds),
        "tuned": material.options.tune,
    }


def _chosen(bench: Bench, fitted: Sequence[Entry]) -> tuple[str | None, list[str]]:
    """The samples that something was chosen on, in words, None where nothing was; and the note of it."""
    tuned = bench.material.options.tune
    values = ["all values"] if tuned else sorted({name for entry in fitted for name in entry.values.open})
    if not values:
        return None, []
    on = bench.material.folds()[0].where
    return on, [f"Chosen once, by seed {bench.material.seed}: {', '.join(values)}; on {on}."]


def _title(bench: Bench, given: Mapping[str, Any]) -> str:
    how = bench.material.options.told(given)
    return f"{bench.where}: {len(bench.labels)} samples; heads of {bench.material.train.path}, {how}"


def _notes(bench: Bench, seeds: Sequence[int], chosen: Sequence[str]) -> tuple[str, ...]:
    material = bench.material
    scaling = material.scaling(material.data, material.normalize)
    features = f"Features while fitting: {told_scaling(material.normalize, scaling.scale)}."
    same = is_same(material.train, bench.test)
    seen = ["These are the training samples: the scores say nothing of others."] if same else []
    return (f"{bench.shots.rule()}.", *seeds_note(seeds), features, *chosen, *seen)
