"""The record of a stage-2 method: which parts it is made of, and what it changes in their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from ltfix.errors import UsageError, cut, nearest
from ltfix.stage2.methods.catalog import PARTS, POSTHOC, SAMPLERS, STARTS, TRAINING
from ltfix.stage2.methods.own import own_loss
from ltfix.stage2.methods.parts import Part, Setting, Value, clash, holds, points_of

NOTHING: Setting = {}
_Held = TypeVar("_Held", Part, "Part | None")


def find_part(kind: str, part: Part | str | Callable[..., Any], whose: str = "") -> Part:
    """A part by its name, or the part itself; a function of logits and labels is a loss.

    Args:
        kind: a key of ``PARTS``. whose: who names it, for the message.

    Raises:
        UsageError: there is no such part of this kind.
    """
    if isinstance(part, Part) and part.kind == kind:
        return part
    if kind == "loss" and callable(part):
        return own_loss(part)
    name = part if isinstance(part, str) else getattr(part, "name", str(part))
    if not isinstance(part, Part) and name in PARTS[kind]:
        return PARTS[kind][name]
    word = "post-hoc step" if kind == "posthoc" else kind
    what = f"{whose} names an unknown {word} {name!r}" if whose else f"unknown {word} {name!r}"
    own = f"a {word} is a name or a Part, no {type(part).__name__} (docs/design.md)"
    raise UsageError(what, hint=nearest(name, PARTS[kind]) if isinstance(part, str | Part) else own)


def find_start(given: Any) -> Part:
    """A start by its name, or the one that a head, or the file of one, is."""
    text = isinstance(given, str | Path)
    if text and given in STARTS:
        return STARTS[given]
    own = Path(given) if text else given
    return Part("head", "start", "ltfix.stage2.fitting.starts:given_head", own=own, trained=True)


class _PartField(Generic[_Held]):
    """A field of :class:`Method` that takes a part or the name of one, and holds the part."""

    def __init__(self, kind: str, default: _Held | str) -> None:
        self.kind = kind
        self.default: Any = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, method: Any, owner: type | None = None) -> _Held:
        found: Any = self.default if method is None else vars(method)[self.name]
        return cast(_Held, found)

    def __set__(self, method: Any, part: _Held | str | Callable[..., Any]) -> None:
        whose = f"method {method.name}"
        vars(method)[self.name] = None if part is None else find_part(self.kind, part, whose)


@dataclasses.dataclass(frozen=True)
class Method:
    """A stage-2 method: head × loss × sampler × constraint × post-hoc step, with its published defaults.

    >>> import ltfix
    >>> method = ltfix.Method("half-los", "LOS, by half", "us", loss="los", defaults={"delta": 0.5})
    >>> method.parts["loss"], method.values()["delta"].default
    (<loss los>, 0.5)

    Parts are given by name, or as :class:`~ltfix.stage2.methods.parts.Part` records of one's own; the
    loss may be a function of logits [n, K] and labels [n] that gives their mean loss.

    Attributes:
        name, summary, source: what it is called, does, and where it was published.
        head: what trains. loss: what it is trained on; None for a method without training.
        posthoc: what is done to the trained (or the given) linear head at the end, or None.
        constraint: what is enforced while it trains ("maxnorm"), or None.
        init: what training starts from: "stage1" (else the probe), "probe", "random" or "class-mean".
        defaults: what differs from the parts' own defaults and from the common recipe.
        instead: ``{"form=bce": {...}}``: defaults that hold where a value is chosen so.
        grid: the numbers or words that ``tune`` tries, per value.
        sampler: how samples are drawn where nobody asks for another sampler.

    Raises:
        UsageError: it names a part that there is not.
    """

    name: str
    summary: str
    source: str
    head: _PartField[Part] = _PartField("head", "linear")
    loss: _PartField[Part | None] = _PartField("loss", "ce")
    posthoc: _PartField[Part | None] = _PartField("posthoc", None)
    constraint: _PartField[Part | None] = _PartField("constraint", None)
    init: _PartField[Part] = _PartField("start", "stage1")
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    instead: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    sampler: _PartField[Part] = _PartField("sampler", "instance")

    @property
    def parts(self) -> dict[str, Part]:
        """Its parts by what they are to it: head, loss, posthoc, constraint, init, sampler."""
        named = {
            "head": self.head,
            "loss": self.loss,
            "posthoc": self.posthoc,
            "constraint": self.constraint,
            "init": self.init,
            "sampler": None
            if self.loss is None
            else SAMPLERS.get(self.defaults.get("sampler", ""), self.sampler),
        }
        return {name: part for name, part in named.items() if part is not None}

    @property
    def keeps_start(self) -> bool:
        """Whether the head that comes of it still has the rows it starts from, stretched at most."""
        untrained = self.loss is None and (self.posthoc is None or self.posthoc.keeps_rows)
        return self.head.keeps_rows or untrained

    @property
    def is_seeded(self) -> bool:
        """Whether a seed decides anything: of what is not trained, only a start at random does."""
        return self.loss is not None or self.init.noise

    @property
    def needs_no_start(self) -> bool:
        """Whether a start plays no part: it trains nothing, and its step makes the rows itself."""
        return self.loss is None and self.posthoc is not None and self.posthoc.own_rows

    @property
    def linear_with(self) -> str | None:
        """What makes a linear layer come of it: "" nothing, a choice as ``transform=un``, or None."""
        chosen = {name: value.default for name, value in self.values().items()}
        if not any(part.transforms for part in self.under(chosen).values()):
            return ""
        conditions = [(c, each) for part in self.parts.values() for c, each in part.when.items()]
        return next((c for c, traits in conditions if traits.get("transforms") is False), None)

    def values(self, given: Setting = NOTHING) -> dict[str, Value]:
        """Every value the method takes, with the default it has here, as ``given`` choices move it."""
        found = self._values_before_step()
        named = self.step_names(given)
        found |= {named[name]: value for name, value in self._step_values(given).items()}
        defaults = self._chosen_parts | {**self.defaults}
        for condition, other in self.instead.items():
            if holds(condition, given):
                defaults |= other
        for name in found.keys() & defaults.keys():
            chosen = defaults[name]
            read = None if chosen is None else found[name].read(name, chosen, f"method {self.name}, defaults")
            found[name] = dataclasses.replace(found[name], default=read)
        return found

    def step_names(self, given: Setting) -> dict[str, str]:
        """The values of the post-hoc step: what it calls them, and what they are called here.

        They have ``posthoc_`` before their names where another part has such a value.
        """
        before = self._values_before_step()
        return {name: f"posthoc_{name}" if name in before else name for name in self._step_values(given)}

    @property
    def _chosen_parts(self) -> dict[str, str]:
        """The parts of a training that a value names, where none is given."""
        return {
            "sampler": self.sampler.name,
            "posthoc": "none" if self.posthoc is None else self.posthoc.name,
        }

    def _values_before_step(self) -> dict[str, Value]:
        found = {**TRAINING} if self.loss is not None else {}
        for name in found.keys() & self._chosen_parts.keys():
            choices = dict.fromkeys([*found[name].choices, self._chosen_parts[name]])
            found[name] = dataclasses.replace(found[name], choices=tuple(choices))
        for role, part in self.parts.items():
            found |= {} if role == "posthoc" else part.values
        return found

    def _step_values(self, given: Setting) -> Mapping[str, Value]:
        step = self._step(given)
        return {} if step is None else step.values

    def under(self, values: Setting) -> dict[str, Part]:
        """:attr:`parts` with the traits that these values give them; sampler and step are what these name."""
        found = {role: part.under(values) for role, part in self.parts.items() if role != "posthoc"}
        step = self._step(values)
        if step is not None:
            found["posthoc"] = step.under(values)
        if "sampler" in found:
            found["sampler"] = SAMPLERS.get(values["sampler"], self.sampler)
        return found

    def _step(self, values: Setting) -> Part | None:
        """The post-hoc step that values name, else its own."""
        named = values.get("posthoc", self.defaults.get("posthoc"))
        own = self.loss is None or named is None or (self.posthoc is not None and named == self.posthoc.name)
        return self.posthoc if own else POSTHOC.get(str(named))

    def tested(self) -> Method:
        """The method, once it is seen that its parts go together and take its values (else UsageError)."""
        for field in ("defaults", "instead", "grid"):
            if not isinstance(given := getattr(self, field), Mapping):
                raise UsageError(f"method {self.name}: {field} is {cut(given)}", hint="a dict, value by name")
        why = self._apart()
        if why is not None:
            raise UsageError(f"method {self.name}: {why}")
        spec = self.values()
        for condition in self.instead:
            name, _, word = condition.partition("=")
            if name not in spec or word not in spec[name].choices:
                raise UsageError(f"method {self.name}: no value is ever {condition}")
        where = f"the grid of method {self.name}"
        tried = [(name, value) for name, at in self.grid.items() for value in points_of(name, at, where)]
        instead = [pair for defaults in self.instead.values() for pair in defaults.items()]
        for field, given in (("defaults", self.defaults.items()), ("instead", instead), ("grid", tried)):
            for name, value in given:
                if name not in spec:
                    what = f"method {self.name} has no value {name!r}"
                    raise UsageError(what, where=field, hint=nearest(name, spec))
                if value is not None:
                    spec[name].read(name, value, f"method {self.name}, {field}")
        return self

    def _apart(self) -> str | None:
        """Why its parts do not go together; None: they do."""
        head, init = self.head, self.init
        if self.constraint is not None and not head.free_rows:
            return f"{self.constraint.name} moves rows, which the head {head.name} has not free"
        if self.loss is None and (self.constraint is not None or not head.free_rows):
            return "it trains nothing, so its head or constraint would do nothing"
        if init.noise and self.keeps_start:
            return f"it keeps the rows it starts from, and those of {init.name} are noise"
        if head.simplex and not init.simplex:
            return f"{head.name} keeps the directions of stage 1, so it does not start from {init.name}"
        return clash(self.under({name: value.default for name, value in self.values().items()}))

    def to_dict(self) -> dict[str, Any]:
        """The row of ``ltfix methods`` as JSON."""
        values = self.values()
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "defaults": {name: value.default for name, value in values.items()},
            "grid": {n: list(v.grid) for n, v in values.items() if v.default is None and v.grid}
            | {name: list(tried) for name, tried in self.grid.items()},
            "parts": {role: {"name": part.name, "traits": part.traits} for role, part in self.parts.items()},
        }
