"""What a file of another tool holds, as every format's reader gives it, and how its parts are told apart."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import EnvironmentFault, InputError
from ltfix.images.places import open_text

FEATURES = ("features", "embeddings", "embedding", "image_embeds", "feats", "x", "X", "data")
LABELS = ("labels", "label", "targets", "target", "y", "class", "category", "classes")
SAMPLES = ("samples", "filenames", "file_names", "filename", "path", "image_path", "paths", "key")


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """What features and labels are called in a file, where the user says it."""

    features: str | None = None
    labels: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Features of another tool, not read yet where they may be large.

    Attributes:
        parts: [n_i, D] or [n_i, V, D] each, what a slice of rows can be taken of.
        labels: N texts or numbers; None: the file has none.
        samples: N names, or None.
    """

    parts: Sequence[Any]
    labels: np.ndarray | None
    samples: Sequence[str] | None = None


def pick(names: Iterable[str], asked: str | None, usual: Sequence[str], what: str, where: object) -> str:
    """The name that was asked for, else the first of the usual ones that is there.

    Raises:
        InputError: neither is.
    """
    found = choose(names, asked, usual, where)
    if found is None:
        raise InputError(
            f"nothing in it is called as {what} are",
            where=where,
            hint=f"{what}=NAME says which; it has {', '.join(list(names)[:8]) or 'nothing'}",
        )
    return found


def choose(names: Iterable[str], asked: str | None, usual: Sequence[str], where: object) -> str | None:
    """The same; None where nothing is called so and nothing was asked for."""
    known = list(names)
    if asked is not None and asked not in known:
        raise InputError(f"there is no {asked!r} in it", where=where, hint=f"it has {', '.join(known[:8])}")
    return asked or next((name for name in usual if name in known), None)


def from_arrays(arrays: Mapping[str, Any], names: Names, where: Path) -> Found:
    """Features and labels by name among arrays, or the one array that there is."""
    only = next(iter(arrays)) if len(arrays) == 1 else None
    features = pick(arrays, names.features or only, FEATURES, "features", where)
    labels = choose(arrays, names.labels, LABELS, where)
    samples = choose(arrays, None, SAMPLES, where)
    return Found(
        [arrays[features]],
        None if labels is None else np.asarray(arrays[labels]),
        None if samples is None else list(map(text_of, np.asarray(arrays[samples]))),
    )


def text_of(value: Any) -> str:
    """A label or a name, as arrays hold it: text, a number, or bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, but for empty ones.

    Raises:
        InputError: it is no text.
    """
    with open_text(str(path)) as lines:
        return [line.strip() for line in lines if line.strip()]


def need(package: str, extra: str, where: Path) -> Any:
    """A package of an extra.

    Raises:
        EnvironmentFault: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as err:
        told = f"{package.partition('.')[0]} is not installed"
        raise EnvironmentFault(told, where=where, hint=f'pip install "ltfix[{extra}]"') from err
