"""Evaluate heads on a cache: the one entry to every report."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import InputError, UsageError, nearest
from ltfix.evaluation import reports
from ltfix.evaluation.bars import Bars
from ltfix.evaluation.baseline import samples_id
from ltfix.evaluation.bootstrap import LEVEL, RESAMPLES, paired_difference
from ltfix.evaluation.gate import idle_gates, unpaired_gates
from ltfix.evaluation.given import (
    HeadOrPath,
    NamedHead,
    check_fit,
    check_names,
    class_names,
    collect,
    each_once,
    open_given,
    open_together,
)
from ltfix.evaluation.report import Report
from ltfix.evaluation.scores import check_tta
from ltfix.evaluation.shots import FEW, MANY, group
from ltfix.evaluation.testset import TestSet
from ltfix.features.provenance import demand_alike
from ltfix.features.read import CacheLike, FeatureCache
from ltfix.files import completed
from ltfix.heads.head import PROBE, STAGE1, Head
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public


@public
def evaluate(
    heads: HeadOrPath | Sequence[HeadOrPath] | None,
    cache: CacheLike,
    report: str = "many-medium-few",
    *,
    many: int = MANY,
    few: int = FEW,
    tta: str = "mean",
    against: HeadOrPath | None = None,
    fail_under: str | None = None,
    baseline: Path | str | None = None,
    max_drop: str | None = None,
    random_layers: int = 0,
    seed: int = 0,
    progress: Progress | bool = SILENT,
) -> Report:
    """Measure heads on a feature cache.

    >>> import numpy as np, ltfix
    >>> np.savez("test.npz", features=np.eye(3)[[0, 0, 1, 1, 2, 0]], labels=[0, 0, 1, 1, 2, 2])
    >>> head = ltfix.Head(np.eye(3), np.zeros(3), "mine", counts=np.array([500, 50, 5]))
    >>> report = ltfix.evaluate(head, "test.npz")
    >>> {shot: report.heads[0][shot] for shot in ("many", "medium", "few")}
    {'many': 1.0, 'medium': 1.0, 'few': 0.5}
    >>> print(report.render("markdown"))  # doctest: +ELLIPSIS
    **test.npz: 6 samples, 3 classes**
    ...
    | mine | 83.3 | 100.0 | 100.0 | 50.0 | 75.0 | 50.0 | 2 | 83.3 | 79.4 | 82.2 | 100.0 |
    ...

    Args:
        heads: one or several of: a Head, the path of one or of a folder of them, or a training cache, which
            stands for its stage-1 classifier and its counts. None or empty: the cache's own classifier.
        cache: the features to measure on, their path, or arrays ``(X, y)``.
        report: a name of ``ltfix.evaluation.reports.BUILT_IN``, or of an installed extension's.
        many, few: Many is n > many, Few is n < few, n the training samples of a class.
        tta: with several views, the "mean" of their logits or the "first" view alone.
        against: a head, or the name of a row, that every head is compared with: the difference of All
            and of each shot with its paired bootstrap interval.
        fail_under: what each fitted head must reach, in percent, as ``few=20,all=45``; of ``ece`` what it may
            have at most. What comes of it is in ``Report.gates``; ``gate.demand`` raises.
        baseline: an earlier report in JSON that fitted heads are compared with.
        max_drop: how many points each may fall behind it, as ``few=1,all=0.5``.
        random_layers: of the report "features": behind how many layers of random weights and ReLU the Fisher
            ratio is measured, too.
        seed: of the bootstrap and of these layers.
        progress: told of the samples of every head; True shows a bar.

    Raises:
        UsageError: an unknown report or ``tta``, overlapping shot boundaries, or a gate that cannot be held.
        InputError: a missing or wrong file; heads and cache that differ in D, K or class names; training
            counts that are unknown or contradict each other; a feature that is not finite.
    """
    reports.lookup(report)
    bars = Bars.of(fail_under, baseline, max_drop)
    more = {"tta": tta, "random_layers": random_layers, "seed": seed, "progress": listener(progress)}
    return Evaluation.of(heads, cache, many=many, few=few, **more).report(report, against=against, bars=bars)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Heads and the cache they are measured on, opened and checked once for any number of reports.

    Attributes:
        rows: the heads, stage 1 first.
        test: the cache, its shots, and what was predicted so far.
        no_start: why no row is where the fits began; empty where one is.
        otherwise: notes of what was named twice, and of heads that were fitted on features made otherwise,
            or on others than the rest.
        other_counts: a note of heads that were fitted on other counts than those that decide the shots.
    """

    rows: list[NamedHead]
    test: TestSet
    no_start: str = ""
    otherwise: tuple[str, ...] = ()
    other_counts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        heads: HeadOrPath | Sequence[HeadOrPath] | None,
        cache: CacheLike,
        *,
        many: int = MANY,
        few: int = FEW,
        **more: Any,
    ) -> Evaluation:
        """Open and check what :func:`evaluate` takes; ``more``: further fields of the :class:`TestSet`."""
        check_tta(more.get("tta", "mean"))
        given, opened = open_together(heads, cache)
        given, twice = each_once(given)
        rows, counts = collect(given, opened)
        names = class_names(rows, opened)
        test = TestSet(opened, group(counts, many, few), names, **more)
        named_first = sorted(rows, key=lambda row: row.is_start)  # of a head that was named, before its start
        told = [check_fit(row, opened, len(counts)) for row in named_first]
        told += [
            demand_alike(it, opened, it.path)
            for it in given
            if isinstance(it, FeatureCache) and (it.head or it.kept_probe())  # else it gives its counts alone
        ]
        began = any(row.is_start or row.name in (STAGE1, PROBE) for row in rows)
        no_start = "" if began else _no_start(given)
        otherwise = tuple(dict.fromkeys(itertools.chain(twice, *told, _other_features(rows, given))))
        return cls(rows, test, no_start, otherwise, _other_counts(rows, counts, given))

    def report(self, name: str, *, against: HeadOrPath | None = None, bars: Bars | None = None) -> Report:
        """One report of :func:`evaluate`."""
        kind, rows, test = reports.lookup(name), self.rows, self.test
        cache, progress = test.cache, test.progress
        progress.start(f"evaluate {cache.path}", cache.n * len(rows), "samples")
        seen = [_seen(row.head, cache) for row in rows]
        found = [
            {**row.to_dict(), **kind.measure(row.head, test), "seen": how}
            for row, how in zip(rows, seen, strict=True)
        ]
        about = {"tested": test.tested_classes, "untested": test.untested, **kind.about(test)}
        otherwise = self.otherwise
        progress.advance(cache.n * len([row for row in rows if not test.counted(row.head)]))
        if against is not None:
            baseline = _baseline(against, rows, self.no_start)
            otherwise += check_fit(baseline, cache, test.n_classes)
            check_names([baseline], [cache])
            told = {"level": LEVEL, "resamples": RESAMPLES, "seed": test.seed}
            about["against"] = {**baseline.to_dict(), **told}
            for entry, row in zip(found, rows, strict=True):
                entry["difference"] = _difference(row, baseline, test)
        if bars is not None and (bars.least or bars.drops):
            found, about["gates"] = bars.hold(found, rows, test)
        progress.finish()
        notes = [*dict.fromkeys(otherwise), *self.other_counts]
        notes += [f"No row of stage 1: {self.no_start}."] if self.no_start else []
        for how, what in (("fitted", ""), ("chosen", ""), ("calibrated", " probabilities")):
            named = [row.name for row, its in zip(rows, seen, strict=True) if its == how]
            notes += (
                [f"{how.title()} on these samples, which flatters{what}: {', '.join(named)}."]
                if named
                else []
            )
        gates = about.get("gates", ())
        notes += [f"Held to a baseline without pairs of samples: {line}." for line in unpaired_gates(gates)]
        notes += [f"Cannot be missed: {line}." for line in idle_gates(gates)]
        title = _title(test)
        return Report(name, describe_cache(cache), test.shots, found, about, kind.table, title, tuple(notes))


def _other_counts(
    rows: list[NamedHead], counts: np.ndarray, given: Sequence[Head | FeatureCache]
) -> tuple[str, ...]:
    """A line where heads were trained on other counts than those of the cache that decides the shots."""
    fitted = [(row.name, row.head.counts) for row in rows if not row.is_start]
    others = [name for name, own in fitted if own is not None and not np.array_equal(own, counts)]
    by = next((item.path for item in given if isinstance(item, FeatureCache)), None)
    told = f"Many, Medium and Few are by the training counts of {by}, not by their own: {', '.join(others)}."
    return (told,) if others else ()


def _other_features(rows: list[NamedHead], given: Sequence[Head | FeatureCache]) -> tuple[str, ...]:
    """A line where heads were fitted on other training features than those given, else than most heads."""
    made = dict[str, list[str]]()
    for row in rows:
        if not row.is_start and row.head.meta.get("cache"):
            made.setdefault(str(row.head.meta["cache"]), []).append(row.name)
    known = [cache for cache in given if isinstance(cache, FeatureCache) and cache.identity in made]
    if len(made) < 2:
        return ()
    usual = known[0].identity if known else max(made, key=lambda its: len(made[its]))
    than = f"than {known[0].path}" if known else f"than {made[usual][0]}"
    others = ", ".join(name for its, names in made.items() if its != usual for name in names)
    return (f"Fitted on other training features {than}, so perhaps from another start: {others}.",)


def describe_cache(cache: FeatureCache) -> dict[str, Any]:
    """A cache in the JSON of a result: path, n, classes, fingerprint, and what tells its labels apart."""
    return {
        "path": str(cache.path),
        "n": cache.n,
        "classes": cache.n_classes,
        "fingerprint": cache.fingerprint,
        "labels_sha256": samples_id(cache.labels),
    }


def _title(test: TestSet) -> str:
    title = f"{test.cache.path}: {test.cache.n} samples, {test.cache.n_classes} classes"
    if test.cache.tested_views == 1:
        return title
    views = (
        f"logits averaged over {test.cache.tested_views} views" if test.tta == "mean" else "first view alone"
    )
    return f"{title}, {views}"


def _seen(head: Head, cache: FeatureCache) -> str | None:
    """Whether a head was "fitted" on this cache, its values or epoch "chosen" or its temperature "calibrated"
    on it, as its file says."""
    if head.meta.get("cache") == cache.identity:
        return "fitted"
    if is_chosen(head.meta.get("selection")) and head.meta.get("val") == cache.identity:
        return "chosen"
    told = head.meta.get("calibration")
    return "calibrated" if isinstance(told, dict) and told.get("cache") == cache.identity else None


def is_chosen(said: Any) -> bool:
    """Whether validation samples chose a value, the epoch or the method, as a head's ``selection`` says: its
    score on them flatters it then."""
    return isinstance(said, dict) and bool(
        said.get("chosen") or "auto" in said or said.get("epoch") != "last"
    )


def _no_start(given: Sequence[Head | FeatureCache]) -> str:
    """Why there is no row of stage 1, nor of the probe in its place."""
    named = [cache for cache in given if isinstance(cache, FeatureCache)]
    if not named:
        made = "a folder that `ltfix extract` or `ltfix import` made, or a file with its classifier"
        return f"no cache here has its classifier; name the training cache first, {made}"
    kept = "no classifier" if named[0].path.is_file() else "no classifier, and no probe is kept there"
    import_it = "; `ltfix import` makes a cache of it that keeps the probe" if named[0].path.is_file() else ""
    return f"{named[0].path} has {kept}{import_it}"


def _baseline(against: HeadOrPath, rows: list[NamedHead], no_start: str) -> NamedHead:
    """The head to compare with: a row by its name, or one more head."""
    for row in rows:
        if against is row.head or (isinstance(against, str | Path) and str(against) in (row.name, row.path)):
            return row
    if isinstance(against, str | Path) and not completed(against).exists():
        began = str(against) in (STAGE1, PROBE)
        if began and no_start:
            hint = "`ltfix.evaluate([TRAIN, HEAD], cache=TEST)` has one where TRAIN came with its classifier"
            raise UsageError(f"no row of stage 1: {no_start}", where="against", hint=hint)
        first = f"the heads began with {rows[0].name}: against={rows[0].name}"
        near = nearest(str(against), [row.name for row in rows])
        hint = first if began else f"name a row ({near}) or the file of a head, as heads/NAME.safetensors"
        raise InputError(f"no row and no file is {str(against)!r}", where="against", hint=hint)
    opened = against if isinstance(against, Head | FeatureCache) else open_given(against)
    head = opened.head if isinstance(opened, FeatureCache) else opened
    if head is None:
        raise UsageError("the cache to compare with has no stage-1 classifier", where=against)
    return NamedHead(head.name, head)


def _difference(row: NamedHead, baseline: NamedHead, test: TestSet) -> dict[str, Any] | None:
    if row.head is baseline.head:
        return None
    ours, theirs = test.correct(row.head), test.correct(baseline.head)
    return dict(paired_difference(ours, theirs, test.labels, test.shots.of, seed=test.seed))
