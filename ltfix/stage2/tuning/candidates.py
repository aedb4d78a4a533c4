"""The settings that a search tries."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from ltfix.stage2.methods.catalog import PARTS, STARTS
from ltfix.stage2.methods.compatibility import keeps_features
from ltfix.stage2.methods.method import Method, find_start
from ltfix.stage2.methods.parts import Part
from ltfix.stage2.methods.values import Values

RATES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Multiples of a method's learning rate that are tried, each with every value of the method's grid. From a
start that fits all its samples, as a probe of many features does, a published rate moves nothing. Still
higher ones do well with some seeds and fail with others."""
DIRECTION_RATES = (*RATES[1:], 300.0)
"""The same for heads over directions, which need higher rates."""
COARSE_RATES = (0.1, 1.0, 10.0, 100.0)
"""Those that are run at once; the others where one beside them does well."""
SCALES = (0.5, 1.0, 2.0)
"""Multiples of the feature scale that are tried with the published values."""
VARIED = {"scale": "feature_scale", "init": "init", "normalize": "normalize"}
"""What candidates may differ in beside their values, and what a head file calls it."""
_SHOWN = 7

Ground = tuple[Part, float, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One setting to try.

    Attributes:
        values: the method's values. scale: multiple of the feature scale. init: where it starts.
        normalize: what is done to the features first.
        later: whether its rate is run only where one beside it does well.
    """

    values: Values
    scale: float = 1.0
    init: Part = STARTS["stage1"]
    normalize: str = "none"
    later: bool = False

    @property
    def ground(self) -> Ground:
        """Start, scale and normalisation: candidates that share them can train in one batch."""
        return self.init, self.scale, self.normalize


def candidates(
    values: Values,
    *,
    tune: bool,
    init: str | None = None,
    normalize: str = "none",
    scaled: bool = False,
    normalized: bool = False,
) -> list[Candidate]:
    """The settings to try: the grids of values without a default, and with ``tune`` the method's grid too.

    The rate is tried with every value of the grid and every start. The feature scale and another
    normalisation act much like a rate, so they are tried with the published values only (but with every
    value by heads over directions and post-hoc steps, on which they act otherwise). A value that was given is
    not searched.

    Args:
        init: the start that was asked for; None: the method's own is open.
        normalize: what is done to the features, unless the method needs them as they are.
        scaled: whether the feature scale is open. normalized: whether the normalisation is.
    """
    method = values.method
    grids = _grids(values, tune)
    own, stage1 = find_start(init) if init else method.init, STARTS["stage1"]
    inits = (own, stage1) if tune and init is None and own.noise else (own,)  # few samples train no noise
    trained_scale = method.loss is not None and not method.head.directions
    scales = [scale for scale in SCALES if scale != 1] if tune and scaled and trained_scale else []
    usual = "none" if keeps_features(values) else normalize
    other = "none" if usual == "standardize" else "standardize"
    shifts = [other] if tune and normalized and _has_origin(values) else []
    published = [name for name in grids if name != "lr"] if trained_scale else []
    by_factors = "lr" in grids and "lr" not in method.grid
    found = []
    for point in itertools.product(*grids.values()):
        chosen = values.choose(**dict(zip(grids, point, strict=True)))
        later = by_factors and chosen["lr"] not in _times(values["lr"], COARSE_RATES)
        found += [Candidate(chosen, 1.0, start, usual, later) for start in inits]
        if all(chosen[name] == values[name] for name in published):
            found += [Candidate(chosen, scale, own, usual, later) for scale in scales]
            found += [Candidate(chosen, 1.0, own, shift, later) for shift in shifts]
    return found


def nearest_first(tried: list[Candidate], asked: Values) -> list[Candidate]:
    """The same, those that differ least from the published setting first, in the rate last of all."""

    def distance(candidate: Candidate) -> tuple[int, float]:
        values, first = candidate.values, tried[0]
        others = sum(values[name] != asked[name] for name in values.values if name != "lr")
        ratio = abs(math.log(values["lr"] / asked["lr"])) if "lr" in values else 0.0
        return others + (candidate.ground != first.ground), ratio

    return sorted(tried, key=distance)


def searches(method: Method) -> bool:
    """Whether tuning tries more for a method than it does for itself."""
    return bool(method.loss or method.grid or any(part.origin for part in method.parts.values()))


def told_search(values: Values) -> list[str]:
    """What tuning tries: each value with its points, the rate's as multiples, and what else it varies."""
    values, told = values.for_classes(0), list[str]()  # which defaults K decides moves little here
    grids = _grids(values, tune=True)
    for name, tried in grids.items():
        times = name == "lr" and name not in values.method.grid
        shown = [f"{p / values[name] if times else p:g}" if isinstance(p, float) else p for p in tried]
        shown = [*shown[:2], "…", shown[-1]] if len(shown) > _SHOWN and is_even(tried) else shown
        told.append(f"{name}{' ×' * times} {', '.join(map(str, shown))}")
    found = candidates(values, tune=True, scaled=True, normalized=True)
    return told + [word for key, word in VARIED.items() if len({getattr(one, key) for one in found}) > 1]


def is_even(points: Sequence[Any]) -> bool:
    """Whether points are numbers with one step between them, so that the first two and the last tell all."""
    if not all(isinstance(point, int | float) for point in points):
        return False
    steps = [after - before for before, after in itertools.pairwise(points)]
    return bool(max(steps) - min(steps) < 1e-9)


def unsearched(values: Values) -> list[str]:
    """The values of parts of the user's that tuning leaves as they are: no grid says what to try."""
    own = [part for part in values.method.parts.values() if PARTS[part.kind].get(part.name) is not part]
    searched = _grids(values, tune=True)
    return [name for part in own for name in part.values if name not in searched and values.is_free(name)]


def _has_origin(values: Values) -> bool:
    """Whether it matters to a method where the features' origin lies, and another makes sense."""
    kept = keeps_features(values) or values.any("mean_feature")
    return (values.method.loss is not None and not kept) or values.any("origin")


def _grids(values: Values, tune: bool) -> dict[str, list[Any]]:
    """What is tried of each open value, its default among it."""
    specs = values.spec
    grids: dict[str, list[Any]] = {name: list(specs[name].grid) for name in values.open}
    if not tune:
        return grids
    for name, tried in values.method.grid.items():
        if values.is_free(name):
            read = [point if point is None else specs[name].read(name, point) for point in tried]
            grids[name] = list(dict.fromkeys(read + ([] if values[name] is None else [values[name]])))
    if values.is_free("lr") and "lr" not in values.method.grid:
        factors = DIRECTION_RATES if values.method.head.directions else RATES
        grids["lr"] = _times(values["lr"], factors)
    return grids


def _times(rate: float, factors: Sequence[float]) -> list[float]:
    """Multiples without what binary fractions leave behind: 0.3, not 0.30000000000000004."""
    return [float(f"{factor * rate:.12g}") for factor in factors]
