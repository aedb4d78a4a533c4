"""The stage-2 methods by name: built in, or from an installed package's entry point ``ltfix.methods``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ltfix.errors import UsageError, cut, nearest
from ltfix.public import a_loss
from ltfix.stage2.methods.entries import METHODS
from ltfix.stage2.methods.method import Method
from ltfix.stage2.methods.own import from_file

__all__ = ["Method", "find_method", "methods"]

ENTRY_POINTS = "ltfix.methods"


def methods() -> list[Method]:
    """The built-in methods, in the order of the documentation.

    >>> import ltfix
    >>> [method.name for method in ltfix.methods()][:3]
    ['ce', 'samn', 'samn+los']
    """
    return list(METHODS)


def find_method(name: Method | str, where: str = "method") -> Method:
    """The method of that name, or the method itself, its entry checked whole.

    Args:
        name: as listed, or where a ``Method`` of one's own is: ``"my.py:METHOD"``.
        where: what asked for it, for the message.

    Raises:
        UsageError: there is none (the nearest names are offered), or its entry is wrong.
    """
    if isinstance(name, Method):
        return _demand_method(name, where)
    if not isinstance(name, str):
        hint = (
            a_loss(name, where) or "a name, with values where wanted, as 'los:delta=0.9', or an ltfix.Method"
        )
        raise UsageError(f"no method: {cut(name)}", where=where, hint=hint)
    known = {method.name: method for method in METHODS}
    if name in known:
        return known[name].tested()
    if name == "auto":
        auto = "`ltfix.fit(TRAIN, method='auto')` makes it"
        raise UsageError("auto is no method but a choice among them", where=where, hint=auto)
    if "=" in name:
        bare, *pairs = (word for part in split_row(name) for word in part.split())
        told = f"method={bare} {' '.join(pairs)}" if where == "method" else f"{bare}, as it is"
        raise UsageError(f"{name!r} has values, as a row of `ltfix compare` has", where=where, hint=told)
    if ":" in name or name.endswith(".py"):
        found = from_file(name, where)
        own = f"{'ce:' * (where == 'methods')}loss={name}"
        hint = f"a loss goes as {own}, or into a Method" if callable(found) else None
        return _demand_method(found, name, hint, [name])
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found = point.load()
        except (ImportError, AttributeError) as err:
            raise UsageError(f"the plug-in method {name} does not load: {err}", where=point.value) from err
        return _demand_method(found, f"the entry point {name}", place=[point.value])
    raise UsageError(f"unknown method {name!r}", where=where, hint=nearest(name, known))


def split_row(text: str) -> list[str]:
    """What a row of a comparison names, and its ``KEY=VALUE`` pairs; ``my.py:NAME`` stays whole."""
    return re.split(r"(?<!\.py):", text)


def installed_method(name: str) -> Method | None:
    """The method that made a head, if it is built in or a plug-in's; no file that it names is run."""
    try:
        return None if ":" in name else find_method(name)
    except UsageError:
        return None


def _demand_method(found: object, whose: str, hint: str | None = None, place: Sequence[str] = ()) -> Method:
    if not isinstance(found, Method):
        raise UsageError(f"{whose} is of type {type(found).__name__}, not a Method", hint=hint)
    if any(found.name == method.name and found.source != method.source for method in METHODS):
        told = f"{found.name!r} is the name of a built-in method"
        raise UsageError(told, where=whose, hint="give yours another: dataclasses.replace(METHOD, name=…)")
    try:
        return found.tested()
    except UsageError as err:
        told = ", ".join([*place, *([err.where] if err.where else [])])
        raise UsageError(err.what, where=told or None, hint=err.hint) from err
