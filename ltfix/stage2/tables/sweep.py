"""`sweep`: how one method's accuracy depends on its values, a grid of settings fitted together."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import UsageError, nearest
from ltfix.evaluation.given import training_counts
from ltfix.evaluation.scores import TITLES, class_accuracy, shot_means, spread
from ltfix.evaluation.shots import FEW, MANY, SHOTS, Shots, group
from ltfix.evaluation.table import Column, Result, Table
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.seeds import list_seeds
from ltfix.stage2.fitting.context import Material, check_pair
from ltfix.stage2.fitting.validation import BY, Validation
from ltfix.stage2.loop.data import Features
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import Value
from ltfix.stage2.methods.registry import Method, find_method
from ltfix.stage2.methods.values import Values, resolve, with_loss
from ltfix.stage2.tables.ranges import MOST_POINTS, read_points
from ltfix.stage2.tuning.candidates import candidates
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.search import side_by_side

FORMAT = "ltfix-sweep/1"
SCORES = ("all", *SHOTS, "class_mean")
SUMMED = ("all", "class_mean")


@dataclasses.dataclass(frozen=True, slots=True)
class Sweep(Result):
    """What `sweep` found.

    Attributes:
        method: its name. over: what was swept: value -> the points it took.
        points: one mapping a point: ``values``, for every score its ``mean`` and ``std`` over seeds (of one
            seed: None) as fractions, or None for an empty shot and for a point that diverged, and
            ``diverged``.
        spreads: one mapping a swept value: by how much ``all`` and ``class_mean`` differ along it.
        scored_on: in words. on_test: whether that is a test cache, on which nothing may be chosen.
        about: further keys of the JSON. notes: lines below the table.
    """

    method: str
    over: Mapping[str, Sequence[Any]]
    points: list[dict[str, Any]]
    spreads: list[dict[str, Any]]
    scored_on: str
    on_test: bool
    about: dict[str, Any]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md."""
        return {
            "format": FORMAT,
            "method": self.method,
            "scored_on": self.scored_on,
            "on_test": self.on_test,
            **self.about,
            "over": {name: list(points) for name, points in self.over.items()},
            "points": self.points,
            "spreads": self.spreads,
        }

    def tables(self) -> list[Table]:
        """The points, and by how much each value moves the result."""
        swept = tuple(Column(name, name.replace("_", "-"), "value") for name in self.over)
        scores = tuple(Column(key, TITLES[key], "spread", "max") for key in SCORES)
        lost = (Column("diverged", "", "text", csv_only=True),)
        rows = [{**point["values"], **point} for point in self.points]
        first = Table((*swept, *scores, *lost), rows, title=self._title(), notes=self.notes)
        moves = [
            {"value": move["value"], "score": TITLES[key], **move[key]}
            for move in self.spreads
            for key in SUMMED
        ]
        second = Table(
            (
                Column("value", "Swept", "text"),
                Column("score", "Score", "text"),
                Column("range", "Best − worst", "percent"),
                Column("best", "Best at", "value"),
                Column("worst", "Worst at", "value"),
            ),
            moves,
            title="By how much each value moves the result"
            + (", the others fixed: mean over their settings" if len(self.over) > 1 else ""),
        )
        return [first, second]

    def _title(self) -> str:
        label = "test cache, for reports only: nothing may be chosen on it" if self.on_test else "validation"
        return f"{self.method} on {self.scored_on} ({label})"


def sweep(
    train: FeatureCache | Path | str,
    method: str,
    over: Mapping[str, Sequence[Any]],
    *,
    seeds: int | Sequence[int] = 1,
    test: FeatureCache | Path | str | None = None,
    val: FeatureCache | Path | str | None = None,
    loss: str | None = None,
    values: Mapping[str, Any] | None = None,
    origins: Mapping[str, str] | None = None,
    options: Options | None = None,
    many: int = MANY,
    few: int = FEW,
    progress: Progress = SILENT,
) -> Sweep:
    """Fit a method at every point of a grid and score each.

    Args:
        train: features of the training split.
        over: value -> its points; the grid is their product. What may train side by side does.
        seeds: how many, or which, at every point.
        test: score on this cache, for reports; else on ``val``, else on a class-wise cut of the training
            samples that is left out of the fits.
        loss: replaces the method's loss. values: of the method, the same at every point.
        options: how to fit (nothing is tuned).
        many, few: Many is n > many, Few is n < few.

    Raises:
        UsageError: an unknown method or value; a value that is swept and given; a value left open.
        InputError: caches that are wrong or do not fit each other.
    """
    numbers, given, options = list_seeds(seeds), dict(values or {}), options or Options()
    entry = with_loss(find_method(method), loss)
    grid = {name: list(points) for name, points in over.items()}
    for name in grid:
        if name in given:
            raise UsageError(f"{name} is swept and given", where=f"--over {name}", hint="leave one out")
    specs = entry.values(given)
    grid = {
        name: read_points(name, points, specs) for name, points in grid.items() if _known(name, entry, specs)
    }
    opened = open_cache(train) if isinstance(train, Path | str) else train
    held, tested = (open_cache(c) if isinstance(c, Path | str) else c for c in (val, test))
    material = Material.of(opened, held, options, numbers[0], progress)
    settings = [MethodFit.of(material, values).values for values in _settings(entry, given, grid, origins)]
    _refuse_open(settings[0])
    ground = material.folds()[0] if tested is None else _test_ground(material, tested)
    shots = group(training_counts(opened), many, few)
    tried = [
        candidates(values, tune=False, init=options.init, normalize=material.normalize)[0]
        for values in settings
    ]
    fitted: list[list[Head]] = [[] for _ in tried]
    for number, linear in side_by_side(material, ground.train, tried, numbers):
        fitted[number].append(linear)
    points = [
        {"values": {name: values[name] for name in grid}, **_point(runs, ground, shots)}
        for values, runs in zip(settings, fitted, strict=True)
    ]
    return Sweep(
        method=entry.name if loss is None else f"{entry.name} with {loss}",
        over=grid,
        points=points,
        spreads=[_move(name, grid, points) for name in grid],
        scored_on=ground.where,
        on_test=tested is not None,
        about={"seeds": numbers, "train": str(opened.path), "shots": shots.to_dict()},
        notes=_notes(shots, numbers, points, balanced=len(set(np.bincount(ground.held.labels))) == 1),
    )


def _known(name: str, entry: Method, specs: Mapping[str, Value]) -> bool:
    if name not in specs:
        raise UsageError(
            f"method {entry.name} has no value {name!r}", where=f"--over {name}", hint=nearest(name, specs)
        )
    return True


def _settings(
    entry: Method,
    given: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    origins: Mapping[str, str] | None,
) -> list[Values]:
    size = math.prod(len(points) for points in grid.values())
    if size > MOST_POINTS:
        raise UsageError(f"a grid of {size} points", where="--over", hint=f"at most {MOST_POINTS}")
    swept = {**(origins or {}), **dict.fromkeys(grid, "swept")}
    return [
        resolve(entry, {**given, **dict(zip(grid, point, strict=True))}, swept)
        for point in itertools.product(*grid.values())
    ]


def _refuse_open(values: Values) -> None:
    for name, spec in values.method.values().items():
        if values[name] is None and spec.grid:
            hint = f"sweep it, or give it with --set {name}=…"
            raise UsageError(f"{values.method.name} needs a value for {name}", where="--over", hint=hint)


def _test_ground(material: Material, tested: FeatureCache) -> Validation:
    """All training samples to fit on, the test cache to score on."""
    check_pair(material.train, tested, "test")
    views = "first" if material.options.views_used == "first" else "random"
    held = Features.of(tested, views, material.options.stream)
    return Validation(material.data, held, str(tested.path), False)


def _point(runs: Sequence[Head], ground: Validation, shots: Shots) -> dict[str, Any]:
    """Mean and deviation of every score over the seeds of one point; None of all where a run diverged."""
    scored = [_scores(linear, ground, shots) for linear in runs]
    sound = [scores for scores in scored if scores is not None]
    lost = len(sound) < len(scored)
    found = {key: None if lost else spread(scores[key] for scores in sound) for key in SCORES}
    return {**found, "diverged": lost}


def _scores(linear: Head, ground: Validation, shots: Shots) -> dict[str, Any] | None:
    predicted, labels = ground.predict(linear), ground.held.labels
    if predicted is None:
        return None
    recall = class_accuracy(predicted, labels, len(shots.counts))
    overall = {"all": float(np.mean(predicted == labels)), "class_mean": float(np.nanmean(recall))}
    return {**overall, **shot_means(recall, shots.of)}


def _move(name: str, grid: Mapping[str, Sequence[Any]], points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By how much one value moves the result while the others stay: best minus worst, mean over the others.

    ``best`` and ``worst`` are where the mean over the others is largest and smallest. Points that diverged
    are counted, and left out of the rest.
    """
    shape = [len(values) for values in grid.values()]
    axis = list(grid).index(name)
    found: dict[str, Any] = {"value": name, "diverged": sum(point["diverged"] for point in points)}
    for key in SUMMED:
        means = np.array([np.nan if p[key] is None else p[key]["mean"] for p in points]).reshape(shape)
        lines = np.moveaxis(means, axis, -1).reshape(-1, shape[axis])
        ranges = [np.nanmax(line) - np.nanmin(line) for line in lines if np.isfinite(line).any()]
        columns = [column[np.isfinite(column)] for column in lines.T]
        level = {i: float(column.mean()) for i, column in enumerate(columns) if len(column)}
        best, worst = (
            (max(level, key=level.__getitem__), min(level, key=level.__getitem__)) if level else (None, None)
        )
        found[key] = {
            "range": float(np.mean(ranges)) if ranges else None,
            "best": None if best is None else grid[name][best],
            "worst": None if worst is None else grid[name][worst],
        }
    return found


def _notes(
    shots: Shots, seeds: Sequence[int], points: Sequence[dict[str, Any]], *, balanced: bool
) -> tuple[str, ...]:
    runs = [f"Mean ± standard deviation over {len(seeds)} seeds."] if len(seeds) > 1 else []
    uneven = [f"These samples are uneven: go by the class mean ({BY}), not by All."] if not balanced else []
    lost = sum(point["diverged"] for point in points)
    diverged = [f"{lost} of {len(points)} points diverged (–)."] if lost else []
    return (f"{shots.rule()}.", *runs, *uneven, *diverged)
