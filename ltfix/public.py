"""What public functions have in common: a wrong argument is an error of ltfix, and bars end with the call."""

from __future__ import annotations

import functools
import inspect
import numbers
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from ltfix.errors import UsageError, cut, nearest
from ltfix.progress import listener

P = ParamSpec("P")
T = TypeVar("T")

_GATES = {"fail_under": "as text: 'few=20,all=45'", "max_drop": "as text: 'few=1.0,all=0.5'"}
_PAIR = "features and labels are one argument: (X, y)"
IN_PYTHON = {  # what is there in place of an option of the command line
    "threads": "torch.set_num_threads(N) before it",
    "seed": "seeds=[3] is seed 3 alone",
    "seeds": "seed=3, a call for each",
    "set": "values by their names, as delta=0.9",
    "out": "save(FILE) of the head",
    "plot": "nothing draws: `ltfix evaluate` and others do, into a file *.json the numbers of a figure",
    "save_heads": "folder=DIR",
    "output": "render(FORMAT) of what comes back",
    "format": "render(FORMAT) of what comes back",
}
# what is asked for -> what is taken: numbers and arrays of numpy too
_WIDER: dict[Any, Any] = {int: numbers.Integral, float: numbers.Real, Sequence: Collection}


class UnknownName(UsageError):
    """A value or an argument that there is none of, by its ``name``; of those ``known`` the nearest is told.

    A public function that it was given to by this name offers its own arguments, too.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        name: str = "",
        known: Iterable[str] = (),
        near: Callable[[str, Iterable[str]], str] | None = None,
    ) -> None:
        self.name, self.known, self.near = name, set(known), near or offer
        super().__init__(what, where=where, hint=self.near(name, self.known))

    def within(self, function: Callable[..., Any]) -> UsageError:
        """What a public function says of it, with its arguments and the fields of its record known."""
        taken = _signature(function).parameters
        known = {name for name, p in taken.items() if p.kind is not p.VAR_KEYWORD}
        for record in (taken[name].annotation for name in ("options", "request") if name in taken):
            known |= {
                name for kind in typing.get_args(record) for name in getattr(kind, "__dataclass_fields__", ())
            }
        return UsageError(self.what, where=self.place, hint=self.near(self.name, self.known | known))


def public(function: Callable[P, T]) -> Callable[P, T]:
    """The function, with a UsageError for an argument that it does not take or that is of a wrong type."""

    @functools.wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> T:
        try:
            arguments = _signature(function).bind(*given, **named).arguments
        except TypeError as err:
            raise _misfit(function, str(err)) from None
        for name, value in arguments.items():
            _check(name, value, _signature(function).parameters[name].annotation)
        bar = listener(True) if named.get("progress") is True else None
        try:
            return function(*given, **(named if bar is None else {**named, "progress": bar}))  # type: ignore[arg-type]
        except UnknownName as err:
            if err.name not in named:
                raise
            raise err.within(function) from None
        finally:
            if bar is not None:
                bar.finish()  # whatever happened: a bar left open hides the cursor

    return called


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    known = typing.get_type_hints(function)  # of a record, also what it inherits from another module
    found = inspect.signature(function)
    own = [p.replace(annotation=known.get(p.name, Any)) for p in found.parameters.values()]
    return found.replace(parameters=own)


def _misfit(function: Callable[..., Any], told: str) -> UsageError:
    """What is said where arguments are not those of the function, as ``inspect`` told."""
    known, what = _signature(function).parameters, f"{function.__name__}: {told}"
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", told):
        shown = hasattr(typing.get_type_hints(function).get("return"), "render")
        err = UnknownName(what, name=unknown[1], known=known, near=offer if shown else nearest)
        return err if isinstance(function, type) else err.within(function)  # of a record a function says it
    most = ", ".join(name for name, p in known.items() if p.kind is p.POSITIONAL_OR_KEYWORD)
    many = told == "too many positional arguments" and most
    return UsageError(what, hint=f"{function.__name__}({most}, …); {_PAIR}" if many else None)


def _check(name: str, value: Any, annotation: Any) -> None:
    """Hold a value against its annotation, where that names classes and nothing else."""
    named = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kinds = [typing.get_origin(kind) or kind for kind in named]
    plain = all(isinstance(k, type) and k is not Any and not getattr(k, "_is_protocol", False) for k in kinds)
    if plain and not isinstance(value, tuple(_WIDER.get(kind, kind) for kind in kinds)):
        wanted = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
        hint = (
            a_loss(value, name)
            if name.startswith("method")
            else _PAIR
            if tuple in kinds
            else _GATES.get(name)
        )
        raise UsageError(f"{name} must be {wanted}, found {cut(value)}", where=name, hint=hint)


def a_loss(value: Any, where: str) -> str | None:
    """How a function may be meant that was given in a method's place, ``where``; None of anything else."""
    called = getattr(value, "__name__", "LOSS")
    alone = f"loss={called}, or " if where == "method" else ""
    return f"a function is a loss: {alone}ltfix.Method(NAME, …, loss={called})" if callable(value) else None


def offer(name: str, known: Iterable[str]) -> str:
    """A hint at what a call has in place of an option of the command line, else at the nearest value."""
    return f"in Python {IN_PYTHON[name]}" if name in IN_PYTHON else nearest(name, known)
