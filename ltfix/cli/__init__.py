"""The command line: one command line in, text and an exit code out.

Only the command that argv names is imported, so ``ltfix --help`` costs neither torch nor numpy. Each
command is one file with one function; its signature is its options, its docstring its help.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import typer

from ltfix.cli import boundary, commands, config, invocation, manual, signals

COMPLETE = "_LTFIX_COMPLETE"  # set by the shell functions that typer installs
_SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def list_app(names: Collection[str] = ()) -> typer.Typer:
    """The app as a whole: the commands in ``names`` with their options, the others as a line of help."""
    app = typer.Typer(name="ltfix", **_SETTINGS)
    app.callback(invoke_without_command=True)(invocation.top)
    for name, command in commands.COMMANDS.items():
        function = invocation.framed(name, commands.load(name)) if name in names else _listed
        app.command(name, short_help=command.help)(function)
    return app


def command_app(name: str) -> typer.Typer:
    """One command alone: its help then needs no pydantic, which a group's options would bring in."""
    app = typer.Typer(add_completion=False, **_SETTINGS)
    app.command(name, cls=manual.GroupedCommand)(invocation.framed(name, commands.load(name)))
    return app


def _listed() -> None:
    """Stands for a command that argv does not name."""


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; results on stdout, all else on stderr."""
    with config.started() as here, boundary.Boundary() as outcome:
        if COMPLETE in os.environ:
            typer.main.get_command(list_app(commands.COMMANDS)).main(list(argv), prog_name="ltfix")
        try:
            _invoke(argv)
        finally:
            for act in here.clean_up:
                act()
    return outcome.code


def _invoke(argv: Sequence[str]) -> None:
    """Parse and run; past typer's own ``main``, which would answer a broken pipe or Ctrl-C itself."""
    warnings.filterwarnings("ignore", module="PIL")  # what matters in them is an error of ours
    name, rest = invocation.split(argv, commands.COMMANDS)
    if name is not None:
        invocation.demand_texts(rest, commands.load(name))
        rest = invocation.fill_in(rest, commands.load(name))
    command = typer.main.get_command(list_app() if name is None else command_app(name))
    try:
        with command.make_context("ltfix" if name is None else f"ltfix {name}", rest) as context:
            command.invoke(context)
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None


def main(argv: Sequence[str] | None = None, *, last: bool = False) -> None:
    """Run ``argv`` (default: the process's own) and exit with its code; ``last``: the process ends then."""
    boundary.fill_closed_streams()
    try:
        with signals.caught(last):
            code = run(sys.argv[1:] if argv is None else argv)
    except (KeyboardInterrupt, signals.Terminated) as late:  # on the threshold of the boundary
        code = boundary.interrupted(late)
    raise SystemExit(code)


def script() -> None:
    """The console script: ``main`` in a process of its own, which ends without taking torch apart."""
    code: Any = None

    def end() -> None:
        if code is not None:
            boundary.end_process(code)

    atexit.register(end)  # first, so that it runs last: after those of torch
    try:
        main(last=True)
    except SystemExit as done:
        code = done.code
        raise
