"""A command's options, read from its function's signature.

A parameter of the function is one of four things, as its annotation says; without a default it is needed::

    def fit(
        cache: Annotated[Path | None, Option("Training features.", metavar="CACHE"), ARGUMENT] = None,
        options: Options,                                # a record: an option for each of its fields
        run: Annotated[RunOptions, ("seed",)],           # of a record, these fields alone
        values: Annotated[dict[str, Any], {"lr": …}],    # values of a method: an option for each; those given
    ): ...

`parameters` lists the options, `bind` makes the function's arguments of what was typed.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltfix.cli import parsing
from ltfix.errors import UsageError
from ltfix.option import Option, check, options_of

ARGUMENT = "argument"  # marks a parameter that is given by place
_NAMES = {int: "N", float: "X", Path: "PATH"}
_LONGEST = 40  # characters of choices that help shows in place of a metavar
_OWN = re.compile(r"[^\s,=][^,=]*\.py(?=:)")  # the file of my.py:NAME, wherever one may be named


@dataclass(frozen=True)
class Parameter:
    """One option or argument of a command.

    Attributes:
        name: the function's parameter or the record's field.
        kind: the type of one value as it is typed.
        many: whether it may be repeated.
        default: what is shown; None where nothing is.
        option: what it means and may be.
        positional: given by place.
        read: makes of the typed value what the function or the record takes.
        needed: there is no default.
        own: each method or recipe has its own.
    """

    name: str
    kind: type
    many: bool
    default: Any
    option: Option
    positional: bool = False
    read: Callable[[Any, str], Any] | None = None
    needed: bool = False
    own: bool = False

    @property
    def flag(self) -> str:
        """The long name: ``--batch-size``."""
        return "--" + (self.option.flag or self.name.rstrip("_").replace("_", "-"))

    @property
    def key(self) -> str:
        """The long name as a key: ``batch_size``."""
        return self.name if self.positional else self.flag.lstrip("-").replace("-", "_")

    @property
    def is_path(self) -> bool:
        """Whether it names a file, a folder or what may stand for one."""
        return self.kind is Path or bool(self.option.path)

    @property
    def spelled(self) -> str:
        """As help shows it: ``--compile/--no-compile``."""
        return f"{self.flag}/--no-{self.flag[2:]}" if self.option.negatable else self.flag

    def typed(self, value: object) -> str:
        """As it is typed for a value: ``--no-compile`` for False."""
        return f"--no-{self.flag[2:]}" if value is False and self.option.negatable else self.flag

    @property
    def metavar(self) -> str | None:
        """What stands for its value in help."""
        if self.kind is bool:
            return None
        words = f"N|{self.option.unset}" if self.option.unset else "|".join(self.option.choices)
        short = words if len(words) <= _LONGEST else ""
        return self.option.metavar or short or _NAMES.get(self.kind, "TEXT")

    def move(self, value: str, folder: Path) -> str:
        """A value written in a file of ``folder`` as seen from here, where it names a path."""
        if self.option.path == "data":
            return move_data(value, folder)
        if self.option.path == "place":
            return value if "://" in value else str(folder / value)
        if self.option.path:
            from ltfix.backbones.given import LOCAL, NOT_RUNS

            _, prefix, rest = value.rpartition(LOCAL)
            stays = self.option.path == "name" or "/" not in rest or rest.startswith(NOT_RUNS)
            return f"{prefix}{folder / rest}" if prefix or not stays or (folder / rest).exists() else value
        if self.kind is Path:
            return value if value == "-" else str(folder / value)
        return _OWN.sub(lambda file: str(folder / file[0]), value)

    def value(self, typed: Any) -> Any:
        """What the function or the record takes of what was typed (UsageError: it cannot be read)."""
        if self.many:
            typed = typed or []
        return typed if self.read is None or typed is None else self.read(typed, self.flag)


def move_data(value: str, folder: Path) -> str:
    """``photos`` and ``list:train=F,test=G`` name paths that move; a prefix stays as it is."""
    prefix, colon, rest = value.partition(":")
    if not colon or len(prefix) == 1:  # C:\\photos is a path too
        return value if value == "-" else str(folder / value)
    from ltfix.images.parts import split_parts
    from ltfix.images.places import is_remote

    def moved(path: str) -> str:
        stays = path == "-" or is_remote(path) or (prefix == "hf" and not (folder / path).exists())
        return path if stays else str(folder / path)

    parts = split_parts(rest, folder)
    if parts is None:
        return f"{prefix}:{moved(rest)}"
    return f"{prefix}:{','.join(f'{split}={moved(path)}' for split, path in parts.items())}"


@dataclass(frozen=True)
class Group:
    """The options behind one parameter of a command's function, and how they make its argument."""

    parameters: list[Parameter]
    build: Callable[[dict[str, Any]], Any]


def parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The options and arguments of a command function, by key."""
    return {p.key: p for group in groups(function).values() for p in group.parameters}


def options(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The options of a command function, by key: their long name with ``_``."""
    return {key: p for key, p in parameters(function).items() if not p.positional}


def arguments(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The positional arguments of a command function, by name."""
    return {key: p for key, p in parameters(function).items() if p.positional}


def bind(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The function's own arguments, of typed values by key.

    Raises:
        UsageError: a value that cannot be read or is out of range; one that is needed is not there.
    """
    return {
        name: group.build({p.name: values[p.key] for p in group.parameters})
        for name, group in groups(function).items()
    }


@functools.cache
def groups(function: Callable[..., Any]) -> dict[str, Group]:
    """What stands behind each parameter of a command's function."""
    return {p.name: _group(p) for p in inspect.signature(function, eval_str=True).parameters.values()}


def _group(parameter: inspect.Parameter) -> Group:
    base, *marks = _parts(parameter.annotation)
    if dataclasses.is_dataclass(base):
        return _of_record(base, *marks)  # type: ignore[arg-type]
    if isinstance(marks[0], Option):
        return _of_one(parameter, base, marks[0], ARGUMENT in marks)
    return _of_values(marks[0])


def _parts(annotation: Any) -> tuple[Any, ...]:
    annotated = typing.get_origin(annotation) is typing.Annotated
    return typing.get_args(annotation) if annotated else (annotation,)


def _of_one(parameter: inspect.Parameter, base: Any, option: Option, positional: bool) -> Group:
    own = _parameter(parameter.name, base, parameter.default, option, positional=positional)

    def build(values: dict[str, Any]) -> Any:
        value = own.value(values[own.name])
        if own.needed and value in (None, []):
            raise UsageError(f"no {own.metavar if positional else own.flag} given")
        check(own.name, value, option)
        return value

    return Group([own], build)


def _of_record(record: type, only: tuple[str, ...] = ()) -> Group:
    """An option for each field of a record, or for those named."""
    kinds = typing.get_type_hints(record)
    fields = {field.name: field for field in dataclasses.fields(record)}
    found = [
        _parameter(name, kinds[name], _default(fields[name]), option)
        for name, option in options_of(record).items()
        if not only or name in only
    ]

    def build(values: dict[str, Any]) -> Any:
        for p in found:
            if p.needed and not values[p.name]:
                hint = f"give it, or write {p.key} in the command's table of ltfix.toml"
                raise UsageError(f"{p.flag} is needed", hint=hint)
        return record(**{p.name: p.value(values[p.name]) for p in found})

    return Group(found, build)


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _of_values(table: Mapping[str, Any]) -> Group:
    """An option for each value of a method or recipe; its default is the method's own."""
    found = []
    for name, value in table.items():
        kind = float if value.default is None else type(value.default)
        words = f": {value.allowed}" if len("|".join(value.choices)) > _LONGEST else ""
        first = value.meaning[:1]
        meaning = (first.upper() if first.isascii() else first) + value.meaning[1:]
        option = Option(f"{meaning}{words}.", choices=value.choices, negatable=kind is bool)
        found.append(Parameter(name, kind, False, None, option, own=True))
    return Group(found, lambda values: {name: v for name, v in values.items() if v is not None})


def _parameter(
    name: str, annotation: Any, default: Any, option: Option, *, positional: bool = False
) -> Parameter:
    """A parameter as its annotation says: what is typed, and how that is read."""
    needed = default in (inspect.Parameter.empty, dataclasses.MISSING)
    default = None if needed else default
    kinds = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    first, origin, inner = kinds[0], typing.get_origin(kinds[0]), typing.get_args(kinds[0])
    kind, many = first, False
    read: Callable[[Any, str], Any] | None = None
    if Path in kinds:
        kind = str if option.path in ("data", "place") else Path  # a Path would take a URL's second slash
    elif origin is collections.abc.Mapping:
        kind, many, needed = str, True, False
        read = _read_literals if inner[1] is Any else parsing.pairs
    elif origin in (list, collections.abc.Sequence) and inner[0] is float:
        kind, read = str, parsing.numbers
    elif origin in (list, collections.abc.Sequence):
        kind, many, read = inner[0], True, None if origin is list else lambda items, flag: tuple(items)
    elif option.joined:
        kind, many, read = str, True, _joined
    elif option.unset:
        kind, read, default = str, parsing.count, option.unset
    elif len(kinds) > 1:
        kind = str
    shown = default or None if many else default
    return Parameter(name, kind, many, shown, option, positional, read, needed)


def _joined(items: list[str], flag: str) -> str | None:
    return ",".join(item.strip(",") for item in items) if items else None


def _read_literals(items: list[str], flag: str) -> dict[str, Any]:
    return {name: parsing.literal(text) for name, text in parsing.pairs(items, flag).items()}
