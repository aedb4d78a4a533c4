"""Where an option's value comes from: option > environment > ltfix.toml > default.

The parser takes the environment's values by itself and the file's from `read_values`; `origin` tells a
command afterwards which of the four it was.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ltfix.cli.commands import COMMANDS
from ltfix.cli.configfile import FILE_NAME, SHARED_KEYS, may_set, read_tables
from ltfix.cli.signature import Parameter
from ltfix.errors import InputError, LtfixError, UsageError

if TYPE_CHECKING:
    import typer

Origin = Literal["default", "file", "environment", "option"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)  # the last wins
_OWN = re.compile(f"{'|'.join(SHARED_KEYS).upper()}|CONFIG|EXTENSION|SHARED|BUILD_.*")  # of no command
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
    faults: list[UsageError] = field(default_factory=list)  # of the file, which `init` goes on after
    unread: Path | None = None  # another that might have been meant
    work: str | None = None  # as it was typed
    quiet: bool = False
    told: set[str] = field(default_factory=set)  # notes, which are not said again
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
    table = "" if key in here.shared else f"[{here.command}] "
    return f"{here.file}, {table}{key.replace('_', '-')}" if source == "file" else None


def find_file(here: Invocation, typed: str | None) -> None:
    """Choose the file: --config, else $LTFIX_CONFIG, else ltfix.toml in the working folder, else in WORK.

    Raises:
        InputError: the one that is named is not there, or it is no regular file.
    """
    named = typed or os.environ.get("LTFIX_CONFIG")
    first = Path(named or FILE_NAME)
    here.file = first if _is_there(first, bool(named)) else None
    work = here.work or next(filter(None, map(os.environ.get, variables(here.command, "work"))), None)
    if named or not work or "work" not in here.options:
        return
    second = Path(work, FILE_NAME)  # where a folder may be of that name: nobody named it
    if here.file is None:
        here.file = second if not second.is_dir() and _is_there(second, named=False) else None
    elif second.is_file() and not second.samefile(here.file):
        here.unread = second


def _is_there(path: Path, named: bool) -> bool:
    if path.is_file() or str(path) == os.devnull:
        return True
    if path.exists():
        raise InputError("is a folder or a device, not a file", where=path)
    if named or path.is_symlink():
        raise InputError("no such configuration file", where=path, hint="`ltfix init` writes one")
    return False


def read_values(here: Invocation) -> dict[str, Any]:
    """What the file says of the running command's options, by key; `shared` is filled.

    Raises:
        UsageError, InputError, EnvironmentFault: as `read_tables`.
    """
    if here.file is None:
        return {}
    kept = here.faults if here.command == "init" else None  # --check tells them all by itself
    shared, own = read_tables(here.file, here.command, here.options, kept)
    here.shared = set(shared) - set(own)
    return {**shared, **own}


def of_extract(*keys: str, project: Path = Path()) -> list[str]:
    """What the file, else the project's, has for these options of ``extract``, paths as seen from here."""
    own, file = current().file, project / FILE_NAME
    try:
        there = (own or file).is_file()
        known = read_tables(own or file, "extract", may_set("extract"))[1] if there else {}
    except LtfixError:
        if own:
            raise
        return []  # of a project that nobody named
    return [known[key] for key in keys if key in known]


def unknown_variables(command: str, parameters: Mapping[str, Parameter]) -> list[str]:
    """Variables that look like an option of ``command`` and are none."""
    prefix = variable(command)
    return sorted(
        v for v in os.environ if v.startswith(prefix) and v[len(prefix) :].lower() not in parameters
    )


def unread_variables(command: str, parameters: Mapping[str, Parameter]) -> dict[str, str | None]:
    """Variables that no command reads, each with the one of ``command`` that was meant, if any.

    It was where the name is nearly that one, or is the option's without the command. What is but near to an
    option's name, as ``LTFIX_TESTS``, may be another tool's.
    """
    bare = {key.upper(): variable(command, key) for key in parameters}
    known = {full.removeprefix("LTFIX_"): full for full in bare.values()}
    known |= {key.upper(): f"LTFIX_{key.upper()}" for key in SHARED_KEYS}
    found: dict[str, str | None] = {}
    for name in sorted(v.removeprefix("LTFIX_") for v in os.environ if v.startswith("LTFIX_")):
        whole = f"LTFIX_{name}"
        whose = next((other for other in COMMANDS if whole.startswith(variable(other))), None)
        if whose and whole[len(variable(whose)) :].lower() not in may_set(whose):
            found[whole] = None
        elif not whose and not _OWN.fullmatch(name):
            close = difflib.get_close_matches(name, known, 1, 0.75)
            found[whole] = bare.get(name) or (known[close[0]] if close else None)
    return found


def variable(command: str, key: str = "") -> str:
    """The environment variable of a command's option; without ``key``, how those of the command begin."""
    return f"LTFIX_{command}_{key}".replace("-", "_").upper()


def variables(command: str, key: str) -> list[str]:
    """Every variable that sets a command's option, the one that wins first."""
    return [variable(command, key), *([f"LTFIX_{key.upper()}"] if key in SHARED_KEYS else [])]
