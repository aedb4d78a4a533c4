"""The rows that a comparison is asked for: methods by their names, each perhaps with values."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.errors import LtfixError, Unused, UsageError
from ltfix.evaluation.shots import SHOTS
from ltfix.public import UnknownName, offer
from ltfix.stage2.methods.naming import TUNED, head_name
from ltfix.stage2.methods.options import refuse_options
from ltfix.stage2.methods.registry import Method, find_method, methods, split_row
from ltfix.stage2.methods.values import Values, resolve, with_loss
from ltfix.stage2.tuning.candidates import searches

SCORES = ("all", *SHOTS, "worst_class", "class_mean")
"""Of a comparison's rows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row of a comparison: a method with its values, the name that its heads get, whether it is tuned, and
    whether it is plain, without values or a loss of its own."""

    name: str
    values: Values
    tuned: bool = False
    plain: bool = True

    @property
    def names(self) -> set[str]:
        """What the row may be called, as long as it is open whether a budget has room to tune it."""
        return {self.name, self.untuned().name}

    def untuned(self) -> Entry:
        """The same at the values that it has."""
        return Entry(self.name.removesuffix(f"-{TUNED}"), self.values, plain=self.plain)


def entries(asked: Sequence[Method | str] | None, shared: Mapping[str, Any], *, tune: bool) -> list[Entry]:
    """The rows of a comparison.

    Args:
        asked: ``NAME`` or ``NAME:KEY=VALUE:…`` each, so that a method may appear with several values, where
            NAME may be ``my.py:METHOD`` and ``loss=`` replaces its loss; or a ``Method``. None or
            ``["all"]``: every method of the table.
        shared: values for every method that takes them.

    Raises:
        UsageError: an unknown method or value, the same row twice, a shared value that no method takes.
    """
    found: dict[str, Entry] = {}
    unused, before = set(shared), ""
    for text in methods() if asked is None or list(asked) == ["all"] else asked:
        row = split_row(text) if isinstance(text, str) else []
        name = row[0] if row else text
        method, given = _method(name, row, before), dict[str, str]()
        before = text if isinstance(text, str) and row[1:] else ""
        for pair in row[1:]:
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"{pair!r} is no KEY=VALUE", where=str(text), hint="write NAME:KEY=VALUE")
            given[key.replace("-", "_")] = value
        loss = given.pop("loss", None)
        method = with_loss(method, loss)
        refuse_options(
            given, "methods", "`ltfix.evaluate([HEAD, HEAD], cache=TEST)` has their heads in one table"
        )
        usable = {key: value for key, value in shared.items() if key in method.values(shared)}
        unused -= set(usable)
        try:
            values, tuned = resolve(method, {**usable, **given}), tune and searches(method)
        except UsageError as err:
            if err.where not in given:
                raise
            raise UsageError(err.what, where=str(text), hint=err.hint) from err
        entry = Entry(
            head_name(values, loss=loss and str(method.loss), tuned=tuned), values, tuned, len(row) < 2
        )
        if entry.name in found:
            raise UsageError(f"{entry.name} is asked for twice", where="methods")
        found[entry.name] = entry
    if unused:
        known = {name for entry in found.values() for name in entry.values.values}
        own = "a row has its own: ce:loss=NAME, in Python `Method(…, loss=NAME)`"
        what = f"no method here takes {', '.join(sorted(unused))}"
        if "loss" in unused:
            raise UsageError(what, where="set", hint=own)
        if unused <= {name for method in methods() for name in method.values()}:
            raise Unused(what, where="set", hint=offer(min(unused), known), values=unused)
        raise UnknownName(what, where="set", name=min(unused), known=known)
    if not found:
        raise UsageError("no method is named", where="methods")
    return list(found.values())


def _method(name: Method | str, row: Sequence[str], before: str) -> Method:
    """The method of a row (UsageError: there is none, and how it may be meant, beside the row before)."""
    if isinstance(name, str) and len(words := name.split()) > 1 and "=" in name:
        hint = f"write it as {':'.join([*words, *row[1:]])}"
        raise UsageError(f"{name!r} is no method", where="methods", hint=hint)
    try:
        return find_method(name, "methods")
    except UsageError as err:
        meant = f"{before.rpartition('=')[0]}={name}"
        if not before or len(row) != 1 or not _goes_on(row[0], meant):
            raise
        hint = f"another value? Write {before},{meant}"
        raise UsageError(err.what, where="methods", hint=hint) from err


def _goes_on(word: str, row: str) -> bool:
    """Whether a word may be meant as another value: it is a number, or there is the row with it."""
    with contextlib.suppress(ValueError):
        return math.isfinite(float(word))
    with contextlib.suppress(LtfixError):
        return bool(entries([row], {}, tune=False))
    return False
