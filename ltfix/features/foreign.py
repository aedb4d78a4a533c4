"""Features that other tools wrote: what a bare file must hold."""

from __future__ import annotations

import lzma
import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ltfix.errors import EnvironmentFault, InputError
from ltfix.files import demand_regular, os_errors

_WANTED = ("features", "labels", "head.weight", "head.bias")
_TORN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,  # an unknown compression
    OverflowError,
    RuntimeError,  # encrypted
    SyntaxError,
    TypeError,
    ValueError,
)


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a cache from an ``.npz`` into memory, without unpickling; others are ignored.

    Raises:
        InputError: torn, not an ``.npz``, or with pickled objects in it.
        EnvironmentFault: it does not fit into memory.
    """
    demand_regular(path)
    with os_errors(path):
        try:
            with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's about old headers, which it reads all the same
                found = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
                require_tensors(found, path)
                return {name: _member(archive, f"{name}.npy") for name in _WANTED if name in found}
        except _TORN as err:
            raise InputError(f"not a readable .npz: {err}", where=path) from err
        except MemoryError as err:
            raise EnvironmentFault(
                "it does not fit into memory", where=path, hint="a .safetensors file is mapped instead"
            ) from err


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array; its header is held against the member's length before memory is taken for it."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(member)
        length = member.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects")
    if length != archive.getinfo(name).file_size:
        raise ValueError(f"the shape of {name} does not fit its length")
    with archive.open(name) as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))


def require_tensors(found: Iterable[str], where: Path) -> None:
    """Refuse a file without ``features`` or ``labels``.

    Raises:
        InputError: saying what it holds instead.
    """
    names = set(found)
    missing = [name for name in ("features", "labels") if name not in names]
    if not missing:
        return
    shown = sorted(names)
    holds = ", ".join(shown[:6]) + (", …" if len(shown) > 6 else "") if shown else "nothing"
    raise InputError(
        f"no tensor {' and no tensor '.join(missing)}; it holds {holds}",
        where=where,
        hint="a cache has features [n, D] or [n, V, D] and labels [n]",
    )


def features_and_labels(tensors: Mapping[str, np.ndarray], where: Path) -> tuple[np.ndarray, np.ndarray]:
    """Check and shape ``features`` to [n, V, D] float16|float32 and ``labels`` to [n] int64.

    Raises:
        InputError: one is missing or has a wrong shape or dtype.
    """
    require_tensors(tensors, where)
    features, labels = tensors["features"], tensors["labels"]
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
        raise InputError(f"labels must be [{len(features)}], found {list(labels.shape)}", where=where)
    return features, _whole_labels(labels, where)


def _whole_labels(labels: np.ndarray, where: Path) -> np.ndarray:
    """Labels [n] as int64: integers of any width, or floats that are whole numbers.

    Raises:
        InputError: another kind, a fraction, or a number that int64 does not hold; its row is named.
    """
    kind, told = labels.dtype.kind, f"labels are {labels.dtype}, expected integers"
    if kind not in "iuf":
        by_name = "number them: np.unique(labels, return_inverse=True)[1]" if kind in "US" else None
        raise InputError(told, where=where, hint=by_name or "labels.astype(int) converts them")
    if kind == "f":
        labels = labels.astype(np.float64)
        bad = ~np.isfinite(labels) | (labels != np.rint(labels))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            hint = "a label is the number of its class, from 0 to K - 1"
            raise InputError(f"label {labels[row]} of row {row} is no whole number", where=where, hint=hint)
    large = (labels >= 2**63) | (labels < -(2**63))
    if large.any():
        row = int(np.flatnonzero(large)[0])
        raise InputError(f"label {int(labels[row])} of row {row} is no class index", where=where)
    return labels.astype(np.int64)
