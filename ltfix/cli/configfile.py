"""``ltfix.toml``: a table for each command, checked as a whole whichever command reads it."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ltfix.cli import commands
from ltfix.cli.commands import COMMANDS
from ltfix.cli.signature import Parameter, arguments, options
from ltfix.errors import InputError, UsageError, nearest
from ltfix.option import Option

FILE_NAME = "ltfix.toml"
SHARED_KEYS = ("work", "seed", "device", "threads", "quiet")  # top-level keys, which serve every command
QUIET = Parameter("quiet", bool, False, False, Option("No progress and no notes."))


def read_tables(
    file: Path, command: str, known: Mapping[str, Parameter], faults: list[UsageError] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file says for every command, and for this one with the options ``known``, by key.

    The other commands' tables are checked too: what is misspelt there would be found when they run, if ever.

    Raises:
        UsageError: an unknown key or table, a value of the wrong type; of several the first, unless they go
            into ``faults``, all of them.
        InputError, EnvironmentFault: as `read_file`.
    """
    shared, own = dict[str, Any](), dict[str, Any]()
    content = read_file(file)
    with _kept(faults):
        _demand_once(content, str(file))
    for title, value in content.items():
        name = title.replace("_", "-")
        with _kept(faults):
            if name not in (*COMMANDS, *SHARED_KEYS):
                if isinstance(value, dict):
                    raise UsageError(f"unknown table {title!r}", where=file, hint=nearest(title, COMMANDS))
                hint = _of_others(name, "[{}]") or nearest(title, SHARED_KEYS)
                raise UsageError(f"unknown key {title!r}", where=file, hint=hint)
            if name in COMMANDS:
                values = _from_table(title, value, known if name == command else may_set(name), file, faults)
                own |= values if name == command else {}
            elif name in known:
                shared[name] = _from_toml(known[name], value, file, f"{file}, {name}")
    return shared, own


@contextlib.contextmanager
def _kept(faults: list[UsageError] | None) -> Iterator[None]:
    """Around what may be wrong: it goes into the list, so that all is found, or without one is raised."""
    try:
        yield
    except UsageError as err:
        if faults is None:
            raise
        faults.append(err)


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


def may_set(command: str) -> dict[str, Parameter]:
    """The options of a command that a file may set, by key."""
    return {**options(commands.load(command)), "quiet": QUIET}


def unknown_name(command: str, name: str, near: str, form: str = "{}") -> str | None:
    """The hint where a command has no such option, key or variable: it is given by place, or has a ``near``
    name (of `nearest`), or other commands, told in this form, have one of this name; else None."""
    of = arguments(commands.load(command.replace("_", "-")))
    found = next(
        (p.metavar for p in of.values() if name in (p.name, *str(p.metavar).lower().split("_or_"))), None
    )
    if found:
        return f"{found} is given by place, and has no option, key or variable"
    return near if near.startswith("did you mean") else _of_others(name, form)


def _of_others(name: str, form: str) -> str | None:
    of = [form.format(command) for command in COMMANDS if name.replace("-", "_") in may_set(command)]
    return f"it belongs to {' or '.join([*of[:4], *['others'] * (len(of) > 4)])}" if of else None


def _from_table(
    title: str, table: Any, known: Mapping[str, Parameter], file: Path, faults: list[UsageError] | None
) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(
            f"{title!r} is a table, not a key", where=file, hint=f"write [{title}] above its keys"
        )
    values = {}
    with _kept(faults):
        _demand_once(table, f"{file}, [{title}]")
    for key, value in table.items():
        name, where = key.replace("-", "_"), f"{file}, [{title}]"
        with _kept(faults):
            if name not in known:
                near = nearest(key, [n.replace("_", "-") for n in known])
                hint = unknown_name(title, name, near, "[{}]") or near
                raise UsageError(f"unknown key {key!r}", where=where, hint=hint)
            values[name] = _from_toml(known[name], value, file, f"{where} {key}")
    return values


def _demand_once(keys: Iterable[str], where: str) -> None:
    """Refuse a key that is there in two spellings, which TOML takes for two (UsageError)."""
    spelled: dict[str, str] = {}
    for key in keys:
        if (before := spelled.setdefault(key.replace("_", "-"), key)) != key:
            raise UsageError(
                f"{before} and {key} are the same key", where=where, hint="leave one of them out"
            )


def _from_toml(parameter: Parameter, value: object, file: Path, where: str) -> object:
    """One value checked against its option's type; paths become relative to the file's folder."""
    if parameter.many:
        if isinstance(value, dict):  # [fit.set] tau = 0.7 says what --set tau=0.7 says
            _demand_once(value, where)
            value = [f"{k}={_text(v, f'{where}.{k}')}" for k, v in value.items()]
        items = value if isinstance(value, list) else [value]
        return [_scalar(parameter, item, file, where) for item in items]
    if isinstance(value, list) and "," in (parameter.metavar or ""):  # mean = [0.5, 0.5, 0.5]
        value = ",".join(_text(item, where) for item in value)
    return _scalar(parameter, value, file, where)


def _scalar(parameter: Parameter, value: object, file: Path, where: str) -> object:
    kind = parameter.kind
    if parameter.option.alone and isinstance(value, bool):  # calibrate = true says what --calibrate says
        return parameter.option.alone if value else None
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
