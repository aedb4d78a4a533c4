"""Features that other tools wrote, in a file or in memory: what they must be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix.errors import InputError, LtfixError, nearest
from ltfix.heads.vectors import numpy_of
from ltfix.numerals import MOST_CLASSES, counted, missing, no_label, whole_number
from ltfix.tensorfile import load_tensors, read_npz

USUAL = {
    "features": ("features", "X", "x", "embeddings", "embedding", "image_embeds", "feats", "data"),
    "labels": ("labels", "y", "targets", "label", "target", "class", "category", "classes"),
}
"""What the two arrays of a cache may be called in a file, where nobody says so."""
Keys = Mapping[str, str | None]
"""What the two are called in a file, as the user says it."""
AS_USUAL: Keys = {}
HEAD = ("head.weight", "head.bias")
"""What the arrays of the stage-1 classifier are called in a file."""


def load_npz(path: Path, keys: Keys = AS_USUAL) -> dict[str, np.ndarray]:
    """Read the arrays of a cache from an ``.npz`` into memory, without unpickling; others are ignored.

    Args:
        keys: what they are called there, see :func:`names_in`.

    Raises:
        InputError, EnvironmentFault: as :func:`read_npz`.
    """

    def wanted(found: set[str]) -> dict[str, str]:
        return names_in(found, path, keys) | {name: name for name in HEAD if name in found}

    return read_npz(path, wanted)


def names_in(found: Iterable[str], where: Path, keys: Keys) -> dict[str, str]:
    """What ``features`` and ``labels`` are called in a file.

    Args:
        found: the names of all arrays in it. keys: the name of each of the two, as the user says it; None
            or absent: the first of the ``USUAL`` ones that is there.

    Raises:
        InputError: one is missing; what the file holds instead is said.
    """
    names = set(found)
    own: dict[str, str] = {}
    missing: list[str] = []
    for name, usual in USUAL.items():
        asked = keys.get(name)
        known = [key for key in ((asked,) if asked else usual) if key in names]
        own |= {name: known[0]} if known else {}
        missing += [] if known else [asked or name]
    if not missing:
        return own
    shown = sorted(names)
    holds = ", ".join(shown[:6]) + (", …" if len(shown) > 6 else "") if shown else "nothing"
    lacks = " and ".join(f"{name}_key=…" for name in USUAL if name not in own)
    hint = f"a cache has features [n, D] or [n, V, D] and labels [n]; {lacks} names what is called otherwise"
    raise InputError(f"no tensor {' and no tensor '.join(missing)}; it holds {holds}", where=where, hint=hint)


def of_arrays(features: Any, labels: Any, where: Path) -> dict[str, np.ndarray]:
    """Arrays, tensors, tables or lists as arrays of a cache (InputError: no numbers, or of other lengths)."""
    try:
        x, y = numpy_of(features), numpy_of(labels)
        return {"features": x if x.dtype.kind == "f" else x.astype(np.float32), "labels": y}
    except (TypeError, ValueError) as err:
        raise InputError(f"these are no arrays of numbers: {err}", where=where) from err


def features_and_labels(
    tensors: Mapping[str, np.ndarray], where: Path, keys: Keys = AS_USUAL
) -> tuple[np.ndarray, np.ndarray]:
    """``features`` as [n, V, D] float16|float32 and ``labels`` as [n] int64 or text, checked (InputError)."""
    own = names_in(tensors, where, keys)
    features, labels = tensors[own["features"]], tensors[own["labels"]]
    if not features.dtype.isnative:
        features = features.astype(features.dtype.newbyteorder("="))
    if features.dtype == np.float64:
        with np.errstate(over="ignore"):  # what overflows is Inf, and the row is named on first use
            features = features.astype(np.float32)
    if features.dtype not in (np.float16, np.float32):
        raise InputError(f"features are {features.dtype}, expected float16 or float32", where=where)
    if features.ndim == 2:
        features = features[:, None, :]
    if features.ndim != 3 or 0 in features.shape[1:]:
        raise InputError(f"features must be [n, D] or [n, V, D], found {list(features.shape)}", where=where)
    if labels.ndim != 1 or len(labels) != len(features):
        told = f"labels must be [{len(features)}], found {list(labels.shape)}"
        raise InputError(told, where=where, hint=labels_hint(labels.shape))
    return features, labels if _is_text(labels) else _whole_labels(labels, where)


def labels_hint(shape: Sequence[int]) -> str:
    """What makes one label a row of what has this shape."""
    if len(shape) != 2:
        return "one label for each row of features, in their order"
    return "labels[:, 0] has one a row" if shape[1] == 1 else "of one-hot rows labels.argmax(1) has one a row"


def ask_from_1(counts: np.ndarray, classes: Sequence[str] | None) -> str | None:
    """What to ask where class 0 alone has no sample, and is known by its number."""
    alone = len(counts) > 1 and not counts[0] and bool(counts[1:].all())
    return "are the labels counted from 1?" if alone and (classes or "0")[0] == "0" else None


def layer_among(names: Iterable[str]) -> str | None:
    """A layer, ``fc`` of ``fc.weight``, that may be the classifier of the features beside it, if any."""
    return next((n.removesuffix(".weight") for n in names if n.endswith(".weight") and n not in HEAD), None)


def unread_layer(path: Path) -> str | None:
    """:func:`layer_among` the arrays of a file of features, which nobody looks at who reads it in place."""
    seen: list[set[str]] = [set()]

    def nothing(names: set[str]) -> dict[str, str]:
        seen.append(names)
        return {}

    with contextlib.suppress(LtfixError):  # something else lies there by now
        if path.suffix == ".npz" and path.is_file():
            read_npz(path, nothing)
        elif path.suffix == ".safetensors" and path.is_file():
            seen.append(set(load_tensors(path)[0]))
    return layer_among(sorted(seen[-1]))


def number_labels(
    labels: np.ndarray, where: Path, known: Sequence[str] | None, least: int = 0
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels [n] as int64, and the class names that they index, where labels are names; else None.

    Texts that are all whole numbers are class indices, called as they count.

    Args:
        known: the names in the order of their numbers; None: all that occur, sorted.
        least: K, where a classifier says it.

    Raises:
        InputError: a name is none of those known, and its row is named; or none is known.
    """
    if not _is_text(labels):
        return labels, None
    texts, rows = np.unique(labels.astype(str), return_inverse=True)
    names: list[str] = texts.tolist()
    if (found_at := missing(names, () if known is None else known)) is not None:
        raise _unlabelled(int(np.argmax(rows == found_at)), names[found_at], where)
    whole = [number for number in map(whole_number, names) if number is not None]
    digits = len(whole) == len(names)
    if known is None or not len(known):
        if digits:
            found = np.array([min(max(n, -1), MOST_CLASSES) for n in whole], np.int64)[rows]
            k = least or int(found.max(initial=-1)) + 1
            return found, counted(k) if known is None and k <= MOST_CLASSES else None
        if known is None:
            return rows, tuple(names)
        what = "its labels are names, where the classes are known by their numbers alone"
        hint = "give numbers here too, or names when fitting: of arrays in Python ltfix.Head(weight, bias, "
        hint += "classes=NAMES)"
        raise InputError(what, where=where, hint=hint)
    index = {name: number for number, name in enumerate(known)}
    if digits:  # 07 is class 7
        names = [name if name in index else str(n) for name, n in zip(names, whole, strict=True)]
    strange = [name not in index for name in names]
    if any(strange):
        row = int(np.flatnonzero(np.array(strange)[rows])[0])
        name = str(labels[row])
        what = f"label {name!r} of row {row} is none of the {len(known)} classes"
        raise InputError(what, where=where, hint=nearest(name, known))
    return np.array([index[name] for name in names], np.int64)[rows], tuple(known)


def demand_numbers(classes: Sequence[str], where: Path) -> None:
    """Refuse labels that are numbers where classes are known by names in another order (InputError)."""
    if tuple(classes) != counted(len(classes)):
        what = f"its labels are numbers, where the classes are known by names, as {classes[0]!r}"
        hint = "give names here too, as numpy.array(names)[labels]; where 0 is this class and so on, "
        hint += "`ltfix.import_features(..., classes=FILE)` says so, by a file of the names in this order"
        raise InputError(what, where=where, hint=hint)


def _unlabelled(row: int, text: str, where: Path) -> InputError:
    what, hint = no_label(text, "`ltfix.import_features(..., classes=FILE)` (of arrays open_cache) names all")
    return InputError(what.replace("the row", f"row {row}"), where=where, hint=hint)


def _is_text(labels: np.ndarray) -> bool:
    objects = labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels)
    return objects or labels.dtype.kind == "U"


def _whole_labels(labels: np.ndarray, where: Path) -> np.ndarray:
    """Labels [n] as int64: integers of any width, or floats that are whole numbers (else InputError)."""
    kind, told = labels.dtype.kind, f"labels are {labels.dtype}, expected integers"
    if kind == "O" and (row := missing(map(str, labels))) is not None:  # None, NaN, pandas' NA
        raise _unlabelled(row, labels[row] if isinstance(labels[row], str) else "", where)
    if kind not in "iuf":
        raise InputError(told, where=where, hint="labels.astype(int) converts them, or .astype(str)")
    if kind == "f":
        labels = labels.astype(np.float64)
        bad = ~np.isfinite(labels) | (labels != np.rint(labels))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            if np.isnan(labels[row]):
                raise _unlabelled(row, "", where)
            hint = "a label is the number of its class, from 0 to K - 1"
            raise InputError(f"label {labels[row]} of row {row} is no whole number", where=where, hint=hint)
    large = (labels >= 2**63) | (labels < -(2**63))
    if large.any():
        row = int(np.flatnonzero(large)[0])
        raise InputError(f"label {int(labels[row])} of row {row} is no class index", where=where)
    return labels.astype(np.int64)
