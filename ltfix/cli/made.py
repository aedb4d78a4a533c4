"""The command that makes a head again, as far as its file tells."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix.cli.caches import USUAL_NAMES, open_named, usual
from ltfix.records import record_of

if TYPE_CHECKING:
    from ltfix.heads.head import Head


Caches = tuple[str | None, str | None]
"""The training and the validation cache, by what heads know of them."""


@dataclasses.dataclass
class AutoBy:
    """What ``auto`` tried, as a head it took tells."""

    tried: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    left_out: dict[str, Any] = dataclasses.field(default_factory=dict)
    averaged: bool = False
    average: bool = True


@dataclasses.dataclass
class ChosenBy:
    """How a head's values were chosen."""

    auto: AutoBy | None = None
    chosen: list[str] = dataclasses.field(default_factory=list)
    budget: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FittedBy:
    """What a head tells of how it was fitted, by the keys of its metadata."""

    values: dict[str, dict[str, Any]]
    parts: dict[str, str | None] = dataclasses.field(default_factory=dict)
    init: dict[str, Any] = dataclasses.field(default_factory=dict)
    coordinates: dict[str, Any] = dataclasses.field(default_factory=dict)
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)
    cache: str | None = None
    val: str | None = None
    selection: ChosenBy = dataclasses.field(default_factory=ChosenBy)
    calibration: dict[str, Any] | None = None
    seed: int = 0


def made(
    head: Head,
    places: Mapping[str, str] | None = None,
    pair: Caches = (None, None),
    *,
    chosen: bool = False,
) -> Iterator[str]:
    """The command of a head, all but where it went.

    Args:
        places: where caches are, by what heads know of them; None: those it was fitted on are not told.
        pair: the training and the validation cache that need not be named, known so.
        chosen: ``auto`` chooses again, of what it tuned, where it did; else what it chose is told.

    Raises:
        InputError: its metadata are another tool's. LookupError: its training cache has no place.
    """
    from ltfix.stage2.methods.registry import installed_method

    told = record_of(FittedBy, dict(head.meta), head.path)
    calibration = told.calibration or {}
    by = "one" if "all" in calibration.get("temperature", ()) else "shots"
    if "of" in calibration:
        yield from ("calibrate", f"heads/{calibration['of']}", "--val", f"features/{calibration.get('on')}")
        yield from ("--by", by)
        return
    yield from ("fit", *([] if places is None else _caches((told.cache, told.val), places, pair)))
    auto, given = told.selection.auto, dict(told.asked)
    if auto is not None and (chosen or not told.values or auto.averaged):  # what no other command makes
        yield from ("--method", "auto", *_among(auto), *([] if auto.average else ["--no-average"]))
        if budget := told.selection.budget:  # a time would leave out something else each time
            asked = f"{budget['passes']}p" if "passes" in budget else str(budget.get("asked"))
            yield from ("--budget", asked)
    else:
        method = installed_method(head.method)
        start = [] if method is None or not method.needs_no_start else ["init"]
        unused = ("preset", "save_heads", "seeds", "seed", *start)
        given = {name: given[name] for name in given if name not in unused}
        yield from _fit(head, told)  # with the values that a preset gave
    for name, value in given.items():
        yield from (f"--{name.replace('_', '-')}", str(value))
    if "file" in told.init:
        beside = Path(head.path or "").parent / Path(str(told.init["file"])).name
        yield from ("--init", str(beside if beside.exists() else beside.name))
    if told.calibration is not None:
        yield from ("--calibrate", by)
    yield from [] if "seed" in given else ["--seed", str(told.seed)]


def beside(words: list[str], place: Path, head: Head) -> list[str]:
    """The command with ``--out``: where it makes several seeds, each gets its number behind the name."""
    own = f"-s{head.meta.get('seed')}" if "--seeds" in words else ""
    before, _, after = place.name.rpartition(own) if own else ("", "", place.name)
    return [*words, "--out", str(place.with_name(before + after))]


def usual_pair(project: Path) -> Caches:
    """What heads know of the training and the validation cache of the default layout."""
    from ltfix.errors import LtfixError

    def known(split: str) -> str | None:
        place = usual(project, split)
        with contextlib.suppress(LtfixError):  # a damaged one that nobody named
            return None if place is None else open_named(place, USUAL_NAMES).identity
        return None

    return known("train"), known("val")


def _caches(used: Caches, places: Mapping[str, str], pair: Caches) -> Iterator[str]:
    """What names the caches that were used, where they are not the usual pair."""
    if used == pair or used[0] is None:
        return
    if used[0] != pair[0] or used[1] is None:  # which keeps the usual validation cache away
        yield places[used[0]]
    yield from [] if used[1] is None else ["--val", places.get(used[1], "DIR/val")]


def _among(auto: AutoBy) -> Iterator[str]:
    """The option that names what ``auto`` chose among, where that was not all methods."""
    from ltfix.stage2.methods.registry import methods

    every = {method.name for method in methods()}
    asked = every & {*(str(row.get("method")) for row in auto.tried), *auto.left_out}
    if asked and asked != every:
        yield from ("--methods", ",".join(sorted(asked)))


def _fit(head: Head, told: FittedBy) -> Iterator[str]:
    from ltfix.cli.commands import load
    from ltfix.cli.signature import options
    from ltfix.heads.head import PROBE
    from ltfix.stage2.methods.registry import installed_method

    flags = {parameter.name: parameter.flag for parameter in options(load("fit")).values()}
    method, loss = installed_method(head.method), told.parts.get("loss")
    yield from ("--method", head.method)
    if method is not None and method.loss is not None and loss not in (None, method.loss.identity):
        yield from ("--loss", str(loss))
    for name, found in told.values.items():
        if found.get("from", "default") != "default":
            text = str(found.get("value"))
            text = text.lower() if isinstance(found.get("value"), bool) else text
            yield from (flags[name], text) if name in flags else ("--set", f"{name}={text}")
    chosen = {name: str(told.coordinates[name]) for name in told.selection.chosen if name in told.coordinates}
    by_probe = told.init.get("from") == PROBE and "init" not in told.asked
    if by_probe and chosen.get("normalize") == "standardize":
        chosen["init"] = PROBE  # that of the features as the search had them
    for name, value in chosen.items():
        yield from (flags[name], value)
