"""The command line: a table of commands, and the app that typer makes of it.

Only the command that argv names is imported, so ``ltfix --help`` costs neither torch nor numpy. Each
command is one file with one function; its signature is its options, its docstring its help.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import typer

from ltfix.cli import boundary, config
from ltfix.cli import invocation as frame


class Command(NamedTuple):
    """Where a command lives and what it says in the list of commands."""

    module: str
    function: str
    help: str


COMMANDS = {
    "extract": Command("extract", "extract", "Run a frozen backbone over images and cache its features."),
    "fit": Command("fit", "fit", "Retrain the classifier on cached features and write a head."),
    "evaluate": Command("evaluate", "evaluate", "Print the accuracy of heads for many, medium and few-shot."),
    "compare": Command("compare", "compare", "Fit and score every method with several seeds; one table."),
    "sweep": Command("sweep", "sweep", "Show how a method's accuracy depends on its values."),
    "train-backbone": Command("train", "train_backbone", "Train a backbone from images (stage 1)."),
    "inspect": Command("inspect", "inspect", "Show what a cache, head, run or checkpoint is."),
    "methods": Command("methods", "methods", "List the stage-2 methods, or one with its values."),
    "recipes": Command("recipes", "recipes", "List the stage-1 recipes, or one with its values."),
    "init": Command("init", "init", "Write a commented ltfix.toml."),
    "demo": Command("demo", "demo", "Run the whole pipeline on bundled images in about a minute."),
}


COMPLETE = "_LTFIX_COMPLETE"  # set by the shell functions that typer installs


def load(name: str) -> Callable[..., Any]:
    """The function of one command; imports its file."""
    command = COMMANDS[name]
    function: Callable[..., Any] = getattr(
        importlib.import_module(f"ltfix.cli.{command.module}"), command.function
    )
    return function


_SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def list_app(names: Collection[str] = ()) -> typer.Typer:
    """The app as a whole: the commands in ``names`` with their options, the others as a line of help."""
    app = typer.Typer(name="ltfix", **_SETTINGS)
    app.callback(invoke_without_command=True)(frame.top)
    for name, command in COMMANDS.items():
        function = frame.framed(load(name)) if name in names else _listed
        app.command(name, short_help=command.help)(function)
    return app


def command_app(name: str) -> typer.Typer:
    """One command alone: its help then needs no pydantic, which a group's options would bring in."""
    app = typer.Typer(add_completion=False, **_SETTINGS)
    app.command(name)(frame.framed(load(name)))
    return app


def _listed() -> None:
    """Stands for a command that argv does not name."""


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; results on stdout, all else on stderr."""
    call = frame.split(argv, COMMANDS)
    with config.started() as here, boundary.Boundary(debug=call.debug) as outcome:
        if COMPLETE in os.environ:
            typer.main.get_command(list_app(COMMANDS)).main(call.argv, prog_name="ltfix")
        try:
            _invoke(call)
        finally:
            for act in here.clean_up:
                act()
    return outcome.code


def _invoke(call: frame.Call) -> None:
    """Parse and run; past typer's own ``main``, which would answer a broken pipe or Ctrl-C itself."""
    call.check(COMMANDS)
    path, argv, values = "ltfix", call.argv, {}
    app = command_app(call.command) if call.command else list_app()
    if call.command:
        path, argv = f"ltfix {call.command}", argv[1:]
        if not call.help:
            values = frame.prepare(call, load(call.command), COMMANDS)
    command = typer.main.get_command(app)
    try:
        with command.make_context(path, argv, default_map=values) as context:
            command.invoke(context)
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``argv`` (default: the process's own) and exit with its code."""
    boundary.fill_closed_streams()
    boundary.catch_sigterm()
    raise SystemExit(run(sys.argv[1:] if argv is None else argv))


def script() -> None:
    """The console script: ``main`` in a process of its own, which ends without taking torch apart."""
    code: Any = None

    def end() -> None:
        if code is not None:
            boundary.end_process(code)

    atexit.register(end)  # first, so that it runs last: after those of torch
    try:
        main()
    except SystemExit as done:
        code = done.code
        raise


__all__ = ["COMMANDS", "Command", "config", "load", "main", "run", "script"]
