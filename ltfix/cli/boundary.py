"""The error boundary: any failure becomes one line on stderr and an exit code.

0 done, 1 a gate missed, 2 usage, 3 bad input, 4 the environment, 70 a fault of ltfix itself,
130 and 143 interrupted, 141 the reader of stdout went away.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from ltfix.cli import config
from ltfix.cli.commands import RESUMED
from ltfix.cli.configfile import unknown_name
from ltfix.cli.printable import printable
from ltfix.cli.signals import ENDINGS, Terminated
from ltfix.cli.spelling import is_set, spell_error
from ltfix.errors import EnvironmentFault, LtfixError, UsageError, nearest
from ltfix.ranks import first_to_tell

INTERNAL, BROKEN_PIPE = 70, 141
_NO_MEMORY = ("can't allocate memory", "not enough memory", "can't start new thread", "bad_alloc")
_PLAIN = {  # typer's words -> ours
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "not a whole number",
    "Input should be a valid number, unable to parse string as a number": "not a number",
    "Input should be a valid boolean, unable to interpret input": "not a yes or no, write 1 or 0",
}


def fill_closed_streams() -> None:
    """Stand the null device in for a stream closed before the start (``>&-``), its number included."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for the whole process


def end_process(code: int) -> None:
    """End here and now: taking torch apart would cost 0.4 s and 100 MiB more than the work needed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # gone, closed
            stream.flush()
    os._exit(code)


class Boundary:
    """``with Boundary() as outcome``: swallows every exception into ``outcome.code``."""

    code = 0

    def __enter__(self) -> Boundary:
        return self

    def __exit__(self, kind: Any, err: BaseException | None, trace: TracebackType | None) -> bool:
        try:
            if err is None:
                sys.stdout.flush()
                return True
        except BaseException as late:
            err = late
        tells = isinstance(err, BrokenPipeError | SystemExit) or first_to_tell()
        if tells and config.current().debug and not isinstance(err, SystemExit | BrokenPipeError):
            sys.stderr.write(printable("".join(traceback.format_exception(err))))
        with contextlib.nullcontext() if tells else contextlib.redirect_stderr(io.StringIO()):
            self.code = self._answer(err)
        return True

    def _answer(self, err: BaseException) -> int:
        if isinstance(err, SystemExit):
            return err.code if isinstance(err.code, int) else int(err.code is not None)
        if isinstance(err, BrokenPipeError):
            _abandon_stdout()
            return BROKEN_PIPE
        if isinstance(err, KeyboardInterrupt | Terminated):
            return interrupted(err)
        known = understand(err)
        if known is not None:
            say(f"ltfix: error: {spell_error(known)}")
            return known.exit_code
        hint = "" if config.current().debug else ": --debug shows the traceback"
        say(f"ltfix: error: unexpected {type(err).__name__}: {err}{hint}")
        return INTERNAL


def interrupted(err: BaseException) -> int:
    """Say which signal it was, and whether the command goes on when it is given again; its exit code."""
    word, code = next(ending[1:] for ending in ENDINGS.values() if isinstance(err, ending[0]))
    here = config.current()
    auto = here.values.get("method") == "auto"
    kept, anew = ("methods", "") if auto else RESUMED.get(here.command, ("", ""))
    goes_on = f"; finished {kept} are kept, and the same command again goes on from there"
    say(f"ltfix: {word}{goes_on if kept and not here.values.get(anew) else ''}")
    return code


def understand(err: BaseException) -> LtfixError | None:
    """The LtfixError that ``err`` is or stands for; None for a fault of the program itself."""
    if isinstance(err, LtfixError):
        return err
    if hasattr(err, "format_message"):  # typer's own, whichever click it brings
        return _usage(err)
    if isinstance(err, MemoryError) or _is_torch_oom(err) or (isinstance(err, SystemError) and _is_limited()):
        return EnvironmentFault("out of memory", hint="use a smaller batch or fewer workers")
    if isinstance(err, OSError):
        return _from_os(err)
    return _from_import(err) if isinstance(err, ImportError) else None


def _from_import(err: ImportError) -> LtfixError | None:
    if any(told in str(err).lower() for told in ("failed to map segment", "cannot allocate memory")):
        return EnvironmentFault("out of memory while a package loads", hint="raise the limit (ulimit -v)")
    if re.search(r"\.so[.\d]*: ", str(err)):
        return EnvironmentFault(f"a package does not load: {err}")
    if isinstance(err, ModuleNotFoundError) and err.name and not err.name.startswith("ltfix"):
        package = err.name.partition(".")[0]
        return EnvironmentFault(f"{package} is not installed", hint=f"pip install {package}")
    return None


def _is_torch_oom(err: BaseException) -> bool:
    """torch.OutOfMemoryError, or the CPU allocator's RuntimeError; told without importing torch."""
    named = any(c.__name__ == "OutOfMemoryError" for c in type(err).__mro__)
    text = str(err)
    return named or (isinstance(err, RuntimeError) and any(told in text for told in _NO_MEMORY))


def _is_limited() -> bool:
    """Whether the shell limits memory: extensions that run out of it raise errors that do not say so."""
    try:
        import resource
    except ImportError:  # not POSIX
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _from_os(err: OSError) -> LtfixError:
    from ltfix.files import os_errors

    try:
        with os_errors(err.filename or "the file system"):
            raise err
    except LtfixError as fault:
        return fault


def _usage(err: Any) -> UsageError:
    """Typer's message in the one-line form, with the nearest option for an unknown one."""
    context = getattr(err, "ctx", None)
    where = getattr(context, "command_path", None) or f"ltfix {config.current().command}".strip()
    option, help_hint = getattr(err, "option_name", None), f"see `{where} --help`"
    if option and hasattr(err, "possibilities"):
        known = [o for p in context.command.params for o in (*p.opts, *p.secondary_opts)] if context else []
        near = nearest(option.lstrip("-"), ["help", *(k[2:] for k in known if k.startswith("--"))], "--{}")
        name, command = option.lstrip("-").replace("-", "_"), config.current().command
        own = near if near.startswith("did you mean") else None
        hint = (unknown_name(command, name, near) if context and command else own) or help_hint
        if is_set(name):
            hint = f"write --set {name.replace('_', '-')}=…"
        if name == "loss" and "--methods" in known:
            hint = "a row has its own: --methods ce:loss=NAME"
        return UsageError(f"no such option: {option}", where=where, hint=hint)
    text = " ".join(err.format_message().split()).rstrip(".")
    for theirs, ours in _PLAIN.items():
        text = text.replace(theirs, ours)
    if "unexpected extra argument" in text:
        help_hint = _one_alone(context, help_hint)
    if getattr(getattr(err, "param", None), "name", "") == "seeds":
        help_hint = "say how many; --seed N is the first of them"
    return UsageError(text[:1].lower() + text[1:], where=_place(err, context) or where, hint=help_hint)


def _one_alone(context: Any, help_hint: str) -> str:
    """What to do about one word too many: more than a command takes, or the rest of a list."""
    if config.current().command == "predict":
        return "`ls new/*.jpg | ltfix predict HEAD --data -` takes several pictures, `--data new` a folder"
    parameters = context.command.params if context else []
    told = [f"it takes one {p.metavar}" for p in parameters if p.param_type_name == "argument"]
    typed = [p for p in parameters if p.param_type_name == "option" and not p.is_flag]
    if any(config.source_of(context, p.name) == "option" for p in typed):
        told.append("a list has no blanks (A,B)")
    return "; ".join((*(told or ["it takes options alone"]), help_hint))


def _place(err: Any, context: Any) -> str | None:
    """Where a wrong value stands if it was not typed: a variable, or a key of the file."""
    parameter = getattr(err, "param", None)
    if parameter is None or context is None:
        return None
    return config.place(parameter.name, config.source_of(context, parameter.name))


def say(text: str) -> None:
    """One line on stderr, whatever line breaks the message brought along."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(" ".join(text.split())), file=sys.stderr, flush=True)


def _abandon_stdout() -> None:
    """Point stdout nowhere, so that the interpreter's last flush is quiet too."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
