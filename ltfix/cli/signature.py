"""What a command function's signature says about its options; typed, and read from one place."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.models import OptionInfo


@dataclass(frozen=True)
class Located:
    """Marks a text option that names a path, so that a config file can mean it relative to itself.

    ``move(value, folder)`` returns the value as seen from the working folder.
    """

    move: Callable[[str, Path], str]


@dataclass(frozen=True)
class Parameter:
    """One option: the function's parameter, its long name, the type of one value, whether it repeats."""

    name: str
    flag: str
    kind: type
    many: bool
    default: Any
    help: str
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
    """The options (not the arguments) of a command function, by key: their long name with ``_``."""
    found: dict[str, Parameter] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        info, marks, base = _split(parameter.annotation)
        if isinstance(info, OptionInfo):
            option = _option(name, parameter, info, marks, base)
            found[option.key] = option
    return found


def _split(annotation: Any) -> tuple[Any, list[Any], Any]:
    if typing.get_origin(annotation) is not typing.Annotated:
        return None, [], annotation
    base, *marks = typing.get_args(annotation)
    return next((m for m in marks if isinstance(m, OptionInfo)), None), marks, base


def _option(
    name: str, parameter: inspect.Parameter, info: OptionInfo, marks: list[Any], base: Any
) -> Parameter:
    declared = [d for d in [info.default, *(info.param_decls or ())] if isinstance(d, str)]
    flags = [d.split("/")[0].strip() for d in declared if d.startswith("--")]
    kind, many = _kind(base)
    located = next((m.move for m in marks if isinstance(m, Located)), None)
    return Parameter(
        name=name,
        flag=flags[0] if flags else "--" + name.replace("_", "-"),
        kind=kind,
        many=many,
        default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        help=info.help or "",
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
