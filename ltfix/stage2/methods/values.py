"""The values of one fit: defaults of the method, overridden by what was asked, each with its origin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ltfix.errors import Unused, UsageError, nearest
from ltfix.stage2.methods.catalog import LOSSES, TRAINING
from ltfix.stage2.methods.method import Method, find_part
from ltfix.stage2.methods.own import from_file
from ltfix.stage2.methods.parts import LARGE_K, Part, Value, clash, lay_over

CHOSEN = "chosen on validation"
LossLike = str | Part | Callable[..., Any]


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
    def spec(self) -> dict[str, Value]:
        """The records of the values."""
        return self.method.values(self.values)

    @property
    def open(self) -> list[str]:
        """The values without a default, which are found on validation samples."""
        return [name for name, spec in self.spec.items() if self.values[name] is None and spec.grid]

    @property
    def step_values(self) -> dict[str, Any]:
        """The values of the post-hoc step, by the names that it has for them."""
        return {name: self.values[ours] for name, ours in self.method.step_names(self.values).items()}

    @property
    def before_step(self) -> dict[str, Any]:
        """What decides the training, before a post-hoc step."""
        after = {"posthoc", *self.method.step_names(self.values).values()}
        return {name: value for name, value in self.values.items() if name not in after}

    @property
    def parts(self) -> dict[str, Part]:
        """The method's parts by role, with the traits that these values give them."""
        return self.method.under(self.values)

    def any(self, trait: str) -> bool:
        """Whether a part has this trait, a boolean field of :class:`~ltfix.stage2.methods.parts.Part`."""
        return any(getattr(part, trait) for part in self.parts.values())

    def is_free(self, name: str) -> bool:
        """Whether a value is the method's own or a preset's: nobody gave it, and tuning may search it."""
        return self.origin.get(name, "").startswith(("default", "preset "))

    def for_classes(self, n_classes: int) -> Values:
        """The same with the defaults filled in that depend on the number of classes."""
        spec = self.spec
        found = {
            name: by[n_classes >= LARGE_K]
            for name, value in self.values.items()
            if value is None and (by := spec[name].by_classes) is not None
        }
        return self.choose("default", **found)

    def choose(self, origin: str = CHOSEN, **found: Any) -> Values:
        """The same with some values filled in."""
        return Values(self.method, {**self.values, **found}, {**self.origin, **dict.fromkeys(found, origin)})

    def record(self) -> dict[str, dict[str, Any]]:
        """What the head file keeps: ``{name: {"value", "from"}}`` of the values that do something."""
        spec, values = self.spec, self.values
        return {
            name: {"value": value, "from": self.origin[name]}
            for name, value in values.items()
            if not (name in spec and spec[name].idle(values))
        }


def find_loss(loss: LossLike) -> Part:
    """A loss by its name, the part, a function of logits and labels, or where one is: ``"my.py:loss"``.

    Raises:
        UsageError: an unknown loss. InputError: no such file.
    """
    if isinstance(loss, str) and (":" in loss or loss.endswith(".py")):
        named, loss = loss, from_file(loss, "loss")
        if isinstance(loss, Method):
            hint = f"it is named where a method is: method={named}, in a list of several {named}"
            raise UsageError(f"{named} is a Method, not a loss", where="loss", hint=hint)
        if not (isinstance(loss, str | Part) or callable(loss)):
            hint = "a loss is a function of logits and labels"
            raise UsageError(f"{named} is of type {type(loss).__name__}", where="loss", hint=hint)
    if isinstance(loss, str) and loss not in LOSSES:
        raise UsageError(f"unknown loss {loss!r}", where="loss", hint=nearest(loss, LOSSES))
    return find_part("loss", loss)


def with_loss(method: Method, loss: LossLike | None) -> Method:
    """The method with another loss, keeping the defaults that still apply.

    Raises:
        UsageError: an unknown loss, or a method that trains nothing.
    """
    if loss is None or loss is method.loss or (method.loss is not None and loss == method.loss.name):
        return method
    loss = find_loss(loss)
    if method.loss is None:
        raise Unused(f"method {method.name} trains nothing, so no loss applies", where="loss")
    old = method.loss.values
    defaults = {name: value for name, value in method.defaults.items() if name not in old}
    grid = {name: tried for name, tried in method.grid.items() if name not in old}
    return dataclasses.replace(method, loss=loss, defaults=defaults, grid=grid, instead={})


def resolve(method: Method, given: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Values:
    """Lay given values over a method's defaults.

    Args:
        method: from :func:`ltfix.stage2.methods.registry.find_method`.
        given: name -> value; text is read as the default's kind (so that strings may be passed).
        origins: where each given value came from; "option" where it does not say.

    Raises:
        UsageError: a name the method does not take (the nearest are offered), a value of the wrong kind or
            out of range, parts that make no sense together.
    """
    _demand_own_names(method)
    spec = method.values(given)
    values = lay_over(spec, given, f"method {method.name}")
    origin = {n: (origins or {}).get(n, "option") if n in given else "default" for n in spec}
    found = Values(method, values, origin)
    why_not = clash(found.parts)
    if why_not is not None:
        names = [
            method.name,
            *(found.parts[role].name for role in ("loss", "sampler") if role in found.parts),
        ]
        raise UsageError(why_not, where=" + ".join(dict.fromkeys(names)))
    return found


def _demand_own_names(method: Method) -> None:
    """Refuse a loss of the user's whose value is called as another one of the method."""
    loss = method.loss
    if loss is None or not loss.by_autograd:
        return
    others = [part.values for role, part in method.parts.items() if role not in ("loss", "posthoc")]
    for name in loss.values:
        if name in TRAINING or any(name in values for values in others):
            what = f"the loss {loss} calls a value {name!r}, as method {method.name} does another"
            raise UsageError(what, hint="rename it")
