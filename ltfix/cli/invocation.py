"""What every command has in common: --config, --quiet, --debug, and values from file and environment."""

from __future__ import annotations

import difflib
import inspect
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ltfix.cli import config, console
from ltfix.cli.configfile import QUIET, unknown_name
from ltfix.cli.manual import EXAMPLES
from ltfix.cli.options import LIST_FORMATS
from ltfix.cli.signature import Parameter, bind, parameters
from ltfix.errors import EnvironmentFault, UsageError, nearest
from ltfix.option import Option, check

_COMMON = ("--config", "--debug", "--help", "--quiet", "--version")


def _read_config(context: typer.Context, value: str | None) -> str | None:
    """Read the file before the other options, which it has values for."""
    if not context.resilient_parsing:
        here = config.current()
        config.find_file(here, value)
        context.default_map = config.read_values(here)
    return value


def _debug(value: bool) -> bool:
    config.current().debug = value
    return value


def _config_file(**more: Any) -> Any:
    help = "Read this instead of ltfix.toml."
    return Annotated[str | None, typer.Option("--config", metavar="FILE", help=help, **more)]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Debug = Annotated[
    bool, typer.Option("--debug", is_eager=True, callback=_debug, help="Show the traceback of an error.")
]


def split(argv: Sequence[str], commands: Collection[str]) -> tuple[str | None, list[str]]:
    """The command that ``argv`` names (else UsageError), and its line: common options before it follow it."""
    early: list[str] = []
    rest = list(argv)
    while rest and (rest[0] in ("--debug", "--quiet", "-q", "--config") or rest[0].startswith("--config=")):
        early.append(rest.pop(0))
        if early[-1] == "--config" and rest:
            early.append(rest.pop(0))
    if rest and rest[0] in commands:
        return rest[0], [*early, *rest[1:]]
    word = next((a for a in rest if not a.startswith("-")), None)
    if word is not None and word not in commands and "--version" not in rest:
        before = ["", *rest][rest.index(word)]
        if before not in _COMMON and (close := difflib.get_close_matches(before, _COMMON, 1, 0.8)):
            raise UsageError(f"no such option: {before}", where="ltfix", hint=f"did you mean {close[0]}?")
        hint = f"{before} goes after the command" if before.startswith("-") else nearest(word, commands)
        raise UsageError(f"no such command: {word}", hint=hint)
    return None, [*early, *rest]


def fill_in(argv: Sequence[str], function: Callable[..., Any]) -> list[str]:
    """A command's line with the words that may be left out: ``--calibrate`` alone is ``--calibrate=one``."""
    alone = {p.flag: p.option for p in parameters(function).values() if p.option.alone}
    return [
        f"{word}={alone[word].alone}" if word in alone and not _follows(after, alone[word].choices) else word
        for word, after in zip(argv, [*argv, ""][1:], strict=True)
    ]


def _follows(word: str, choices: Sequence[str]) -> bool:
    """Whether a word is the value of the option before it: one of these, or no option and no file."""
    return word in choices or not (not word or word.startswith("-") or Path(word).exists())


def demand_texts(argv: Sequence[str], function: Callable[..., Any]) -> None:
    """Refuse an empty text for a path, as a variable of a script that is not set leaves it (UsageError)."""
    known = parameters(function).values()
    options = {p.flag: p.is_path for p in known if not p.positional and p.kind is not bool}
    options["--config"] = True
    place = next((p.metavar for p in known if p.positional and p.is_path), None)
    for before, word in zip(["", *argv], argv, strict=False):
        flag = word.removesuffix("=") or before
        if word in ("", f"{flag}=") and options.get(flag):
            raise UsageError(f"empty {flag}", hint="a path belongs there")
        if not word and before not in options and place:
            raise UsageError(f"empty {place}", hint="a path belongs there")


def framed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as typer takes a command: the common options added, the origin of every value noted."""
    known = {**parameters(function), "quiet": QUIET}
    options = {key: parameter for key, parameter in known.items() if not parameter.positional}
    config.current().command, config.current().options = name, options

    def command(context: typer.Context, **values: Any) -> Any:
        here = config.current()
        here.settle(context)
        _demand_working_folder()
        _demand_known_variables(name, options)
        if here.unread:
            console.note(f"{here.file} is read, {here.unread} is not: --config names another")
        return console.carry_out(lambda values: function(**_bound(name, function, values)), values)

    given: dict[str, Any] = {"context": typer.Context}
    given |= {key: _annotation(name, parameter) for key, parameter in known.items()}
    given["config"] = _config_file(is_eager=True, callback=_read_config)
    given["debug"] = Debug
    defaults = {"context": inspect.Parameter.empty, "config": None, "debug": False}
    defaults |= {key: parameter.default for key, parameter in known.items()}
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=defaults[key], annotation=kind)
            for key, kind in given.items()
        ]
    )
    command.__annotations__ = given
    return command


def _bound(name: str, function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the command; an error of none of its options says which command it is of."""
    try:
        return bind(function, values)
    except UsageError as err:
        if err.place is not None:
            raise
        hint = err.hint or f"as in `{EXAMPLES.get(name, [f'ltfix {name} --help'])[0]}`"
        raise UsageError(err.what, where=f"ltfix {name}", hint=hint) from err


def _demand_working_folder() -> None:
    """Libraries end the process where there is none."""
    try:
        Path.cwd()
    except FileNotFoundError as err:
        raise EnvironmentFault("the working folder is gone", hint="change into one that is there") from err


def _demand_known_variables(command: str, options: Mapping[str, Parameter]) -> None:
    """Refuse a misspelt variable (UsageError), a gate perhaps; one that resembles none may be another's."""
    for variable in config.unknown_variables(command, options):
        begin = config.variable(command)
        name = variable[len(begin) :]
        known = nearest(name, [key.upper() for key in options], f"{begin}{{}}")
        hint = unknown_name(command, name.lower(), known) or f"see `ltfix {command} --help`"
        raise UsageError(f"{variable} is no option of ltfix {command}", hint=hint)
    for variable, near in config.unread_variables(command, options).items():
        if near is not None:
            raise UsageError(f"{variable} in the environment sets nothing", hint=f"did you mean {near}?")
        console.note(f"{variable} in the environment sets nothing")


def _annotation(command: str, parameter: Parameter) -> Any:
    """What typer reads of one option or argument."""
    kind: Any = list[parameter.kind] if parameter.many else parameter.kind  # type: ignore[name-defined]
    if parameter.default is None:
        kind = kind | None
    about: dict[str, Any] = {"help": parameter.option.help, "metavar": parameter.metavar}
    about |= {"show_default": "[default:" not in parameter.option.help, "show_envvar": False}
    about["readable"] = False  # no permission is the environment's fault, whoever finds it
    if parameter.positional:
        return Annotated[kind, typer.Argument(**about)]
    about["envvar"] = config.variables(command, parameter.key)
    words = parameter.option.choices
    if words:
        about["autocompletion"] = lambda incomplete: [w for w in words if w.startswith(incomplete)]
    short = ["-q"] if parameter is QUIET else []
    return Annotated[kind, typer.Option(parameter.spelled, *short, **about)]


def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print versions and exit.")] = False,
    format: Annotated[
        str, typer.Option("--format", metavar="FORM", help="Of --version: table, or json.")
    ] = "table",
    quiet: Quiet = False,
    debug: Debug = False,
    config: _config_file() = None,  # type: ignore[valid-type]
) -> None:
    """Repair the bias of long-tailed classifiers: retrain the last layer on cached features.

    Every command takes its values from its options, else LTFIX_COMMAND_OPTION in the environment, else
    ltfix.toml in the working folder or in --work (`ltfix init` writes one), else its defaults.
    """
    if version:
        from ltfix.cli.version import versions

        check("format", format, Option("", choices=LIST_FORMATS))
        found = versions()
        lines = "\n".join(f"{name} {value}" for name, value in found.items())
        console.write(json.dumps(found) if format == "json" else lines)
    elif config is not None:
        raise UsageError("no command given", where="ltfix", hint="see `ltfix --help`")
    elif context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise SystemExit(UsageError.exit_code)
