"""`sweep`: how one method's accuracy depends on its values, a grid of settings fitted together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.metrics import TITLES
from ltfix.evaluation.result import Result
from ltfix.evaluation.shots import FEW, MANY, SHOTS
from ltfix.evaluation.table import Column, Table
from ltfix.features.read import CacheLike
from ltfix.heads.head import PROBE, Head
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.seeds import list_seeds
from ltfix.stage2.fitting.validation import BY
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import Method
from ltfix.stage2.methods.values import LossLike
from ltfix.stage2.tables.bench import Bench, penalty_note, score_columns, seeds_note, spreads
from ltfix.stage2.tables.ranges import grid_of
from ltfix.stage2.tuning.method_fit import MethodFit
from ltfix.stage2.tuning.search import side_by_side

FORMAT = "ltfix-sweep/1"
SCORES = ("all", *SHOTS, "class_mean")
SUMMED = ("all", "class_mean")
MOVES = (
    Column("value", "Swept"),
    Column("score", "Score"),
    Column("range", "Best − worst", "percent"),
    Column("best", "Best at", "value"),
    Column("worst", "Worst at", "value"),
)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
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
        where = {"scored_on": self.scored_on, "on_test": self.on_test}
        found = {"over": self.over, "points": self.points, "spreads": self.spreads, "notes": list(self.notes)}
        return {"format": FORMAT, "method": self.method, **where, **self.about, **found}

    def tables(self) -> list[Table]:
        """The points, and by how much each value moves the result."""
        swept = tuple(Column(name, name.replace("_", "-"), "value") for name in self.over)
        aside = (Column(key, "", csv_only=True) for key in ("diverged", "scored_on", "on_test"))
        columns = (*swept, *score_columns(SCORES), *aside)
        where = {"scored_on": self.scored_on, "on_test": self.on_test}
        rows = [{**point["values"], **point, **where} for point in self.points]
        label = "test cache, for reports only: nothing may be chosen on it" if self.on_test else "validation"
        values = self.about.get("values", {})
        given = ", ".join(f"{name.replace('_', '-')}={value}" for name, value in values.items())
        title = f"{self.method}{given and f' with {given}'} on {self.scored_on} ({label})"
        first = Table(columns, rows, title=title, notes=self.notes)
        moves = [
            {"value": move["value"].replace("_", "-"), "score": TITLES[key], **move[key]}
            for move in self.spreads
            for key in SUMMED
        ]
        beside = ", the others fixed: mean over their settings" if len(self.over) > 1 else ""
        second = Table(MOVES, moves, title="By how much each value moves the result" + beside)
        return [first, second]


@public
def sweep(
    train: CacheLike,
    method: Method | str,
    over: Mapping[str, Sequence[Any]],
    *,
    seeds: int | Sequence[int] = 1,
    test: CacheLike | None = None,
    val: CacheLike | None = None,
    loss: LossLike | None = None,
    values: Mapping[str, Any] | None = None,
    options: Options | None = None,
    many: int = MANY,
    few: int = FEW,
    progress: Progress | bool = SILENT,
    **more: Any,
) -> Sweep:
    """Fit a method at every point of a grid and score each.

    >>> import numpy as np, ltfix
    >>> labels = np.repeat([0, 1, 2], [40, 12, 4])
    >>> found = ltfix.sweep((np.eye(3, 8)[labels], labels), "los", {"delta": [0.5, 0.9]})
    >>> [(point["values"], point["all"]["mean"]) for point in found.points]
    [({'delta': 0.5}, 1.0), ({'delta': 0.9}, 1.0)]

    Args:
        train: features of the training split.
        over: value -> its points; the grid is their product. What may train side by side does.
        seeds: how many, or which, at every point.
        test: score on this cache, for reports; else on ``val``, else on a class-wise cut of the training
            samples that is left out of the fits.
        loss: replaces the method's loss. values: of the method, the same at every point.
        options: how to fit (nothing is tuned).
        many, few: Many is n > many, Few is n < few.
        progress: told how far it is, and of notes: what is odd; True shows both, else no note is told.
        more: further ``values``, and fields of ``options``.

    Raises:
        UsageError: an unknown method or value; a value that is swept and given; a value left open.
        InputError: caches that are wrong or do not fit each other.
    """
    numbers, progress = list_seeds(seeds), listener(progress)
    options, given = (options or Options()).beside({**(values or {}), **more})
    untuned = dataclasses.replace(options, tune=False, budget=None)
    untuned.demand_used()
    entry, grid, asked = grid_of(method, loss, over, given)
    once = []
    if len(numbers) > 1 and not asked[0].method.is_seeded:
        numbers, once = numbers[:1], ["No seed decides this method: each point is fitted once."]
    bench = Bench(train, test, val, untuned, numbers[0], many=many, few=few, progress=progress)
    material = bench.material
    tried = [MethodFit.of(material, values).candidates()[0] for values in asked]
    fitted: list[list[Head]] = [[] for _ in tried]
    for number, head in side_by_side(material, bench.data, tried, numbers):
        fitted[number].append(head)
    of_probe = bench.penalty() if any(map(_began_at_probe, fitted)) else None
    points = [
        {"values": {name: setting.values[name] for name in grid}, **_point(bench, runs)}
        for setting, runs in zip(tried, fitted, strict=True)
    ]
    return Sweep(
        method=entry.name if loss is None else f"{entry.name} with {entry.loss}",
        over=grid,
        points=points,
        spreads=[_move(name, grid, points) for name in grid],
        scored_on=bench.where,
        on_test=bench.test is not None,
        about={
            "values": {name: tried[0].values[name] for name in given},
            "seeds": numbers,
            "train": str(material.train.path),
            "probe": of_probe,
            "shots": bench.shots.to_dict(),
        },
        notes=_notes(bench, numbers, points, [*once, *penalty_note(of_probe)]),
    )


def _point(bench: Bench, runs: Sequence[Head]) -> dict[str, Any]:
    """Mean and deviation of every score over the seeds of one point; None of all where a run diverged."""
    diverged = not all(head.is_finite for head in runs)
    scored = [] if diverged else [bench.measure(head)[0] for head in runs]
    return {**spreads(scored, SCORES), "diverged": diverged}


def _began_at_probe(runs: Sequence[Head]) -> bool:
    return any(head.meta.get("init", {}).get("from") == PROBE for head in runs)


def _move(name: str, grid: Mapping[str, Sequence[Any]], points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By how much one value moves the result while the others stay: best minus worst, mean over the others.

    ``best`` and ``worst`` are where the mean over the others is largest and smallest; None where it does not
    move. Points that diverged are counted, and left out of the rest.
    """
    found: dict[str, Any] = {"value": name, "diverged": sum(point["diverged"] for point in points)}
    shape = [len(values) for values in grid.values()]
    for key in SUMMED:
        means = np.array([np.nan if p[key] is None else p[key]["mean"] for p in points]).reshape(shape)
        lines = np.moveaxis(means, list(grid).index(name), -1).reshape(-1, len(grid[name]))
        ranges = [np.nanmax(line) - np.nanmin(line) for line in lines if np.isfinite(line).any()]
        sound = [column[np.isfinite(column)] for column in lines.T]
        level = {p: float(column.mean()) for p, column in zip(grid[name], sound, strict=True) if len(column)}
        if len(set(level.values())) == 1 < len(level):
            level = {}
        found[key] = {
            "range": float(np.mean(ranges)) if ranges else None,
            "best": max(level, key=level.__getitem__, default=None),
            "worst": min(level, key=level.__getitem__, default=None),
        }
    return found


def _notes(
    bench: Bench, seeds: Sequence[int], points: Sequence[dict[str, Any]], more: Sequence[str]
) -> tuple[str, ...]:
    balanced = len(set(np.bincount(bench.labels))) == 1
    uneven = [f"These samples are uneven: go by the class mean ({BY}), not by All."] if not balanced else []
    lost = sum(point["diverged"] for point in points)
    diverged = [f"{lost} of {len(points)} points diverged (–)."] if lost else []
    best = _best(points) if bench.test is None else []  # nothing is to be chosen on a test cache
    return (f"{bench.shots.rule()}.", *seeds_note(seeds), *best, *more, *uneven, *diverged, *bench.otherwise)


def _best(points: Sequence[dict[str, Any]]) -> list[str]:
    """The setting with the highest class mean, the first of equal ones."""
    sound = [point for point in points if point["class_mean"] is not None]
    top = max(sound, key=lambda point: point["class_mean"]["mean"], default=None)
    alike = len(sound) == len(points) and len({point["class_mean"]["mean"] for point in sound}) == 1
    if top is None or alike:
        return []
    setting = ", ".join(f"{name.replace('_', '-')}={value}" for name, value in top["values"].items())
    return [f"Best by class mean: {setting}, {100 * top['class_mean']['mean']:.1f}."]
