"""The values of one fit: defaults of the method, overridden by what was asked, each with its origin."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.stage2 import table
from ltfix.stage2.table import Method, Value

POSITIVE = ("lr", "batch_size", "epochs")


@dataclasses.dataclass(slots=True)
class Values:
    """A method's values by name, and where each came from.

    Attributes:
        method: the method, its parts replaced where an override asked for it.
        values: name -> value.
        origin: name -> "default", "option" or "chosen on validation" (and what the caller passes in).
    """

    method: Method
    values: dict[str, Any]
    origin: dict[str, str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def choose(self, name: str, value: Any, origin: str) -> None:
        """Fill in a value that was open."""
        self.values[name], self.origin[name] = value, origin

    def record(self) -> dict[str, dict[str, Any]]:
        """What the head file keeps: ``{name: {"value", "from"}}``."""
        return {name: {"value": value, "from": self.origin[name]} for name, value in self.values.items()}


def resolve(method: Method, given: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Values:
    """Lay given values over a method's defaults.

    Args:
        method: from :func:`ltfix.stage2.table.find_method`.
        given: name -> value; text is read as the default's kind (so ``--set tau=0.7`` may pass strings).
        origins: where each given value came from; "option" where it does not say.

    Raises:
        UsageError: a name the method does not take (the nearest are offered), a value of the wrong kind
            or out of range.
    """
    spec = method.values()
    values, origin = {}, {}
    for name, value in spec.items():
        values[name], origin[name] = value.default, "default"
    for name, value in given.items():
        if name not in spec:
            hint = nearest(name, spec)
            raise UsageError(f"method {method.name} has no value {name!r}", where=f"--set {name}", hint=hint)
        values[name] = _read(name, value, spec[name])
        origin[name] = (origins or {}).get(name, "option")
    return Values(method, values, origin)


def _read(name: str, value: Any, spec: Value) -> Any:
    choices = spec.choices or {"schedule": table.SCHEDULES, "sampler": table.SAMPLERS}.get(name, ())
    where = f"--set {name}" if name not in table.TRAINING else f"--{name.replace('_', '-')}"
    if choices:
        if value not in choices:
            raise UsageError(f"{name} is {value!r}", where=where, hint=f"it may be {' or '.join(choices)}")
        return value
    whole = isinstance(spec.default, int) and not isinstance(spec.default, bool)
    try:
        number = int(value) if whole else float(value)
    except (TypeError, ValueError):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} must be {kind}, found {value!r}", where=where) from None
    low = spec.low if spec.low is not None else 0
    outside = not low <= number <= (spec.high if spec.high is not None else float("inf"))
    if outside or (name in POSITIVE and number <= 0):
        limit = (
            f"{low:g} to {spec.high:g}"
            if spec.high is not None
            else "positive"
            if name in POSITIVE
            else "≥ 0"
        )
        raise UsageError(f"{name} = {number:g} is out of range", where=where, hint=f"it must be {limit}")
    return number
