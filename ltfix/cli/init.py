"""``ltfix init``: a commented ltfix.toml, written from the options that the commands declare."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

from ltfix.cli import config, configfile, console
from ltfix.cli.boundary import say
from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.inspect import written
from ltfix.cli.options import LIST_FORMATS, MayOverwrite
from ltfix.cli.signature import Parameter, bind, options, parameters
from ltfix.cli.spelling import spell_error
from ltfix.errors import InputError, UsageError
from ltfix.option import Option

_HEAD = """\
# ltfix.toml: values for the options of ltfix, read in the folder that ltfix runs in.
#
# Each line shows an option and its default; take away the first # to set it. Where there is no default,
# or each method has its own, the line says so and its value only shows the kind. An option typed on
# the command line wins, then LTFIX_COMMAND_OPTION in the environment, then this file. Paths are
# relative to this file.
#
# The least that a project of images needs is two keys of [extract]: backbone and data.
"""
PER_RUN = ("overwrite", "dry_run", "verify", "output", "format")  # a choice of the moment, not of a project


def init(
    output: Annotated[Path, Option("Where to write it; - is stdout.", metavar="FILE")] = Path(
        configfile.FILE_NAME
    ),
    overwrite: MayOverwrite = False,
    check: Annotated[bool, Option("Write nothing: look for mistakes in the file that is there.")] = False,
    format: Annotated[str, Option("Of --check: a line, or JSON.", choices=LIST_FORMATS)] = "table",
) -> None:
    """Write a commented ltfix.toml, or check the one that is there.

    It lists the options of every command with their defaults, all commented out, so it changes nothing
    until it is edited. What is a choice of one run (--output, --format, …) is left out, and may be set.
    """
    if check:
        console.refuse_unused(["output", "overwrite"], "init --check")
        _check(format)
        return
    for fault in config.current().faults:
        raise fault
    console.refuse_unused(["format"], "init without --check")
    console.deliver(example(), output, overwrite=overwrite)
    if not console.is_stdout(output):
        console.note(f"wrote {output}")


def _check(format: str) -> None:
    """Say what a command would refuse of the file before it has opened anything, and end with 2 there.

    All names and types that are wrong, and where none is, of each command the first value.

    Raises:
        InputError: there is no file.
    """
    lines = dict[str, None]()
    here = config.current()
    if here.file is None:
        raise InputError("no configuration file", where=configfile.FILE_NAME, hint="`ltfix init` writes one")
    for name in COMMANDS:
        here.command, here.options = name, configfile.may_set(name)
        faults: list[UsageError] = []
        shared, own = configfile.read_tables(here.file, name, here.options, faults)
        here.shared, here.origins = set(shared) - set(own), dict.fromkeys({**shared, **own}, "file")
        try:
            _ask(name, {} if faults else {**shared, **own})  # a note on the others might be wrong
        except UsageError as err:
            if config.option(str(err.place).removeprefix("--").replace("-", "_")) is None:
                where = "; ".join(filter(None, (err.where, f"{here.file}, [{name}]")))
                err = UsageError(err.what, where=where, hint=err.hint)
            faults.append(err)  # an option is told with its place in the file
        lines |= dict.fromkeys(map(spell_error, faults))
    for line in lines:
        say(f"ltfix: error: {line}")
    if lines:
        raise SystemExit(UsageError.exit_code)
    if format == "json":
        written([], checked=str(here.file))
    else:
        console.write(f"{here.file}: no mistake found")


def _ask(command: str, values: dict[str, Any]) -> None:
    """Make what a command is called with, and have it look up the names in it."""
    function = load(command)
    typed = {key: _as_typed(p, values.get(key, p.default)) for key, p in parameters(function).items()}
    look_up = getattr(sys.modules[function.__module__], "look_up", lambda **given: None)

    def ask(values: dict[str, Any]) -> None:
        look_up(**bind(function, values))
        if "many" in values:
            from ltfix.evaluation.gate import demand_possible

            gates = {name: ",".join(values.get(name) or ()) for name in ("fail_under", "max_drop")}
            demand_possible(values["many"], values["few"], **gates)
        if "output" in values and command != "init":
            console.format_of(values["format"], values["output"])

    console.carry_out(ask, typed)


def _as_typed(parameter: Parameter, value: Any) -> Any:
    if value is None and parameter.needed:  # it may be typed
        value = ["-"] if parameter.many else "-"
    if value is None:
        return None
    return [parameter.kind(item) for item in value] if parameter.many else parameter.kind(value)


def example() -> str:
    """The text of the example file."""
    tables = {name: options(load(name)) for name in COMMANDS}
    shared = {
        key: p for table in tables.values() for key, p in table.items() if key in configfile.SHARED_KEYS
    }
    parts = [
        _HEAD,
        "# for every command\n" + "".join(_entry(shared[k]) for k in configfile.SHARED_KEYS if k in shared),
    ]
    for name, table in tables.items():
        own = [p for key, p in table.items() if key not in (*configfile.SHARED_KEYS, *PER_RUN)]
        if own and name != "init":
            parts.append(f"[{name}]  # {COMMANDS[name].help}\n" + "".join(map(_entry, own)))
    return "\n".join(parts)


def _entry(parameter: Parameter) -> str:
    note = textwrap.wrap(parameter.option.help, 96, initial_indent="# ", subsequent_indent="# ")
    line = f"#{parameter.flag.lstrip('-')} = {_value(parameter)}"
    unsaid = _unset(parameter) and "default:" not in parameter.option.help
    unset = "each method or recipe has its own default" if parameter.own else "no default"
    return "\n".join([*note, line + f"  # {unset}" * unsaid, ""])


def _unset(parameter: Parameter) -> bool:
    return parameter.default is None or bool(parameter.many and not parameter.default)


def _value(parameter: Parameter) -> str:
    default = parameter.default
    if _unset(parameter):
        empty = {int: "0", float: "0.0", bool: "false"}.get(parameter.kind, '"…"')
        return f"[{empty}]" if parameter.many else empty
    if parameter.many:
        return "[" + ", ".join(_literal(item) for item in default) + "]"
    return _literal(default)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
