"""Features that other tools wrote: what a bare file must hold."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ltfix.errors import InputError
from ltfix.files import os_errors


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` without unpickling.

    Raises:
        InputError: torn, not an ``.npz``, or with pickled objects in it.
    """
    with os_errors(path):
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (zipfile.BadZipFile, ValueError, EOFError) as err:
            raise InputError(f"not a readable .npz: {err}", where=path) from err


def features_and_labels(tensors: Mapping[str, np.ndarray], where: Path) -> tuple[np.ndarray, np.ndarray]:
    """Check and shape ``features`` to [n, V, D] float16|float32 and ``labels`` to [n] int64.

    Raises:
        InputError: one is missing or has a wrong shape or dtype.
    """
    missing = [name for name in ("features", "labels") if name not in tensors]
    if missing:
        found = ", ".join(sorted(tensors)) or "nothing"
        raise InputError(
            f"no tensor {' and no tensor '.join(missing)}; it holds {found}",
            where=where,
            hint="a cache has features [n, D] or [n, V, D] and labels [n]",
        )
    features, labels = tensors["features"], tensors["labels"]
    if features.dtype == np.float64:
        features = features.astype(np.float32)
    if features.dtype not in (np.float16, np.float32):
        raise InputError(f"features are {features.dtype}, expected float16 or float32", where=where)
    if features.ndim == 2:
        features = features[:, None, :]
    if features.ndim != 3 or 0 in features.shape[1:]:
        raise InputError(f"features must be [n, D] or [n, V, D], found {list(features.shape)}", where=where)
    if labels.ndim != 1 or len(labels) != len(features):
        raise InputError(f"labels must be [{len(features)}], found {list(labels.shape)}", where=where)
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype}, expected integers", where=where)
    return features, labels.astype(np.int64)
