"""The stage-2 methods by name: built in, or from an installed package's entry point ``ltfix.methods``."""

from __future__ import annotations

from ltfix.errors import UsageError, nearest
from ltfix.stage2.methods.entries import METHODS
from ltfix.stage2.methods.method import Method

__all__ = ["Method", "find_method", "methods"]

ENTRY_POINTS = "ltfix.methods"


def methods() -> list[Method]:
    """The built-in methods, in the order of the documentation.

    >>> import ltfix
    >>> [method.name for method in ltfix.methods()][:3]
    ['ce', 'samn', 'samn+los']
    """
    return list(METHODS)


def find_method(name: str, where: str = "method") -> Method:
    """The method of that name, its entry checked whole.

    Args:
        where: what asked for it, for the message.

    Raises:
        UsageError: there is none (the nearest names are offered), or its entry is wrong.
    """
    known = {method.name: method for method in METHODS}
    if name in known:
        return known[name].tested()
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found = point.load()
        except (ImportError, AttributeError) as err:
            raise UsageError(f"the plug-in method {name} does not load: {err}", where=point.value) from err
        if not isinstance(found, Method):
            raise UsageError(f"the entry point {name} is of type {type(found).__name__}, not a Method")
        return found.tested()
    raise UsageError(f"unknown method {name!r}", where=where, hint=nearest(name, known))
