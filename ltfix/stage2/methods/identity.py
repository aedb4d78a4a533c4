"""What may change a function of the user's, as a digest: by it, heads that an edit made old are known.

That is its file and the modules beside it that the file imports, as they were when first seen, since that is
what runs; the globals that its code names; and what it holds. Of a function of a notebook it is the code in
place of a file.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_INSTALLED = {"site-packages", "dist-packages"}
_OURS = re.compile(r"ltfix(\.|$)")
_SEEN: weakref.WeakKeyDictionary[Any, dict[str, tuple[Any, str]]] = weakref.WeakKeyDictionary()
"""Of a module the hash of its file since it was loaded, and of a function those of tables and lists that it
names, which a call may fill: with what each is of, so that another one is told."""


def digest(function: Any) -> str:
    """Twelve hexadecimal digits of all that may change a function, an object with one, a file or a head."""
    return _sha256(_decides(function, set()))[:12]


def _sha256(value: Any) -> str:
    return hashlib.sha256(re.sub(r" at 0x\w+", "", repr(value)).encode()).hexdigest()


def _decides(function: Any, seen: set[int]) -> list[Any]:
    """The files, else the code, of a function or an object's class, with what it names and holds."""
    from ltfix.heads.head import Head

    if isinstance(function, Path):
        return [function.read_bytes()]
    if isinstance(function, Head):
        return [function.pack("init")]
    if isinstance(function, functools.partial):
        return [_decides(function.func, seen), _stable([function.args, function.keywords])]
    with contextlib.suppress(ValueError):
        function = inspect.unwrap(function)  # of a decorator the file is another
    plain = hasattr(function, "__code__")
    held = getattr(function, "__self__", None) if plain else function
    own = [getattr(function, "__func__", function)] if plain else list(vars(type(function)).values())
    own = [each for each in own if isinstance(each, FunctionType)]
    has_state = hasattr(held, "__dict__") and not isinstance(held, type)
    state: list[Any] = [_stable(vars(held)) if has_state else None]
    for each in own if plain else ():
        state += [_stable([each.__dict__, each.__defaults__, each.__kwdefaults__, _closure(each)])]
    state += [[_named(each, seen) for each in own]]
    try:
        file = Path(inspect.getfile(function if plain else type(function)))
        module = sys.modules.get(getattr(function, "__module__", None) or "")
        return [_first(module, file), *(_first(*each) for each in _beside(module, file)), *state]
    except (TypeError, OSError):  # of a notebook or a shell
        return [[_code(each.__code__) for each in own], *state]


def _closure(function: FunctionType) -> list[Any]:
    cells = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # which nothing was put into yet
            cells.append(cell.cell_contents)
    return cells


def _first(module: ModuleType | None, file: Path) -> str:
    """The hash of a module's file when it was first seen since it was loaded; without a module, now."""
    kept = {} if module is None else _SEEN.setdefault(module, {})
    loaded = getattr(module, "__spec__", None)  # another one after a reload
    if str(file) not in kept or kept[str(file)][0] is not loaded:
        kept[str(file)] = loaded, hashlib.sha256(file.read_bytes()).hexdigest()
    return kept[str(file)][1]


def _beside(module: ModuleType | None, file: Path) -> list[tuple[ModuleType, Path]]:
    """The modules below the folder of ``file`` that are imported there, and those that these import."""
    found, left = dict[Path, ModuleType](), [module]
    while left:
        here = left.pop()
        for value in [] if here is None else list(vars(here).values()):
            of = _module_of(value)
            path = Path(getattr(of, "__file__", None) or "")
            own = path.suffix == ".py" and path.is_relative_to(file.parent) and not _is_shared(path)
            if of is not None and own and path not in (file, *found):
                found[path] = of
                left.append(of)
    return [(found[path], path) for path in sorted(found)]


def _module_of(value: Any) -> ModuleType | None:
    """A module itself, or that of a function, a class or an object; none of ltfix's."""
    with contextlib.suppress(Exception):  # an object may answer with anything
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        return None if _OURS.match(name) else sys.modules.get(name)
    return None


def _named(function: FunctionType, seen: set[int]) -> list[tuple[str, Any]]:
    """The globals that a function's code names: data, and functions that are not installed ones."""
    found: list[tuple[str, Any]] = []
    kept = _SEEN.setdefault(function, {})
    stored = {each.argval for each in dis.get_instructions(function) if each.opname == "STORE_GLOBAL"}
    for name in sorted(({*_names(function.__code__)} - stored) & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, FunctionType):
            if id(value) not in seen and not _is_installed(value):
                seen.add(id(value))
                found.append((name, _decides(value, seen)))
        elif isinstance(value, list | dict | set):
            if name not in kept or kept[name][0] is not value:
                kept[name] = value, _sha256(_stable(value))
            found.append((name, kept[name][1]))
        elif isinstance(value, bool | int | float | complex | str | bytes | tuple | frozenset) or _is_array(
            value
        ):
            found.append((name, _stable(value)))
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _code(code: CodeType) -> list[Any]:
    """Code without the places where it stands."""
    inner = [_code(each) if isinstance(each, CodeType) else _stable(each) for each in code.co_consts]
    return [code.co_code, inner, code.co_names]


def _stable(value: Any, within: frozenset[int] = frozenset()) -> Any:
    """A value as two processes print it alike: arrays by bytes, sets in order, functions by their code."""
    inner = within | {id(value)}
    if id(value) in within or isinstance(value, type):
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, list | tuple):
        return [_stable(each, inner) for each in value]
    if isinstance(value, dict):
        return [(_stable(key, inner), _stable(each, inner)) for key, each in list(value.items())]
    if isinstance(value, set | frozenset):
        return sorted(repr(_stable(each, inner)) for each in value)
    if isinstance(value, FunctionType):
        held = [value.__defaults__, value.__kwdefaults__, _closure(value)]
        return [_code(value.__code__), _stable(held, inner)]
    return _of_array(value, inner) if _is_array(value) else _word(value)


def _of_array(value: Any, within: frozenset[int]) -> list[Any]:
    with contextlib.suppress(Exception):  # sparse, or without memory of its own
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
        data = hashlib.sha256(value.tobytes()).hexdigest()
        return [
            str(value.dtype),
            value.shape,
            _stable(value.tolist(), within) if value.dtype == object else data,
        ]
    return [type(value).__name__]


def _word(value: Any) -> str:
    with contextlib.suppress(Exception):
        return repr(value)
    return type(value).__name__


def _is_array(value: Any) -> bool:
    """Whether it is one of numpy or torch, neither of which is imported for that."""
    kinds = (("numpy", "ndarray"), ("numpy", "generic"), ("torch", "Tensor"))
    known = (getattr(sys.modules.get(of), name, None) for of, name in kinds)
    return isinstance(value, tuple(kind for kind in known if kind is not None))


def _is_installed(function: FunctionType) -> bool:
    ours = _OURS.match(function.__module__ or "")
    return bool(ours) or _is_shared(Path(function.__code__.co_filename))


def _is_shared(path: Path) -> bool:
    """Whether a file is of Python or of an installed package."""
    return bool({*path.parts} & _INSTALLED) or path.is_relative_to(sysconfig.get_path("stdlib"))
