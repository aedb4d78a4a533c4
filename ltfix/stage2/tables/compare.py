"""`compare`: every method × seeds on one pair of caches, one table.

All that is chosen is chosen on validation samples; the test cache only scores finished heads.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import UsageError, nearest
from ltfix.evaluation import gate
from ltfix.evaluation.baseline import unpack_correct
from ltfix.evaluation.given import is_same
from ltfix.evaluation.measure import describe_cache
from ltfix.evaluation.shots import FEW, MANY
from ltfix.evaluation.significance import differences_by_shot, sample_interval
from ltfix.features.read import CacheLike
from ltfix.heads.head import BEFORE, PROBE
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.seeds import list_seeds
from ltfix.stage2.loop.scaling import told_scaling
from ltfix.stage2.methods.compatibility import given_head
from ltfix.stage2.methods.method import Method, find_start
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.tables.bench import Bench, penalty_note, seeds_note, spreads
from ltfix.stage2.tables.comparison import Comparison
from ltfix.stage2.tables.entries import SCORES, Entry, entries
from ltfix.stage2.tables.fits import AllRuns, Fits, Runs, finished_run
from ltfix.stage2.tuning.budget import watched
from ltfix.stage2.tuning.parallel import SharedProgress
from ltfix.stage2.tuning.store import Store

SEEDS = 5


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
        overwrite: replace heads that something else wrote, that were fitted otherwise, or of your own code.
        against: the row that every other is tested against, by its name or its method's.
        fail_under: what the mean of each fitted row must reach, in percent, as ``few=20,all=45``; the
            outcome is in ``Comparison.gates``.
        many, few: Many is n > many, Few is n < few.
        progress: told how far it is, and of notes: what is odd; True shows both, else no note is told.
        more: further ``values``, and fields of ``options``: ``tune=True``.

    Raises:
        UsageError: an unknown method or value; other heads in the folder; none of the methods can run.
        InputError: caches that are wrong or do not fit each other.
        EnvironmentFault: another comparison is writing into the folder, or it cannot be written.
    """
    numbers, progress = list_seeds(seeds), listener(progress)
    options, given = (options or Options()).beside({**(values or {}), **more})
    options.demand_used()
    wanted = entries([methods] if isinstance(methods, str | Method) else methods, given, tune=options.tune)
    bars = {} if fail_under is None else gate.parse_gates(fail_under, known=SCORES)
    shared = SharedProgress(progress)
    bench = Bench(train, test, val, options, numbers[0], many=many, few=few, progress=shared.within(None))
    bench.demand_fresh()
    bench.demand_tested(bars)
    against = against and _row_called(against, bench, wanted)
    store = Store(None if folder is None else Path(folder), overwrite)
    fits = Fits(bench, store, shared)
    with store.held():
        start, limited, (finished, left_out) = _fitted(fits, wanted, numbers)
    row_of = {name: own.name for e, own in zip(wanted, limited, strict=True) for name in e.names}
    against = row_of.get(against or "", against)
    fitted = [entry for entry in limited if entry.name not in left_out]
    if not fitted:
        where, hint = bench.material.train.path, ": ".join(next(iter(left_out.items())))
        raise UsageError("no method can run on this cache", where=where, hint=hint)
    ran = [start, *((entry.values.method.name, entry.name, finished[entry.name]) for entry in fitted)]
    rows = sorted((_row(fits, *row) for row in ran), key=lambda row: -row["all"]["mean"])
    on, chosen = _chosen(fits, fitted)
    about = _about(fits, numbers) | {"chosen_on": on, "chosen": _best(rows) if fits.tunes else None}
    if against is not None:
        about["against"] = against
        _test_against(bench, rows, {name: _correct(bench, runs) for _, name, runs in ran}, against)
    if bars:
        means = [{**row, **{key: row[key] and row[key]["mean"] for key in SCORES}} for row in rows]
        about["gates"] = gate.outcomes(bars, means)
    return Comparison(rows, left_out, about, _title(fits, given), _notes(bench, numbers, chosen))


def _row_called(name: str, bench: Bench, wanted: Sequence[Entry]) -> str:
    """The row of that name, else that of the method of that name, without values where it has several; a
    head that was given is called as it or its method is, too."""
    material = bench.material
    first = material.came.method if material.came else PROBE
    rows = {first}.union(*(entry.names for entry in wanted))
    if (
        name not in rows and name.rpartition(":")[0].endswith(".py") and "=" not in name
    ):  # as among the methods
        name = find_method(name, "against").name
    own = [entry for entry in wanted if entry.values.method.name == name]
    of_method = [entry.name for entry in own if entry.plain] or [entry.name for entry in own]
    if name not in rows and len(of_method) > 1:
        told = f"{len(of_method)} rows are of {name}"
        raise UsageError(told, where="against", hint=f"name one: {', '.join(of_method)}")
    given = given_head(material.options, material.train)
    if name not in rows and not of_method and given is not None and name in (given.name, given.method):
        return first
    if name not in rows and not of_method:
        hint = f"the heads begin with {first}: against={first}" if name in BEFORE else nearest(name, rows)
        raise UsageError(f"no row is called {name}", where="against", hint=hint)
    return name if name in rows else of_method[0]


def _fitted(
    fits: Fits, wanted: Sequence[Entry], seeds: Sequence[int]
) -> tuple[tuple[str, str, Runs], list[Entry], AllRuns]:
    """The row of the start, the entries as a budget leaves them, and what ``fits.finish`` makes of these;
    refused first where other heads are kept."""
    fits.refuse_others(wanted, seeds)
    start = _start_row(fits.bench)
    with watched(fits.bench.material):
        limited = fits.limited(wanted, len(seeds))
        return start, limited, fits.finish(limited, seeds)


def _start_row(bench: Bench) -> tuple[str, str, Runs]:
    """The row of where the fits begin: the head that was given, else stage 1, else the probe."""
    began = time.perf_counter()
    head = bench.material.start(bench.material.data)
    seconds = time.perf_counter() - began if head.method == PROBE else 0.0
    return head.method, head.method, {bench.material.seed: finished_run(bench, head, seconds)}


def _best(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The row with the highest score on validation samples; of equal ones the start, else by name."""
    scored = [
        (-row["validation"], row["name"] not in BEFORE, str(row["name"]))
        for row in rows
        if row["validation"] is not None
    ]
    return min(scored)[2] if scored else None


def _row(fits: Fits, method: str, name: str, runs: Runs) -> dict[str, Any]:
    return {
        "method": method,
        "name": name,
        "seeds": len(runs),
        **spreads([run.scores for run in runs.values()], SCORES),
        "worst_class_name": statistics.mode(run.worst for run in runs.values()),
        "fit_seconds": sum(run.seconds for run in runs.values()),
        "interval": sample_interval(_correct(fits.bench, runs)),
        **fits.by_validation(name),
        "runs": [{"seed": seed, **run.scores, "worst_class_name": run.worst} for seed, run in runs.items()],
    }


def _correct(bench: Bench, runs: Runs) -> np.ndarray:
    """[S, N] bool, which samples each run got right."""
    n = len(bench.labels)
    return np.stack([unpack_correct(run.correct, n, bench.where, "a run") for run in runs.values()])


def _test_against(
    bench: Bench, rows: Sequence[dict[str, Any]], correct: Mapping[str, np.ndarray], against: str
) -> None:
    """Give every other row its difference to one: of all samples, and by shot."""
    if against not in correct:
        raise UsageError(f"{against} is no row here", where="against", hint=nearest(against, correct))
    found = differences_by_shot(correct, against, bench.labels, bench.shots.of)
    for row in rows:
        row["against"] = found.get(row["name"])


def _about(fits: Fits, seeds: Sequence[int]) -> dict[str, Any]:
    bench, material = fits.bench, fits.bench.material
    caches = {"train": material.train, "test": bench.test}
    return {
        **{name: describe_cache(cache) for name, cache in caches.items() if cache is not None},
        "shots": bench.shots.to_dict(),
        "seeds": list(seeds),
        "tuned": fits.tunes,
        "probe": bench.penalty(),
        **({"budget": fits.budget} if fits.budget else {}),
    }


def _chosen(fits: Fits, fitted: Sequence[Entry]) -> tuple[str | None, list[str]]:
    """The samples that something was chosen on, in words, None where nothing was; and the note of it."""
    bench, options = fits.bench, fits.bench.material.options
    said = [fits.records[entry.name]["selection"] for entry in fitted]
    values = sorted({name for one in said for name in one.get("chosen", ())})
    if options.select != "last" and any(entry.values.method.loss is not None for entry in fitted):
        values.append("epoch")
    values += ["temperature"] if options.calibrate else []
    if not values:
        idle = ["Nothing was chosen: the budget leaves no room to tune, and values are the published ones."]
        return None, idle if options.tune else []
    on = next((one["on"] for one in said if one.get("chosen") or one["epoch"] != "last"), None)
    of_all = bench.material.folds()[0].where if options.calibrate or on is None else on
    on = on or of_all
    on_apart = f" (temperature: on {of_all})" if of_all != on else ""
    tuned_on = fits.budget.get("tuned_on")
    part = f"; tuned on {tuned_on}, by the budget" if tuned_on else ""
    by = f"by seed {bench.material.seed}: {', '.join(values).replace('_', ' ')}; on {on}{on_apart}{part}"
    return on, [f"Chosen once, {by}. What other such samples would choose shows in no ±, † or interval."]


def _title(fits: Fits, given: Mapping[str, Any]) -> str:
    bench = fits.bench
    how = dataclasses.replace(bench.material.options, tune=fits.tunes).told(given)
    return f"{bench.where}: {len(bench.labels)} samples; heads of {bench.material.train.path}, {how}"


def _notes(bench: Bench, seeds: Sequence[int], chosen: Sequence[str]) -> tuple[str, ...]:
    material = bench.material
    scaling = material.scaling(material.data, material.normalize)
    features = [f"Features while fitting: {told_scaling(material.normalize, scaling.scale)}."]
    if material.options.tune:  # each row has its own
        features = []
    own, first = material.options.init, material.came.method if material.came else PROBE
    aside = [] if own is None or find_start(own).trained else [f"No fit began at {first}: init is {own}."]
    chosen = [*chosen, *penalty_note(bench.penalty())]
    same = is_same(material.train, bench.test)
    seen = ["These are the training samples: the scores say nothing of others."] if same else []
    return (f"{bench.shots.rule()}.", *seeds_note(seeds), *features, *aside, *chosen, *seen, *bench.otherwise)
