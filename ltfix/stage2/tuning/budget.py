"""How much tuning costs, and what of it is left out to keep a budget.

The unit is a pass: one setting over all training samples, once. A budget of time is turned into passes once,
by the time that a few take, and by that of the probes where fits begin with these; so a budget of passes
leaves out the same wherever it is run, one of time what it left out first where finished heads are kept.
What is left out, in this order, until the rest fits: cuts of the samples, samples (class by class, down to
``PART_SAMPLES``), settings (those furthest from the published ones first). The final fit has all samples.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ltfix import files
from ltfix.bars import duration
from ltfix.heads.head import PROBE
from ltfix.progress import SILENT
from ltfix.seeds import derive
from ltfix.stage2.fitting.context import Material, Search
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.samplers import class_members
from ltfix.stage2.methods.catalog import STARTS
from ltfix.stage2.methods.options import read_budget
from ltfix.stage2.methods.values import Values
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.search import EARLY, EARLY_FROM
from ltfix.stage2.tuning.steadiness import ON_ALL, SEEDS
from ltfix.stage2.tuning.store import NOWHERE, Store, settings_of

PART_SAMPLES = 4000
"""Tuning on fewer samples than this says little."""
PUBLISHED = "the published values where there are any"
PART_OF_CLASS = 20
"""A class keeps so many samples, or all that it has."""
BEGUN, FINISHED, FOREMOST = 1.0, 0.35, 0.18
"""Of the settings that a search may try, about this share is begun, run to its end on the first cut, and on
each that follows."""
TIMED_METHODS, TIMED_SAMPLES, TIMED_SETTINGS = 3, 2048, 6
OVERRUN = 1.1
"""A time that is kept by estimate is called overrun from so many times it on."""


@contextlib.contextmanager
def watched(material: Material) -> Iterator[None]:
    """Say so, once what is done inside took longer than the time of the budget."""
    number, unit = read_budget(material.options.budget or "0p")
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    if unit == "s" and took > OVERRUN * number:
        what = f"the budget of {material.options.budget} is overrun: it took {duration(took)}"
        material.progress.note(f"{what}. It is kept by an estimate beforehand, and nothing is cut short")


def limit(
    fits: Sequence[MethodFit],
    n_seeds: int,
    *,
    threads: int = 1,
    tell: bool = False,
    store: Store = NOWHERE,
    shared: Mapping[str, Any] | None = None,
) -> Material:
    """What to tune on: the material of the fits, or the part of it that their ``budget`` has room for.

    Args:
        n_seeds: of the final fits. threads: how many fits go at once.
        tell: say how long it will take.
        store: what a time had room for there is kept and taken over. shared: what decides all fits.
    """
    material = fits[0].material
    asked = material.options.budget
    if asked is None and not tell:
        return material
    number, unit = (0.0, "p") if asked is None else read_budget(asked)
    began = time.perf_counter()
    timed = tell or unit == "s"
    pace, start = (_seconds_a_pass(fits) / threads, _seconds_a_start(material)) if timed else (0.0, 0.0)
    number -= time.perf_counter() - began if unit == "s" else 0.0

    def seconds(search: Search) -> float:
        return _passes(fits, search, n_seeds) * pace + start * search.folds * search.samples

    cost = seconds if unit == "s" else lambda search: _passes(fits, search, n_seeds)
    searches = list(_searches(material))
    found = next((s for s in searches if asked is None or cost(s) <= number), searches[-1])
    if asked is not None and unit == "s":
        found = _as_begun(found, fits, n_seeds, store, shared or {})
    needed = _passes(fits, found, n_seeds)
    if tell:
        what = f"{len(fits)} methods to tune: about {needed:,.0f} passes over {len(material.data):,} samples"
        material.progress.note(f"{what}, {duration(seconds(found))}")
    return material if found == searches[0] else _part(material, found, f"{asked}", needed)


def _as_begun(
    found: Search, fits: Sequence[MethodFit], n_seeds: int, store: Store, shared: Mapping[str, Any]
) -> Search:
    """What the first run of this request in the folder had time for, said; else ``found``, which is kept."""
    each = sorted(files.sha256_json(settings_of(shared, fit.values, n_seeds)) for fit in fits)
    request = files.sha256_json([fits[0].material.options.budget, *each])
    begun = store.level(request)
    if begun is None:
        store.begin(request, (found.folds, found.samples, found.settings))
        return found
    passes, material = _passes(fits, Search(*begun), n_seeds), fits[0].material
    what = f"goes on with {passes:,.0f} passes of the begun run in {store.folder}"
    material.progress.note(f"budget {material.options.budget}: {what}")
    return Search(*begun)


def _searches(material: Material) -> Iterator[Search]:
    """From all that is tried to the published values alone."""
    n, most = len(material.data), len(material.folds())
    yield from (Search(folds) for folds in range(most, 0, -1))
    share = 1.0
    while n * share / 2 >= PART_SAMPLES:
        share /= 2
        yield Search(1, share)
    yield from (Search(1, share, settings) for settings in (0.5, 0.25, 0.125, 0.0))


def _passes(fits: Sequence[MethodFit], search: Search, n_seeds: int) -> float:
    """About so many passes over all samples cost tuning and the final fits."""
    return sum(_passes_of(fit, search, n_seeds) for fit in fits)


def _passes_of(fit: MethodFit, search: Search, n_seeds: int) -> float:
    if fit.values.method.loss is None:
        return 0.0
    n = len(search.of(fit.candidates()))
    share = EARLY * BEGUN + FINISHED + FOREMOST * (search.folds - 1) if n >= EARLY_FROM else search.folds
    on_a_cut, on_all = (SEEDS - 1, ON_ALL) if fit.material.held is None else (0, SEEDS)
    if n == 1:
        on_a_cut = on_all = 0
    written = max(n_seeds - on_all, 0) if search.samples == 1 else n_seeds
    return float(fit.values["epochs"] * (search.samples * (n * share + on_a_cut + on_all) + written))


def _seconds_a_pass(fits: Sequence[MethodFit]) -> float:
    """Of a setting that trains beside others, the mean of a few methods; 0 where nothing is trained."""
    trained = [fit for fit in fits if fit.values.method.loss is not None]
    if not trained:
        return 0.0
    material, timed = trained[0].material, trained[:: math.ceil(len(trained) / TIMED_METHODS)]
    rows = np.linspace(0, len(material.data) - 1, min(len(material.data), TIMED_SAMPLES)).astype(np.int64)
    data = material.data.subset(np.unique(rows))
    quiet = dataclasses.replace(material, progress=SILENT)
    fitter = quiet.fitter(data, STARTS["random"], 1.0, "none")

    def seconds(values: Values) -> float:
        rates = [values["lr"] / (1 + i) for i in range(TIMED_SETTINGS)]  # equal settings would train once
        began = time.perf_counter()
        fitter.fit([values.choose(lr=lr) for lr in rates], [0], stop=1, tolerant=True)
        return time.perf_counter() - began

    took = [min(seconds(fit.values), seconds(fit.values)) for fit in timed]
    return float(np.mean(took)) / TIMED_SETTINGS * len(material.data) / len(data)


def _seconds_a_start(material: Material) -> float:
    """Of the probe of one cut, where fits begin with probes. What is solved here is kept."""
    if material.start(material.data).method != PROBE:
        return 0.0
    began = time.perf_counter()
    material.start(material.folds()[0].train)
    return time.perf_counter() - began


def _part(material: Material, search: Search, asked: str, passes: float) -> Material:
    """The material with less to try, which says so."""
    whole = material.data
    data = whole
    if search.samples < 1:
        data = whole.subset(_class_wise_part(whole, search.samples, material.seed))
    cuts = len(material.folds())
    left = [f"{search.folds} of {cuts} cuts"] if search.folds < cuts else []
    left += [f"{len(data):,} of {len(whole):,} samples"] if data is not whole else []
    settings = f"{search.settings:.0%} of the settings" if search.settings else PUBLISHED
    left += [settings] if search.settings < 1 else []
    about = {"asked": asked, "passes": math.ceil(passes), "tuned_on": ", ".join(left)}
    passed = f"{about['passes']:,} passes"
    what = f", {passed}: tuned on {about['tuned_on']}"
    if not search.settings:
        what = f", {passed}: no room to tune, {PUBLISHED}"
    material.progress.note(f"budget {asked}{what}; fitted on all samples")
    return dataclasses.replace(
        material,
        options=dataclasses.replace(material.options, no_cache=True),  # a part's probe is not the cache's
        data=data,
        search=dataclasses.replace(search, about=about),
        _found={what: found for what, found in material._found.items() if what == ("_probe", data)},
        _lock=threading.RLock(),
    )


def _class_wise_part(data: Features, share: float, seed: int) -> np.ndarray:
    """Rows of so large a share of every class, sorted; views of one sample stay together."""
    rng = np.random.default_rng(derive(seed, "budget"))
    kept = [
        rng.permutation(members)[: max(PART_OF_CLASS, math.ceil(share * len(members)))]
        for members in class_members(data.labels[:: data.copies])
    ]
    return data.entries_of(np.sort(np.concatenate(kept)))
