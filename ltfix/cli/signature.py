"""What a command function's signature says about its options; typed, and read from one place."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo


@dataclass(frozen=True)
class Located:
    """Marks a text option that names a path, so that a config file can mean it relative to itself.

    ``move(value, folder)`` returns the value as seen from the working folder.
    """

    move: Callable[[str, Path], str]


@dataclass(frozen=True)
class Parameter:
    """One option or argument, as a command declares it.

    Attributes:
        name: the function's parameter.
        flag: the long name, ``--batch-size``.
        spelled: as help shows it, ``--flip/--no-flip``.
        kind: the type of one value.
        many: whether it may be repeated.
        locate: moves a path written in a config file of a folder to what it is from here.
    """

    name: str
    flag: str
    spelled: str
    kind: type
    many: bool
    default: Any
    help: str
    metavar: str | None = None
    hidden: bool = False
    locate: Callable[[str, Path], str] | None = None

    @property
    def key(self) -> str:
        """The long name as a key: ``batch_size``."""
        return self.flag.lstrip("-").replace("-", "_")


def below(value: str, folder: Path) -> str:
    """A path written in a file of ``folder``, seen from the working folder (``-`` stays)."""
    return value if value == "-" else str(folder / value)


def options(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The options of a command function, by key: their long name with ``_``."""
    return {option.key: option for option in _parameters(function, OptionInfo)}


def arguments(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The positional arguments of a command function, by parameter name."""
    return {argument.name: argument for argument in _parameters(function, ArgumentInfo)}


def _parameters(function: Callable[..., Any], wanted: type[ParameterInfo]) -> Iterator[Parameter]:
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        annotation = parameter.annotation
        base, *marks = (
            typing.get_args(annotation) if typing.get_origin(annotation) is typing.Annotated else [None]
        )
        for info in marks:
            if isinstance(info, wanted):
                yield _described(parameter, info, marks, base)


def _described(parameter: inspect.Parameter, info: ParameterInfo, marks: list[Any], base: Any) -> Parameter:
    declared = [d for d in [info.default, *(info.param_decls or ())] if isinstance(d, str)]
    flags = [d for d in declared if d.startswith("--")]
    kind, many = _kind(base)
    located = next((m.move for m in marks if isinstance(m, Located)), None)
    own = "--" + parameter.name.replace("_", "-")
    both = kind is bool and isinstance(info, OptionInfo) and not flags
    return Parameter(
        name=parameter.name,
        flag=flags[0].split("/")[0].strip() if flags else own,
        spelled=flags[0].replace(" ", "") if flags else f"{own}/--no-{own[2:]}" if both else own,
        kind=kind,
        many=many,
        default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        help=info.help or "",
        metavar=info.metavar,
        hidden=info.hidden,
        locate=located or (below if kind is Path else None),
    )


def _kind(base: Any) -> tuple[type, bool]:
    """``int | None`` -> int; ``list[Path]`` -> Path, repeated."""
    if typing.get_origin(base) in (typing.Union, types.UnionType):
        base = next(a for a in typing.get_args(base) if a is not type(None))
    if typing.get_origin(base) is list:
        return typing.get_args(base)[0], True
    return (base if isinstance(base, type) else str), False
