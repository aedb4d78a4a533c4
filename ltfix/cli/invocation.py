"""What every command has in common: --config, --quiet, --debug, and values from file and environment."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ltfix.cli import config, console, signature
from ltfix.errors import UsageError, nearest

ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Read this instead of ltfix.toml in the working folder."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_COMMON = {"config": (ConfigFile, None), "quiet": (Quiet, False), "debug": (Debug, False)}


@dataclass(frozen=True)
class Call:
    """A command line, understood as far as the frame needs."""

    argv: list[str]
    word: str | None  # what stands where a command should
    command: str | None  # the same, if it is one
    help: bool
    debug: bool
    config: str | None

    def check(self, commands: Collection[str]) -> None:
        """Refuse a command that does not exist.

        Raises:
            UsageError: offers the nearest ones.
        """
        if self.word is not None and self.word not in commands:
            raise UsageError(f"no such command: {self.word}", hint=nearest(self.word, commands))
        if self.command is None and self.config is not None:
            raise UsageError("no command given", where="ltfix", hint="see `ltfix --help`")


def split(argv: Sequence[str], commands: Collection[str]) -> Call:
    """Find the command; put the common options that stand before it behind it."""
    early: list[str] = []
    rest = list(argv)
    while rest and (rest[0] in ("--debug", "--quiet", "-q", "--config") or rest[0].startswith("--config=")):
        early.append(rest.pop(0))
        if early[-1] == "--config" and rest:
            early.append(rest.pop(0))
    word = next((a for a in rest if not a.startswith("-")), None)
    command = word if word in commands and rest[0] == word else None
    line = [*rest[:1], *early, *rest[1:]] if command else [*early, *rest]
    own = line[: line.index("--")] if "--" in line else line
    named = [b for a, b in itertools.pairwise(own) if a == "--config"]
    named += [a.partition("=")[2] for a in own if a.startswith("--config=")]
    return Call(
        argv=line,
        word=word,
        command=command,
        help="--help" in own or "-h" in own,
        debug="--debug" in own,
        config=named[-1] if named else None,
    )


def prepare(call: Call, function: Callable[..., Any], commands: Collection[str]) -> dict[str, Any]:
    """The values that file and environment give this command's options, by parameter name.

    Fills the running invocation with where each is from.
    """
    command, here = call.command or "", config.current()
    options = {"quiet": _QUIET, **signature.options(function)}
    here.command, here.options, here.file = command, options, config.find_file(call.config)
    values = config.defaults(here, options, commands)
    here.notes += [f"{v} is no option of ltfix {command}" for v in config.unknown_variables(command, options)]
    return {options[key].name: value for key, value in values.items()}


def framed(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as a typer command: the common options added, the origin of every value noted."""
    own = inspect.signature(function, eval_str=True).parameters
    keys = {option.name: key for key, option in signature.options(function).items()}
    extra = {key: value for key, value in _COMMON.items() if key not in own}

    def command(context: typer.Context, **values: Any) -> Any:
        here = config.current()
        for name in values:
            if is_typed(context, name):
                here.origins[keys.get(name, name)] = "option"
        here.values = values
        here.quiet = bool(values.get("quiet"))
        for note in here.notes:
            console.note(note)
        return function(**{name: value for name, value in values.items() if name not in extra})

    added = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for n, (kind, default) in extra.items()
    ]
    head = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [head, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()), *added]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option stood on the command line (as the parser's context has it)."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print versions and exit.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
    config: ConfigFile = None,
) -> None:
    """Repair the bias of long-tailed classifiers: retrain the last layer on cached features.

    Every command takes its values from its options, else LTFIX_COMMAND_OPTION in the environment, else
    ltfix.toml in the working folder (`ltfix init` writes one), else its defaults.
    """
    if version:
        from ltfix.cli.version import versions

        console.write(versions())
    elif context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise SystemExit(UsageError.exit_code)


_QUIET = signature.Parameter("quiet", "--quiet", "--quiet", bool, False, False, "No progress and no notes.")
