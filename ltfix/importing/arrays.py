"""Arrays: ``.npy``, a folder of numbered ones, ``.npz``, HDF5, and what ``torch.save`` wrote of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, extra
from ltfix.heads.vectors import numpy_of
from ltfix.importing import tables
from ltfix.importing.found import Found, from_arrays
from ltfix.importing.request import ImportRequest
from ltfix.tensorfile import TORN, load_tensors, read_npz


def npy(path: Path, request: ImportRequest) -> Found:
    """One array [n, D] or [n, V, D], mapped."""
    return Found([map_npy(path)], None)


def map_npy(path: Path) -> np.ndarray:
    """An ``.npy`` file as a memory map, without unpickling; InputError where it is torn or holds objects."""
    files.demand_regular(path)
    with files.os_errors(path):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except TORN as err:
            raise InputError(f"not a readable .npy: {err}", where=path) from err


def npz(path: Path, request: ImportRequest) -> Found:
    """Named arrays, read into memory."""
    return from_arrays(read_npz(path, lambda found: {name: name for name in sorted(found)}), request, path)


def safetensors(path: Path, request: ImportRequest) -> Found:
    """Tensors by name, mapped."""
    return from_arrays(load_tensors(path)[0], request, path)


def hdf5(path: Path, request: ImportRequest) -> Found:
    """Data sets by name, also within groups; rows are read as they are needed."""
    with extra("hdf5", path):
        import h5py
    files.demand_regular(path)
    try:
        file, sets = h5py.File(path, "r"), dict[str, Any]()
        file.visititems(lambda name, item: sets.update({name: item} if hasattr(item, "shape") else {}))
        return from_arrays(sets, request, path)
    except (OSError, *TORN) as err:
        raise InputError(f"not a whole HDF5 file: {err}", where=path) from err


def torch_file(path: Path, request: ImportRequest) -> Found:
    """A tensor, or a dictionary of tensors and lists; nothing else is unpickled."""
    from ltfix.backbones.checkpoint import read_tensors

    content = read_tensors(path)
    if not isinstance(content, Mapping):
        content = {"features": content}
    try:
        arrays = {str(key): numpy_of(value) for key, value in content.items() if hasattr(value, "__len__")}
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as err:  # sparse, quantized, lists of lists that are no table
        raise InputError(f"not plain tensors: {err}", where=path) from err
    return from_arrays(arrays, request, path)


def folder(path: Path, request: ImportRequest) -> Found:
    """clip-retrieval's ``img_emb/img_emb_N.npy`` with ``metadata/metadata_N.parquet``; or ``NAME_N.npy``."""
    within = path / "img_emb" if (path / "img_emb").is_dir() else path
    parts = _numbered(within, ".npy")
    tables_of = _numbered(path / "metadata", ".parquet") or _numbered(within, ".parquet")
    if not parts:
        raise InputError("no .npy of features is in it", where=path, hint="name the file itself")
    labels, samples = list[Any](), list[str]()
    for file in tables_of:
        found = tables.columns(file, request)
        labels += [] if found.labels is None else found.labels.tolist()
        samples += found.samples or []
    return Found([map_npy(part) for part in parts], np.asarray(labels) if labels else None, samples or None)


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """Files of one kind in the order of the number at the end of their names."""

    def number(path: Path) -> tuple[int, str]:
        digits = re.search(r"(\d+)$", path.stem)
        return int(digits[1]) if digits else -1, path.name

    return sorted((path for path in folder.glob(f"*{suffix}") if path.is_file()), key=number)
