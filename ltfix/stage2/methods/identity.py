"""What may change a function of the user's, as a digest: by it, heads that an edit made old are known.

That is its file, the modules beside it that the file imports, globals that its code names, and what it
holds; of a function of a notebook the code in place of a file.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_INSTALLED = {"site-packages", "dist-packages"}
_OURS = re.compile(r"ltfix(\.|$)")


def digest(function: Any) -> str:
    """Twelve hexadecimal digits of all that may change a function, an object with one, a file or a head."""
    return hashlib.sha256(re.sub(r" at 0x\w+", "", repr(_decides(function, set()))).encode()).hexdigest()[:12]


def _decides(function: Any, seen: set[int]) -> list[Any]:
    """The file, else the code, of a function or an object's class, with what it imports, names and holds."""
    from ltfix.heads.head import Head

    if isinstance(function, Path):
        return [function.read_bytes()]
    if isinstance(function, Head):
        return [function.pack("init")]
    if isinstance(function, functools.partial):
        return [_decides(function.func, seen), function.args, function.keywords]
    plain = hasattr(function, "__code__")
    state = [vars(function) if hasattr(function, "__dict__") else None]
    own = [function] if plain else list(vars(type(function)).values())
    own = [each for each in own if hasattr(each, "__code__")]
    if plain:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        state += [function.__defaults__, function.__kwdefaults__, cells]
    state += [[_named(each, seen) for each in own]]
    try:
        file = Path(inspect.getfile(function if plain else type(function)))
        return [file.read_bytes(), *(each.read_bytes() for each in sorted(_beside(function, file))), *state]
    except (TypeError, OSError):  # of a notebook or a shell
        codes = [each.__code__ for each in own]
        return [[(code.co_code, code.co_consts, code.co_names) for code in codes], *state]


def _named(function: Any, seen: set[int]) -> list[tuple[str, Any]]:
    """The globals that a function's code names: data, and functions that are not installed ones."""
    found = []
    for name in sorted({*_names(function.__code__)} & function.__globals__.keys()):
        value = function.__globals__[name]
        if hasattr(value, "__code__"):
            if id(value) not in seen and not _is_shared(Path(value.__code__.co_filename)):
                seen.add(id(value))
                found.append((name, _decides(value, seen)))
        elif (data := _data(value)) is not None:
            found.append((name, data))
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _data(value: Any) -> Any:
    """Numbers, words, arrays, lists and tables of them, as what two processes print alike; else None."""
    if isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, list | tuple):
        return [_data(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(_data, value)))
    if isinstance(value, dict):
        return [(_data(key), _data(each)) for key, each in value.items()]
    return value.tolist() if hasattr(value, "tolist") else None


def _beside(function: Any, file: Path) -> set[Path]:
    """The files below the folder of ``file`` that its module imports, and those that these do."""
    found, left = {file}, [sys.modules.get(getattr(function, "__module__", None) or "")]
    while left:
        module = left.pop()
        for value in [] if module is None else list(vars(module).values()):
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            of = sys.modules.get(name) if isinstance(name, str) and not _OURS.match(name) else None
            path = Path(getattr(of, "__file__", None) or "")
            own = path.suffix == ".py" and path.is_relative_to(file.parent) and not _is_shared(path)
            if own and path not in found:
                found.add(path)
                left.append(of)
    return found - {file}


def _is_shared(path: Path) -> bool:
    """Whether a file is of Python or of an installed package."""
    return bool({*path.parts} & _INSTALLED) or path.is_relative_to(sysconfig.get_path("stdlib"))
