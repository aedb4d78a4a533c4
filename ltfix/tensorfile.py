"""Safetensors files as memory-mapped numpy arrays, and arrays of ``.npz`` files."""

from __future__ import annotations

import contextlib
import errno
import json
import lzma
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from ltfix.errors import EnvironmentFault, InputError
from ltfix.filemap import map_file
from ltfix.files import demand_regular, os_errors, parse_json

_DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "BOOL": np.bool_,
    "BF16": np.uint16,  # numpy has none: widened to float32
}
TORN = (
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
    TokenError,
    TypeError,
    ValueError,
)
"""What numpy, zipfile and h5py raise of a damaged file."""
_ANEW = "restore it, or make it anew"


def load_tensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Map every tensor of a safetensors file whose dtype numpy has; nothing is read yet.

    Only bfloat16 tensors (widened to float32) and those that a foreign writer did not align are
    copied into memory. Tensors of dtypes without a numpy counterpart (float8) are left out.

    Returns:
        The tensors (read-only views of the map) and the file's metadata.

    Raises:
        InputError: missing, truncated or not a safetensors file.
    """
    with open_safetensors(path) as (handle, opened):  # which checks the header against the length
        return _map(handle), opened.metadata() or {}


@contextlib.contextmanager
def open_safetensors(path: Path | str) -> Iterator[tuple[BinaryIO, Any]]:
    """A safetensors file, open to be read by ourselves and by the package.

    Raises:
        InputError: there is none, it is no regular file, torn, or no safetensors file.
        EnvironmentFault: the system does not open it.
    """
    from safetensors import SafetensorError, safe_open

    path, whole = Path(path), Path(f"{path}.safetensors")
    with os_errors(path):
        if not path.exists() and whole.exists():
            raise InputError("no such file or folder", where=path, hint=f"did you mean {whole}?")
    demand_regular(path)
    with os_errors(path):
        try:
            with path.open("rb") as handle, _open_again(safe_open, path) as opened:
                yield handle, opened
        except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, struct.error) as err:
            with path.open("rb") as handle:
                hint = "it is JSON, as reports are" if handle.read(1) == b"{" else _ANEW
            raise InputError(f"torn or not a safetensors file: {err}", where=path, hint=hint) from err


def _open_again(safe_open: Callable[..., Any], path: Path) -> Any:
    """The package says of any file that it could not open that there is none; we have just opened it."""
    try:
        return safe_open(path, framework="np")
    except FileNotFoundError as err:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path)) from err


def _map(handle: BinaryIO) -> dict[str, np.ndarray]:
    length: int = struct.unpack("<Q", handle.read(8))[0]
    header = json.loads(handle.read(length))
    header.pop("__metadata__", None)
    whole = map_file(handle)
    return {
        name: _view(whole, 8 + length, entry) for name, entry in header.items() if entry["dtype"] in _DTYPES
    }


def _view(whole: Any, origin: int, entry: dict[str, Any]) -> np.ndarray:
    start, stop = entry["data_offsets"]
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    count = math.prod(shape)
    if count * dtype.itemsize != stop - start:
        raise ValueError("a tensor's shape does not fit its length")
    if not count:
        array = np.empty(shape, dtype)
    else:
        array = np.frombuffer(whole, dtype, count, origin + start).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
    if entry["dtype"] == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array


def read_npz(
    path: Path | str, wanted: Callable[[set[str]], Mapping[str, str]], handle: BinaryIO | None = None
) -> dict[str, np.ndarray]:
    """Read arrays from an ``.npz`` into memory, without unpickling.

    Args:
        wanted: of the names in it, those to read, each by what it is to be called.
        handle: the file, where it is open already, as one behind a URL is.

    Raises:
        InputError: torn, not an ``.npz``, or with pickled objects in it.
        EnvironmentFault: it does not fit into memory.
    """
    if handle is None:
        demand_regular(path)
    with os_errors(path):
        try:
            with zipfile.ZipFile(handle or path) as archive, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's about old headers, which it reads all the same
                found = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
                return {name: _member(archive, f"{theirs}.npy") for name, theirs in wanted(found).items()}
        except TORN as err:
            raise InputError(f"not a readable .npz: {err}", where=path, hint=_ANEW) from err
        except MemoryError as err:
            hint = "a .safetensors file of features is mapped instead"
            raise EnvironmentFault("it does not fit into memory", where=path, hint=hint) from err


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


def ltfix_metadata(metadata: Mapping[str, str], where: object) -> dict[str, Any]:
    """The JSON object under the metadata key ``ltfix`` (else InputError); empty where there is none."""
    value = parse_json(metadata.get("ltfix", "{}"), where)
    if not isinstance(value, dict):
        raise InputError("the metadata key ltfix is not a JSON object", where=where)
    return value
