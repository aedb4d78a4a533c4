"""Methods and losses of one's own: a name in a Python file, ``my.py:NAME``, and plain functions as losses."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ltfix import files
from ltfix.errors import InputError, UsageError, nearest
from ltfix.stage2.methods.parts import LARGEST, Part, Value

AUTOGRAD = "ltfix.stage2.losses.own:Autograd"


def own_loss(function: Callable[..., Any]) -> Part:
    """The record of a loss that is a function of logits [n, K], labels [n] and, if it likes, ``counts``.

    Its further parameters with a number as default are its values; a whole number asks for such.

    Raises:
        UsageError: it is a class, or a further parameter has no default.
    """
    if isinstance(function, type):
        hint = "give a function of logits and labels, or an instance of it"
        raise UsageError(f"the loss {function.__name__} is a class", where="loss", hint=hint)
    name = re.sub(r"\W", "", getattr(function, "__name__", type(function).__name__))
    further = {k: p for k, p in list(parameters(function).items())[2:] if k != "counts"}
    for key, p in further.items():
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            hint = f"write `{key}=1.0` there: with a number as default it is a value, to be given and swept; "
            hint += "the training counts are given to a parameter that is called `counts`"
            raise UsageError(
                f"the loss {name} has a parameter without default: {key}", where="loss", hint=hint
            )
    values = {
        key: Value(p.default, f"of the loss {name}", low=-LARGEST, side_by_side=True)
        for key, p in further.items()
        if isinstance(p.default, int | float) and not isinstance(p.default, bool)
    }
    return Part(name or "own", "loss", AUTOGRAD, values, own=function, by_autograd=True)


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Of a function; none of a builtin."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def from_file(text: str, where: str) -> Any:
    """What a Python file has under a name, ``path/my.py:NAME``; the file is run once while it stays the same.

    Raises:
        UsageError: it has no such name, or none is said, or it fails. InputError: there is no such file.
    """
    if text.endswith(".py"):
        raise UsageError(f"{text} may hold several", where=where, hint=f"say which: {text}:NAME")
    place, _, name = text.rpartition(":")
    path = Path(place)
    if path.suffix != ".py" or not path.is_file():
        beside = [str(one) for one in path.parent.glob("*.py")] if path.suffix == ".py" else []
        near = nearest(place, beside) if beside else f"no Python file is in {path.parent.absolute()}"
        hint = near if path.suffix == ".py" else "write it as my.py:NAME"
        raise InputError(f"no such Python file: {place!r}", where=where, hint=hint)
    module = _module(path.resolve(), files.sha256_file(path))
    if not hasattr(module, name):
        own = {k: v for k, v in vars(module).items() if not isinstance(v, ModuleType | type)}
        known = [key for key in own if not key.startswith("_")]
        raise UsageError(f"{place} has no {name!r}", where=where, hint=nearest(name, known))
    return getattr(module, name)


def told(err: Exception, file: str) -> str:
    """What went wrong in code of the user's, and in which line of the file."""
    lines = [f.lineno for f in traceback.extract_tb(err.__traceback__) if f.filename == file]
    return f"{type(err).__name__}: {err}" + (f", in line {lines[-1]}" if lines else "")


@functools.lru_cache(maxsize=16)
def _module(path: Path, sha256: str) -> ModuleType:
    name = f"ltfix_own_{path.stem}_{sha256[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError("not a Python file", where=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as dataclasses and pickle ask for it
    sys.path.insert(0, str(path.parent))  # where modules beside the file are found
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        del sys.modules[name]
        raise UsageError(f"the file fails: {told(err, str(path))}", where=path) from err
    finally:
        sys.path.remove(str(path.parent))
    return module
