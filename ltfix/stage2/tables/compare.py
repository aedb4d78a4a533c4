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
from ltfix.errors import EnvironmentFault, InputError, LtfixError, UsageError
from ltfix.evaluation.measure import describe_cache
from ltfix.evaluation.result import Result
from ltfix.evaluation.shots import FEW, MANY, SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.features.read import CacheLike
from ltfix.heads.head import PROBE, STAGE1
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.seeds import list_seeds
from ltfix.stage2.loop.scaling import told_scaling
from ltfix.stage2.methods.method import Method
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import Part
from ltfix.stage2.tables.bench import Bench, score_columns, seeds_note, spreads
from ltfix.stage2.tables.entries import Entry, entries
from ltfix.stage2.tables.store import Finished, Store, digest
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.parallel import SharedProgress, run_each, threads_for

FORMAT = "ltfix-compare/1"
SCORES = ("all", *SHOTS, "worst_class")
SEEDS = 5
_NO_MATTER = ("device", "no_cache")  # options that change no head


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
        """The one table: the best of every score is marked."""
        columns = (
            Column("name", "Method"),
            Column("method", "", csv_only=True),
            Column("seeds", "Seeds", "count"),
            *score_columns(SCORES),
            Column("fit_seconds", "Fit s", "number"),
        )
        left_out = [f"Left out: {name}: {why}." for name, why in self.left_out.items()]
        notes = (*self.notes, *left_out)
        return [Table(columns, self.rows, title=self.title, notes=notes, essential=6)]  # to Few


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
    asked = [methods] if isinstance(methods, str | Method) else methods
    wanted = entries(asked, given, tune=options.tune)
    shared = SharedProgress(progress)
    bench = Bench(train, test, val, options, numbers[0], many=many, few=few, progress=shared.within(None))
    start = _start_row(bench)
    store = Store(None if folder is None else Path(folder), overwrite)
    with store.held():
        finished, left_out = _Fits(bench, store, shared).finish(wanted, numbers)
    if len(left_out) == len(wanted):
        where, hint = bench.material.train.path, ": ".join(next(iter(left_out.items())))
        raise UsageError("no method can run on this cache", where=where, hint=hint)
    done = [(entry, finished[entry.name]) for entry in wanted if entry.name not in left_out]
    rows = [start, *(_row(e.values.method.name, e.name, list(runs.values())) for e, runs in done)]
    rows.sort(key=lambda row: -row["all"]["mean"])
    return Comparison(rows, left_out, _about(bench, numbers), _title(bench), _notes(bench, numbers))


def _start_row(bench: Bench) -> dict[str, Any]:
    """The row of stage 1, else of the probe."""
    began = time.perf_counter()
    head = bench.material.start(bench.material.data)
    seconds = time.perf_counter() - began
    name, seconds = (PROBE, seconds) if bench.material.train.head is None else (STAGE1, 0.0)
    return _row(name, name, [Finished(bench.scores(head), seconds)])


def _row(method: str, name: str, runs: Sequence[Finished | None]) -> dict[str, Any]:
    done = [run for run in runs if run is not None]
    scored = spreads([run.scores for run in done], SCORES)
    seconds = sum(run.seconds for run in done)
    return {"method": method, "name": name, "seeds": len(done), **scored, "fit_seconds": seconds}


class _Fits:
    """The fits of all rows: found in the folder, or made, scored and kept there."""

    def __init__(self, bench: Bench, store: Store, shared: SharedProgress) -> None:
        self.bench, self.store, self.shared = bench, store, shared
        material, shots = bench.material, bench.shots
        caches = {"train": material.train, "test": bench.test, "val": material.held}
        kept = caches if store.folder is not None else {}
        self.common = {
            "caches": {k: None if c is None else digest(c) for k, c in kept.items()},
            "options": {k: v for k, v in dataclasses.asdict(material.options).items() if k not in _NO_MATTER},
            "choices_by_seed": material.seed,
            "shots": {"many": shots.many, "few": shots.few},
            "version": __version__,
        }

    def settings(self, entry: Entry, seed: int) -> dict[str, Any]:
        """All that decides one fit and its scores; parts by name, the sampler among the values."""
        method = {k: v.identity if isinstance(v, Part) else v for k, v in vars(entry.values.method).items()}
        del method["sampler"]
        return {**self.common, "method": method, "values": entry.values.record(), "seed": seed}

    def finish(
        self, wanted: Sequence[Entry], seeds: Sequence[int]
    ) -> tuple[dict[str, dict[int, Finished | None]], dict[str, str]]:
        """The runs of every entry by seed, those that are missing fitted; and why an entry has none."""
        material, shared = self.bench.material, self.shared
        finished = {entry.name: self.kept(entry, seeds) for entry in wanted}
        kept = sum(run is not None for runs in finished.values() for run in runs.values())
        if kept:
            shared.note(f"{kept} finished heads are taken from {self.store.folder}")
        todo = [entry for entry in wanted if not all(finished[entry.name].values())]
        if material.options.tune or any(entry.values.open for entry in todo):
            with contextlib.suppress(InputError):  # said of the methods that need it
                material.warm_up()
        threads = threads_for(material)
        found = run_each(lambda e: self.fit(e, finished[e.name]), todo, shared, "compare", threads)
        left_out = {e.name: r.what for e, r in zip(todo, found, strict=True) if isinstance(r, LtfixError)}
        finished |= {e.name: r for e, r in zip(todo, found, strict=True) if isinstance(r, dict)}
        return finished, left_out

    def kept(self, entry: Entry, seeds: Sequence[int]) -> dict[int, Finished | None]:
        """What the folder has of each seed."""
        return {seed: self.store.find(_file(entry, seed), self.settings(entry, seed)) for seed in seeds}

    def fit(self, entry: Entry, runs: Mapping[int, Finished | None]) -> dict[int, Finished | None]:
        """The runs with those that were missing, fitted side by side."""
        seeds = [seed for seed, run in runs.items() if run is None]
        began = time.perf_counter()
        material = dataclasses.replace(self.bench.material, progress=self.shared.within(entry.name))
        fit = MethodFit.of(material, entry.values)
        heads = fit.train(fit.choose(), seeds)
        seconds = (time.perf_counter() - began) / len(seeds)
        found = dict(runs)
        for seed, head in zip(seeds, heads, strict=True):
            scores = self.bench.scores(head)
            run = Finished({key: scores[key] for key in SCORES}, seconds)
            try:
                self.store.save(_file(entry, seed), self.settings(entry, seed), head, run)
            except (InputError, UsageError) as err:  # of the folder, not of the method
                raise EnvironmentFault(err.what, where=err.where, hint=err.hint) from err
            found[seed] = run
        return found


def _file(entry: Entry, seed: int) -> str:
    return f"{entry.name}-s{seed}"


def _about(bench: Bench, seeds: Sequence[int]) -> dict[str, Any]:
    material, tuned = bench.material, bench.material.options.tune
    caches = {"train": material.train, "test": bench.test}
    return {
        **{name: describe_cache(cache) for name, cache in caches.items() if cache is not None},
        "shots": bench.shots.to_dict(),
        "seeds": list(seeds),
        "tuned": tuned,
        "chosen_on": material.folds()[0].where if tuned else None,
    }


def _title(bench: Bench) -> str:
    how = "tuned" if bench.material.options.tune else "published values"
    return f"{bench.where}: {len(bench.labels)} samples; heads of {bench.material.train.path}, {how}"


def _notes(bench: Bench, seeds: Sequence[int]) -> tuple[str, ...]:
    material, tuned = bench.material, bench.material.options.tune
    cost = "Fit s: wall seconds of all seeds together" + (", tuning included." if tuned else ".")
    chosen = [f"Chosen on: {material.folds()[0].where}."] if tuned else []
    scaling = material.scaling(material.data, material.normalize)
    features = f"Features while fitting: {told_scaling(material.normalize, scaling.scale)}."
    place = material.train.path.resolve()
    same = bench.test is material.train or (place.exists() and Path(bench.where).resolve() == place)
    seen = ["These are the training samples: the scores say nothing of others."] if same else []
    return (f"{bench.shots.rule()}.", " ".join([*seeds_note(seeds), cost]), features, *chosen, *seen)
