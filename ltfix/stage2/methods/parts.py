"""What methods are made of: the record of a value, and the record of a part that takes such values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from ltfix.errors import Unused, UsageError, cut
from ltfix.public import UnknownName
from ltfix.stage2.methods.identity import digest

Setting = Mapping[str, Any]
"""The values of one setting, by name."""

LARGEST = 1e38  # what float32 still holds
LARGE_K = 1000  # so many classes are many
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One value that a part takes: its default, what it means, and the words or the range it may have.

    Attributes:
        default: what it is where nobody gives it. None is found when fitting: ``by_classes`` says it, else
            the numbers of ``grid`` are tried on validation samples.
        choices: the words it may be; a value without them is a number from ``low`` to ``high``, or, as its
            default is, true or false or any text.
        positive: zero is not allowed either.
        by_classes: the default below 1000 classes, and from there.
        only: the choice it goes with, ``form=focal``; beside another it would do nothing.
        side_by_side: runs that differ in it may train together, as settings of one batch.
    """

    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = LARGEST
    positive: bool = False
    grid: tuple[float, ...] = ()
    by_classes: tuple[float, float] | None = None
    only: str = ""
    side_by_side: bool = False

    @property
    def allowed(self) -> str:
        """What it may be, in words: ``freq, norm``, ``0 to 1``, ``above 0``."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low == -LARGEST:
            return "any number"
        if self.high < LARGEST:
            return f"{self.low:g} to {self.high:g}"
        return "above 0" if self.positive else f"{self.low:g} or more"

    def read(self, name: str, value: Any, where: str | None = None) -> Any:
        """A given value, checked and of the default's kind; text is read as that.

        Args:
            where: what the message names; the value's name where it is None.

        Raises:
            UsageError: not a number, not one of the words, or out of range.
        """
        where = where or name
        if self.choices:
            if isinstance(value, bool) and "true" in self.choices:
                return str(value).lower()
            if value not in self.choices:
                raise UsageError(f"{name} is {cut(value)}", where=where, hint=f"it may be {self.allowed}")
            return value
        if isinstance(self.default, bool):
            if str(value).lower() not in _TRUE + _FALSE:
                raise UsageError(f"{name} must be true or false, found {value!r}", where=where)
            return str(value).lower() in _TRUE
        if isinstance(self.default, str):
            return str(value)
        whole = isinstance(self.default, int)
        try:
            number = int(value) if whole else float(value)
            if number != float(value) or not math.isfinite(number):  # 1.5 epochs, NaN, infinity
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            kind = "a whole number" if whole else "a number"
            raise UsageError(f"{name} must be {kind}, found {cut(value)}", where=where) from None
        if not self.low <= number <= self.high or (self.positive and number <= 0):
            limit = f"at most {self.high:g}" if number > LARGEST else self.allowed
            raise UsageError(f"{name} = {number:g} is out of range", where=where, hint=f"it must be {limit}")
        return number

    def idle(self, values: Setting) -> bool:
        """Whether it does nothing beside the others."""
        return bool(self.only) and not holds(self.only, values)


def points_of(name: str, given: Any, where: str) -> list[Any]:
    """The numbers or words that a value is to be tried at (UsageError: it is no list of them)."""
    if isinstance(given, str) or not hasattr(given, "__len__") or not len(given):
        raise UsageError(f"{name} is {cut(given)}", where=where, hint="give a list, as [0.5, 0.9]")
    return list(given)


def lay_over(spec: Mapping[str, Value], given: Setting, whose: str) -> dict[str, Any]:
    """The defaults, with what is given in their place; text is read as the default's kind.

    Raises:
        UsageError: a value that there is none of (the nearest are offered), of the wrong kind, out of range,
            or that would do nothing. ``whose`` they are is said.
    """
    values = {name: value.default for name, value in spec.items()}
    for name, value in given.items():
        if name not in spec:
            raise UnknownName(f"{whose} has no value {name!r}", where=name, name=name, known=spec)
        values[name] = spec[name].read(name, value)
    for name in given:
        if spec[name].idle(values) and values[name] != spec[name].default:
            condition, _, words = spec[name].only.partition("=")
            what = f"{name} is not used with {condition}={values[condition]}"
            hint = f"it goes with {condition}={words.replace('|', ' or ')}"
            raise Unused(what, where=name, hint=hint)
    return values


RECORDED = frozenset(
    {"feature_scale", "init", "normalize", "score", "steady", "early", "early_score", "cuts"}
)
"""What a head's record says of a setting that was tried, beside its values."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Part:
    """A head, loss, sampler, constraint, start or post-hoc step: how it is built, what it takes, what it is.

    Code elsewhere asks for traits, the boolean fields, never for names, so that a part of another package
    is treated as a built-in one is.

    Attributes:
        name: what the user calls it. kind: a key of ``catalog.PARTS``.
        build: the function behind it, or where it is, ``"module:function"``, imported when it is first
            needed. What it is called with is said where the built-in ones of its kind stand.
        values: the values it takes, by name.
        when: traits that hold where a value is chosen so: ``{"cosine=plain": {"cosines": True}}``.
        transforms: the head that comes of it transforms x first, so it is no plain linear layer.
        free_rows: (head) its rows train as they stand, in ``weight``, so a constraint may move them.
        keeps_rows: the rows it starts from stay, or are only stretched.
        own_rows: (post-hoc step) it makes the rows itself; the head that it gets plays no part, and is empty.
        directions: only directions of rows count. It takes and needs higher rates, and the scale of the
            features does nothing that the rate does not do.
        origin: it matters to the step where the origin of the features lies.
        raw_features: features must come as they are, neither standardised nor of unit norm.
        mean_feature: it uses the mean feature, which is zero where features are standardised.
        simplex: (head) its rows are the simplex that the backbone was trained with; (start) it may give such.
        reads_norms: it takes the norms of the rows it starts from for a measure of the classes.
        trained: (start) its rows were trained on these classes, so that their norms say something.
        noise: (start) its rows are drawn at random.
        cosines: (head) its logits are plain cosines, unscaled; (loss) it takes such, and scales them.
        corrects_prior: (loss, post-hoc step) it makes up for the classes' unequal frequency.
        balanced: (sampler) so does it, by drawing all classes alike.
        by_autograd: (loss) it is the user's function, differentiated by autograd, which is slower.
        own: that function, or a head or its file, which ``build`` gets before all else.
        made: digest of the user's function when the part was made: its first call may change a global.
        every_sample: (sampler) an epoch is every sample once, so it may be read as it lies on the disk.
    """

    name: str
    kind: str
    build: str | Callable[..., Any]
    values: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    when: Mapping[str, Mapping[str, bool]] = dataclasses.field(default_factory=dict)
    transforms: bool = False
    free_rows: bool = False
    keeps_rows: bool = False
    own_rows: bool = False
    directions: bool = False
    origin: bool = False
    raw_features: bool = False
    mean_feature: bool = False
    simplex: bool = False
    reads_norms: bool = False
    trained: bool = False
    noise: bool = False
    cosines: bool = False
    corrects_prior: bool = False
    balanced: bool = False
    every_sample: bool = False
    by_autograd: bool = False
    own: Any = None
    made: str = ""

    def __post_init__(self) -> None:
        for name in self.values:
            if name in RECORDED:
                what = f"the {self.kind} {self.name} has a value that is called {name}"
                raise UsageError(what, where=self.kind, hint="another name: heads record other things so")
        if not self.made and callable(own := self._own):
            object.__setattr__(self, "made", digest(own))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    def __str__(self) -> str:
        return self.name

    @property
    def function(self) -> Callable[..., Any]:
        """What ``build`` names, imported now if it was not before."""
        found = _imported(self.build) if isinstance(self.build, str) else self.build
        return found if self.own is None else functools.partial(found, self.own)

    @property
    def identity(self) -> str:
        """Its name; of a function of the user's with a digest of its file, or code, and of its state."""
        return self.name if self._own is None else f"{self.name}@{self.made or digest(self._own)}"

    @property
    def is_own(self) -> bool:
        """Whether its code is the user's."""
        return bool(self.made)

    @property
    def _own(self) -> Any:
        return self.own if isinstance(self.build, str) else self.build

    @property
    def traits(self) -> list[str]:
        """Names of the traits it has, whatever the values."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is True]

    def under(self, values: Setting) -> Part:
        """The part with the traits that it has at these values."""
        found = self
        for condition, traits in self.when.items():
            if holds(condition, values):
                changed: Mapping[str, Any] = traits
                found = dataclasses.replace(found, **changed)
        return found


@functools.cache
def _imported(build: str) -> Callable[..., Any]:
    module, _, name = build.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def holds(condition: str, values: Setting) -> bool:
    """Whether values are as a condition has it: ``form=focal``, or ``cosine=learnable|fixed``."""
    name, _, words = condition.partition("=")
    return str(values.get(name)) in words.split("|")


def clash(parts: Mapping[str, Part]) -> str | None:
    """Why these parts, with the traits that their values give them, make no sense together; None: they do.

    Args:
        parts: by "head", and, where there are such, "loss", "sampler" and "posthoc".
    """
    head, loss, sampler, step = parts["head"], *(parts.get(role) for role in ("loss", "sampler", "posthoc"))
    if step is not None and head.transforms and not head.directions:
        return f"{step.name} needs logits that are linear in something, those of {head.name} are not"
    scales = loss is not None and loss.cosines
    if loss is not None and scales and not head.cosines:
        return f"{loss.name} has margins and a scale for cosines: it needs the cosine head in its plain form"
    if head.cosines and not scales:
        which = f"the plain {head.name} head"
        return f"{which} leaves its scale to LDAM's loss: use cosine=learnable or fixed"
    if loss is not None and sampler is not None and sampler.balanced and loss.corrects_prior:
        both = f"the loss {loss.name} and the sampler {sampler.name}"
        return f"{both} would each correct the prior: use one of them"
    return None
