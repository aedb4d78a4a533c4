"""Where an option's value comes from: option > environment > ltfix.toml > default.

The parser takes the environment's values by itself and the file's from `read_values`; `origin` tells a
command afterwards which of the four it was.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ltfix.cli import parsing
from ltfix.cli.commands import COMMANDS
from ltfix.cli.signature import Parameter, move_data
from ltfix.errors import InputError, UsageError, nearest

if TYPE_CHECKING:
    import typer

Origin = Literal["option", "environment", "file", "default"]
FILE_NAME = "ltfix.toml"
SHARED_KEYS = ("work", "seed", "device", "threads", "quiet")  # top-level keys, which serve every command
_OWN = re.compile(
    f"LTFIX_({'|'.join(SHARED_KEYS).upper()}|CONFIG|EXTENSION|SHARED|BUILD_.*)"
)  # of no command
_ORIGINS: Mapping[str, Origin] = {
    "COMMANDLINE": "option",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "file",
}


@dataclass
class Invocation:
    """One run of one command: what was found where."""

    command: str = ""
    file: Path | None = None
    options: Mapping[str, Parameter] = field(default_factory=dict)  # of the command, by key
    values: Mapping[str, Any] = field(default_factory=dict)  # what was typed or stands for it, by key
    origins: dict[str, Origin] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)  # set for every command, not for this one
    quiet: bool = False
    debug: bool = False
    clean_up: list[Callable[[], None]] = field(default_factory=list)

    def settle(self, context: typer.Context) -> None:
        """Keep what the parser found."""
        self.values, self.quiet = context.params, bool(context.params["quiet"])
        found = {key: source_of(context, key) for key in self.options}
        self.origins = {key: source for key, source in found.items() if source != "default"}
        for key, source in found.items():
            if source == "environment" and not os.environ.get(variable(self.command, key)):
                self.shared.add(key)
            elif source != "file":
                self.shared.discard(key)


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


def source_of(context: typer.Context, key: str) -> Origin:
    """Where the parser took an option's value from."""
    return _ORIGINS.get(getattr(context.get_parameter_source(key), "name", ""), "default")


def option(name: str) -> Parameter | None:
    """The running command's option that the library calls ``name``, if there is one."""
    options = current().options
    return options.get(name) or next((o for o in options.values() if o.name == name), None)


def origin(name: str) -> Origin:
    """Where the running command's option ``name`` got its value: ``origin("batch_size")``."""
    return current().origins.get(name, "default")


def place(key: str, source: Origin) -> str | None:
    """Where the value of an option stands if it was not typed: a variable, or a key of the file."""
    here = current()
    if source == "environment":
        found = next(v for v in variables(here.command, key) if os.environ.get(v))
        return f"{found} in the environment"
    return f"{here.file}, {key}" if source == "file" else None


def find_file(typed: str | None) -> Path | None:
    """The configuration file: --config, else $LTFIX_CONFIG, else ltfix.toml in the working folder.

    Raises:
        InputError: the one that is named is not there, or it is no regular file.
    """
    named = typed or os.environ.get("LTFIX_CONFIG")
    path = Path(named or FILE_NAME)
    if path.is_file():
        return path
    if path.exists():
        raise InputError("is a folder or a device, not a file", where=path)
    if named or path.is_symlink():
        raise InputError("no such configuration file", where=path, hint="`ltfix init` writes one")
    return None


def read_values(here: Invocation) -> dict[str, Any]:
    """What the file says of the running command's options, by key; `shared` is filled.

    Raises:
        UsageError: an unknown key or table, a value of the wrong type.
        InputError: the file cannot be read or is not TOML.
    """
    if here.file is None:
        return {}
    content, parameters = read_file(here.file), here.options
    _check_top(content, here.file, set(COMMANDS))
    shared = {
        key: _from_toml(parameters[key], content[key], here.file, f"{here.file}, {key}")
        for key in SHARED_KEYS
        if key in content and key in parameters
    }
    own = _from_table(here.command, parameters, here.file, content)
    here.shared = set(shared) - set(own)
    return {**shared, **own}


def of_extract(key: str) -> str | None:
    """The source or file that the file has for ``extract``, as seen from here; None: it says nothing."""
    here = current()
    table = read_file(here.file).get("extract") if here.file is not None else None
    value = table.get(key) if isinstance(table, dict) else None
    return move_data(value, here.file.parent) if isinstance(value, str) and here.file is not None else None


def unknown_variables(command: str, parameters: Mapping[str, Parameter]) -> list[str]:
    """Variables that look like an option of ``command`` and are none."""
    prefix = variable(command)
    return sorted(
        v for v in os.environ if v.startswith(prefix) and v[len(prefix) :].lower() not in parameters
    )


def unread_variables(command: str, parameters: Mapping[str, Parameter]) -> dict[str, str | None]:
    """Variables that no command reads, each with the one of ``command`` that it resembles, if any."""
    known: dict[str, str] = {}
    for full in (variable(command, key) for key in parameters):
        known |= {full.removeprefix("LTFIX_"): full, full.removeprefix(variable(command)): full}
    known |= {key.upper(): f"LTFIX_{key.upper()}" for key in SHARED_KEYS}
    read = tuple(map(variable, COMMANDS))
    found = [v for v in sorted(os.environ) if v.startswith("LTFIX_") and not v.startswith(read)]
    return {v: _resembled(v.removeprefix("LTFIX_"), known) for v in found if not _OWN.fullmatch(v)}


def _resembled(name: str, known: Mapping[str, str]) -> str | None:
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return known[close[0]] if close else None


def variable(command: str, key: str = "") -> str:
    """The environment variable of a command's option; without ``key``, how those of the command begin."""
    return f"LTFIX_{command}_{key}".replace("-", "_").upper()


def variables(command: str, key: str) -> list[str]:
    """Every variable that sets a command's option, the one that wins first."""
    return [variable(command, key), *([f"LTFIX_{key.upper()}"] if key in SHARED_KEYS else [])]


def read_file(file: Path) -> dict[str, Any]:
    """The tables of a configuration file.

    Raises:
        InputError: it is not TOML.
        EnvironmentFault: no permission to read it.
    """
    from ltfix.files import os_errors

    with os_errors(file):
        try:
            return tomllib.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as err:
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
            value = [f"{k}={_text(v, f'{where}.{k}')}" for k, v in value.items()]
        items = value if isinstance(value, list) else [value]
        return [_scalar(parameter, item, file, where) for item in items]
    if parameter.read is parsing.numbers and isinstance(value, list):  # mean = [0.5, 0.5, 0.5]
        value = ",".join(_text(item, where) for item in value)
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
    if isinstance(value, str):
        if not value and parameter.is_path:
            raise UsageError("empty", where=where, hint="a path belongs there")
        return parameter.move(value, file.parent)
    return value if kind in (bool, int, float) else str(value)


def _text(value: object, where: str) -> str:
    """A value of a table or list as it would be typed."""
    if isinstance(value, dict):
        raise UsageError("expected a value, found a table", where=where)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return f'"{value}"' if isinstance(value, str) else _text(value, "")
