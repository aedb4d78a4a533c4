"""Safetensors files as memory-mapped numpy arrays."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from ltfix.errors import InputError
from ltfix.files import os_errors

_DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def load_tensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Map every tensor of a safetensors file whose dtype numpy has; nothing is read yet.

    Returns:
        The tensors (read-only views of the map) and the file's metadata.

    Raises:
        InputError: missing, truncated or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with os_errors(path):
        with path.open("rb") as handle:
            start = handle.read(8)
        try:
            with safe_open(path, framework="np") as opened:  # checks header against file length
                metadata = opened.metadata() or {}
        except SafetensorError as err:
            raise InputError(f"torn or not a safetensors file: {err}", where=path) from err
        length = struct.unpack("<Q", start)[0]
        with path.open("rb") as handle:
            handle.seek(8)
            header = json.loads(handle.read(length))
        header.pop("__metadata__", None)
        whole = (
            np.memmap(path, np.uint8, "r", offset=8 + length)
            if _holds_data(header)
            else np.empty(0, np.uint8)
        )
    return {
        name: _view(whole, entry) for name, entry in header.items() if entry["dtype"] in _DTYPES
    }, metadata


def _holds_data(header: dict[str, dict[str, list[int]]]) -> bool:
    return any(entry["data_offsets"][1] for entry in header.values())


def _view(whole: np.ndarray, entry: dict) -> np.ndarray:  # type: ignore[type-arg]
    start, stop = entry["data_offsets"]
    flat = whole[start:stop]
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    if flat.ctypes.data % dtype.itemsize:  # a foreign writer may not align
        flat = flat.copy()
    return np.asarray(flat.view(dtype).reshape(entry["shape"]))
