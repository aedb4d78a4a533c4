"""The values of one fit: defaults of the method, overridden by what was asked, each with its origin."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.stage2.methods.parts import LARGEST, LOSSES, TRAINING, Value, clash
from ltfix.stage2.methods.registry import Method

CHOSEN = "chosen on validation"


@dataclasses.dataclass(frozen=True, slots=True)
class Values:
    """A method's values by name, and where each came from.

    Attributes:
        method: the method, its parts replaced where an override asked for it.
        values: name -> value; None where it is still to be found.
        origin: name -> "default", "option", "chosen on validation", or what the caller says.
    """

    method: Method
    values: Mapping[str, Any]
    origin: Mapping[str, str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    @property
    def open(self) -> list[str]:
        """The values without a default, which are found on validation samples."""
        return [
            name for name, spec in self.method.values().items() if self.values[name] is None and spec.grid
        ]

    def choose(self, origin: str = CHOSEN, **found: Any) -> Values:
        """The same with some values filled in."""
        return Values(self.method, {**self.values, **found}, {**self.origin, **dict.fromkeys(found, origin)})

    def record(self) -> dict[str, dict[str, Any]]:
        """What the head file keeps: ``{name: {"value", "from"}}`` of the values that do something."""
        spec, values = self.method.values(), self.values
        return {
            name: {"value": value, "from": self.origin[name]}
            for name, value in values.items()
            if not (name in spec and _idle(spec[name], values))
        }


def with_loss(method: Method, loss: str | None) -> Method:
    """The method with another loss, keeping the defaults that still apply.

    Raises:
        UsageError: an unknown loss, or a method that trains nothing.
    """
    if loss is None or loss == method.loss:
        return method
    if loss not in LOSSES:
        raise UsageError(f"unknown loss {loss!r}", where="--loss", hint=nearest(loss, LOSSES))
    if method.loss is None:
        raise UsageError(
            f"method {method.name} trains nothing, so no loss applies", where="--loss", hint="leave it out"
        )
    old = LOSSES[method.loss]
    defaults = {name: value for name, value in method.defaults.items() if name not in old}
    grid = {name: tried for name, tried in method.grid.items() if name not in old}
    return dataclasses.replace(method, loss=loss, defaults=defaults, grid=grid, instead={})


def resolve(method: Method, given: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Values:
    """Lay given values over a method's defaults.

    Args:
        method: from :func:`ltfix.stage2.methods.registry.find_method`.
        given: name -> value; text is read as the default's kind (so ``--set tau=0.7`` may pass strings).
        origins: where each given value came from; "option" where it does not say.

    Raises:
        UsageError: a name the method does not take (the nearest are offered), a value of the wrong kind or
            out of range, parts that make no sense together.
    """
    spec = method.values(given)
    values = {name: value.default for name, value in spec.items()}
    origin = dict.fromkeys(spec, "default")
    for name, value in given.items():
        if name not in spec:
            hint = nearest(name, spec)
            raise UsageError(f"method {method.name} has no value {name!r}", where=f"--set {name}", hint=hint)
        values[name] = read_value(name, value, spec[name])
        origin[name] = (origins or {}).get(name, "option")
    for name in given:
        if _idle(spec[name], values) and values[name] != spec[name].default:
            condition, _, words = spec[name].only.partition("=")
            raise UsageError(
                f"{name} is not used with {condition}={values[condition]}",
                where=f"--set {name}",
                hint=f"it goes with {condition}={words.replace('|', ' or ')}",
            )
    why_not = clash(method.head, method.loss, values.get("sampler"), values.get("cosine"))
    if why_not is not None:
        parts = [p for p in (method.name, method.loss, values.get("sampler")) if p]
        raise UsageError(why_not, where=" + ".join(dict.fromkeys(parts)))
    return Values(method, values, origin)


def _idle(spec: Value, values: Mapping[str, Any]) -> bool:
    """Whether a value does nothing beside the others."""
    condition, _, words = spec.only.partition("=")
    return bool(condition) and values[condition] not in words.split("|")


def read_value(name: str, value: Any, spec: Value) -> Any:
    """One value, checked and in its own kind.

    Raises:
        UsageError: not a number, not one of the words, or out of range.
    """
    where = f"--{name.replace('_', '-')}" if name in (*TRAINING, "metric") else f"--set {name}"
    if spec.choices:
        if value not in spec.choices:
            raise UsageError(f"{name} is {value!r}", where=where, hint=f"it may be {spec.allowed}")
        return value
    whole = isinstance(spec.default, int)
    try:
        number = int(value) if whole else float(value)
        if number != float(value) or not math.isfinite(number):  # 1.5 epochs, NaN, infinity
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} must be {kind}, found {value!r}", where=where) from None
    if not spec.low <= number <= spec.high or (spec.positive and number <= 0):
        limit = f"at most {spec.high:g}" if number > LARGEST else spec.allowed
        raise UsageError(f"{name} = {number:g} is out of range", where=where, hint=f"it must be {limit}")
    return number
