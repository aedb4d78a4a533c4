"""Where an option's value comes from: option > environment > ltfix.toml > default.

``defaults`` turns the environment and the file into the values that the parser takes for options
that were not typed; ``origin`` tells a command afterwards which of the four it was.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ltfix.cli.signature import Parameter
from ltfix.errors import InputError, UsageError, nearest

Origin = Literal["option", "environment", "file", "default"]
FILE_NAME = "ltfix.toml"
SHARED_KEYS = ("work", "seed", "device", "threads")  # top-level keys, which serve every command
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


@dataclass
class Invocation:
    """One run of one command: what was found where."""

    command: str = ""
    file: Path | None = None
    options: Mapping[str, Parameter] = field(default_factory=dict)  # of the command, by key
    values: Mapping[str, Any] = field(default_factory=dict)  # what the parser made of them, by parameter
    origins: dict[str, Origin] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)  # set for every command, not for this one
    quiet: bool = False
    notes: list[str] = field(default_factory=list)
    clean_up: list[Callable[[], None]] = field(default_factory=list)


_current: ContextVar[Invocation | None] = ContextVar("ltfix_invocation", default=None)


def current() -> Invocation:
    """The running invocation (an empty one outside a command)."""
    return _current.get() or Invocation()


@contextlib.contextmanager
def started() -> Iterator[Invocation]:
    """A fresh running invocation for a block."""
    invocation = Invocation()
    token = _current.set(invocation)
    try:
        yield invocation
    finally:
        _current.reset(token)


def option(name: str) -> Parameter | None:
    """The running command's option that the library calls ``name``, if there is one."""
    options = current().options
    return options.get(name) or next((o for o in options.values() if o.name == name), None)


def origin(name: str) -> Origin:
    """Where the running command's option ``name`` got its value: ``origin("batch_size")``."""
    return current().origins.get(name.replace("-", "_"), "default")


def origins() -> dict[str, Origin]:
    """Every option of the running command and where its value came from."""
    return dict(current().origins)


def refuse_unused(names: Iterable[str], user: str) -> None:
    """Answer options that the chosen method does not use.

    One that was typed is an error; one from the environment or the file, which serve many methods,
    is a one-line note; one at its default, or set for every command alike, says nothing.

    Args:
        names: options, as ``weight_decay`` or ``weight-decay``.
        user: what does not use them, for the message: ``"method tau-norm"``.

    Raises:
        UsageError: one of them was typed on the command line.
    """
    from ltfix.cli import console

    for name in names:
        option, source = "--" + name.replace("_", "-"), origin(name)
        if source == "option":
            raise UsageError(f"{user} does not use {option}", where=_where(), hint="leave it out")
        if source != "default" and name.replace("-", "_") not in current().shared:
            given = "the environment" if source == "environment" else current().file
            console.note(f"{option} from {given} is not used by {user}")


def _where() -> str:
    return f"ltfix {current().command}".strip()


def find_file(typed: str | None) -> Path | None:
    """The configuration file: --config, else $LTFIX_CONFIG, else ltfix.toml in the working folder."""
    named = typed or os.environ.get("LTFIX_CONFIG")
    if named:
        if not Path(named).is_file():
            raise InputError("no such configuration file", where=named, hint="`ltfix init` writes one")
        return Path(named)
    return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None


def defaults(
    here: Invocation, parameters: Mapping[str, Parameter], commands: Iterable[str]
) -> dict[str, Any]:
    """Values for options that are not typed, by key.

    Args:
        here: its ``command`` and ``file`` are read, its ``origins`` and ``shared`` filled.
        parameters: the command's options by key.
        commands: every command's name: the tables that a file may have.

    Raises:
        UsageError: an unknown key or table, a value of the wrong type.
        InputError: the file cannot be read or is not TOML.
    """
    values: dict[str, Any] = {}
    if here.file is not None:
        content = read_file(here.file)
        _check_top(content, here.file, set(commands))
        for key in SHARED_KEYS:
            if key in content and key in parameters:
                values[key] = _from_toml(parameters[key], content[key], here.file, f"{here.file}, {key}")
                here.shared.add(key)
        own = _from_table(here.command, parameters, here.file, content)
        here.origins.update(dict.fromkeys([*values, *own], "file"))
        here.shared -= set(own)
        values |= own
    for key, (found, value) in _from_environment(here.command, parameters).items():
        values[key], here.origins[key] = value, "environment"
        (here.shared.discard if found.startswith(variable(here.command)) else here.shared.add)(key)
    return values


def unknown_variables(command: str, parameters: Mapping[str, Parameter]) -> list[str]:
    """Variables that look like an option of ``command`` and are none."""
    prefix = variable(command)
    return sorted(
        v for v in os.environ if v.startswith(prefix) and v[len(prefix) :].lower() not in parameters
    )


def variable(command: str, name: str = "") -> str:
    """The environment variable of a command's option; without ``name``, how those of the command begin."""
    return f"LTFIX_{command}_{name}".replace("-", "_").upper()


def _from_environment(command: str, parameters: Mapping[str, Parameter]) -> dict[str, tuple[str, object]]:
    """Key -> (variable, value) of what the environment sets."""
    found = {}
    for key, parameter in parameters.items():
        shared = [f"LTFIX_{key.upper()}"] if key in SHARED_KEYS else []
        for name in [variable(command, key), *shared]:
            if text := os.environ.get(name):
                found[key] = name, _from_text(parameter, text, name)
                break
    return found


def _from_text(parameter: Parameter, text: str, where: str) -> object:
    if parameter.many:
        return text.split(os.pathsep) if parameter.kind is Path else text.split()
    if parameter.kind is bool:
        if text.lower() not in _WORDS:
            raise UsageError(f"not a yes or no: {text!r}", where=where, hint="write 1 or 0")
        return _WORDS[text.lower()]
    return text


def read_file(file: Path) -> dict[str, Any]:
    """The tables of a configuration file.

    Raises:
        InputError: it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"cannot read it: {err.strerror or err}", where=file) from err
    except ValueError as err:
        raise InputError(f"not a TOML file: {err}", where=file) from err


def _check_top(content: Mapping[str, Any], file: Path, tables: set[str]) -> None:
    known = tables | set(SHARED_KEYS)
    for key, value in content.items():
        name = key.replace("_", "-")
        if name not in known:
            kind = "table" if isinstance(value, dict) else "key"
            raise UsageError(f"unknown {kind} {key!r}", where=file, hint=nearest(key, known))
        if name in tables and not isinstance(value, dict):
            raise UsageError(
                f"{key!r} is a table, not a key", where=file, hint=f"write [{key}] above its keys"
            )


def _from_table(
    command: str, parameters: Mapping[str, Parameter], file: Path, content: Mapping[str, Any]
) -> dict[str, Any]:
    values = {}
    for title in {command, command.replace("-", "_")}:
        for key, value in content.get(title, {}).items():
            name, where = key.replace("-", "_"), f"{file}, [{title}]"
            if name not in parameters:
                options = [n.replace("_", "-") for n in parameters]
                raise UsageError(f"unknown key {key!r}", where=where, hint=nearest(key, options))
            values[name] = _from_toml(parameters[name], value, file, f"{where} {key}")
    return values


def _from_toml(parameter: Parameter, value: object, file: Path, where: str) -> object:
    """One value checked against its option's type; paths become relative to the file's folder."""
    if parameter.many:
        if isinstance(value, dict):  # [fit.set] tau = 0.7 says what --set tau=0.7 says
            value = [f"{k}={_text(v)}" for k, v in value.items()]
        items = value if isinstance(value, list) else [value]
        return [_scalar(parameter, item, file, where) for item in items]
    return _scalar(parameter, value, file, where)


def _scalar(parameter: Parameter, value: object, file: Path, where: str) -> object:
    kind = parameter.kind
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        bool: isinstance(value, bool),
        int: number and isinstance(value, int),
        float: number,
    }.get(kind, isinstance(value, str) or (number and kind is str))  # batch-size = 64 where `auto` fits too
    if not fits:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a string")
        raise UsageError(f"expected {wanted}, found {_shown(value)}", where=where)
    if isinstance(value, str) and parameter.locate is not None:
        return parameter.locate(value, file.parent)
    return value if kind in (bool, int, float) else str(value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return f'"{value}"' if isinstance(value, str) else _text(value)
