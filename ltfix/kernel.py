"""The C extension, or its Python twins where it was not built.

The environment variable ``LTFIX_EXTENSION`` chooses, once, at import: unset takes the extension if
it is there, ``0`` never takes it, ``1`` demands it. ``IMPLEMENTATION`` says what was taken.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ltfix.errors import UsageError


class SwitchImportError(UsageError, ImportError):
    """``LTFIX_EXTENSION`` asks for what there is not."""


def _choose(choice: str) -> tuple[ModuleType, str]:
    if choice not in ("", "0", "1"):
        raise SwitchImportError(f"LTFIX_EXTENSION must be unset, 0 or 1, not {choice!r}")
    if choice != "0":
        try:
            found = importlib.import_module("ltfix._pava")
            if choice == "1" and os.scandir in os.supports_fd and not hasattr(found, "look"):
                raise ImportError("it is of an earlier version")
            return found, "c"
        except ImportError as err:
            if choice == "1":
                raise SwitchImportError(
                    "LTFIX_EXTENSION=1 demands the C kernel, and this installation has none that loads: "
                    f"install ltfix again where there is a C compiler ({err})"
                ) from err
    return importlib.import_module("ltfix._pava_py"), "py"


_found, IMPLEMENTATION = _choose(os.environ.get("LTFIX_EXTENSION", ""))


def _function(name: str, twin: str) -> Callable[..., Any]:
    """Of the extension, if it has it, as it has not all on Windows, nor an older one; else of the twin."""
    found: Callable[..., Any] = getattr(_found, name, None) or getattr(importlib.import_module(twin), name)
    return found


pava = _function("pava", "ltfix._pava_py")
"""Isotonic regression, buffers to buffers: `ltfix._pava_py.pava` has the contract."""
samn_scales = _function("samn_scales", "ltfix._samn_py")
"""SAMN's row scales of raw numbers: `ltfix._samn_py.samn_scales` has the contract."""
samn_pullback = _function("samn_pullback", "ltfix._samn_py")
"""The way back of `samn_scales`: `ltfix._samn_py.samn_pullback` has the contract."""
look = _function("look", "ltfix._look_py")
"""Sizes and stamps of files of an open folder: `ltfix._look_py.look` has the contract."""
LOOKS_AT_ONCE = 8 if hasattr(_found, "look") else 1
"""Threads that may look at files at once; without the extension each would wait for the interpreter."""
