"""The order of class names that the data itself shows: of text, or of numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ltfix.errors import UsageError
from ltfix.images.labels import whole_number

ORDERS = ("text", "numeric")


def order_classes(names: Sequence[str], order: str, where: object) -> tuple[str, ...]:
    """Class names in one of ``ORDERS``.

    Raises:
        UsageError: a name is no whole number, and their order was asked for.
    """
    if order == "text":
        return tuple(names)
    for name in names:
        if whole_number(name) is None:
            raise UsageError(f"class {name!r} of {where} is no whole number", where="classes_order=numeric")
    return tuple(sorted(names, key=lambda name: (whole_number(name), name)))


def told_as_text(names: Sequence[str]) -> str | None:
    """A note where all names are whole numbers and do not stand in the order of those."""
    if any(whole_number(name) is None for name in names):
        return None
    if tuple(names) == order_classes(names, "numeric", ""):
        return None
    shown = ", ".join(names[:5])
    return (
        f"the {len(names)} class names are whole numbers in the order of text ({shown}, …); "
        "timm's reader orders them as numbers, and so does classes_order=numeric"
    )
