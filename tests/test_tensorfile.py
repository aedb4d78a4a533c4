"""ltfix.tensorfile: the tensors that other programs write, mapped and not copied."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltfix import files
from ltfix.errors import InputError
from ltfix.tensorfile import load_tensors, ltfix_metadata

DTYPES = [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64]
DTYPES += [np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def write_raw(path: Path, header: dict[str, Any], data: bytes, pad: int = 0) -> Path:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + pad)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@given(st.dictionaries(st.text("abc.", min_size=1), arrays, max_size=4))
@settings(max_examples=80, deadline=None)
def test_round_trip(tensors: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        files.write_safetensors(path, tensors, {"k": 1})
        loaded, metadata = load_tensors(path)
        assert ltfix_metadata(metadata, path) == {"k": 1}
        assert loaded.keys() == tensors.keys()
        for name, value in tensors.items():
            assert loaded[name].dtype == value.dtype
            assert loaded[name].shape == value.shape
            assert loaded[name].tobytes() == np.asarray(value, order="C").tobytes()


def test_arrays_are_read_only_views_of_the_map(tmp_path: Path) -> None:
    files.write_safetensors(tmp_path / "x", {"a": np.arange(10.0), "b": np.arange(3)})
    tensors, _ = load_tensors(tmp_path / "x")
    for array in tensors.values():
        assert not array.flags.writeable
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap | ctypes.Array)


@pytest.mark.skipif(os.name != "posix", reason="the file is sparse only there")
def test_opening_reads_nothing(tmp_path: Path) -> None:
    """A file of 64 GiB (sparse) opens, and one of its pages is read."""
    rows, length = 1 << 24, 1 << 36
    header = {"features": {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [0, length]}}
    path = write_raw(tmp_path / "x", header, b"")
    with path.open("rb+") as handle:
        handle.truncate(path.stat().st_size + length)
    tensors, _ = load_tensors(path)
    assert tensors["features"].shape == (rows, 1024)
    assert tensors["features"][rows // 2].sum() == 0
    path.unlink()


@pytest.mark.parametrize("pad", range(5))
def test_alignment_is_no_condition(tmp_path: Path, pad: int) -> None:
    values = np.array([1.5, -2.0, 3.0], np.float32)
    labels = np.array([7, 8], np.int64)
    header = {
        "odd": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "x": {"dtype": "F32", "shape": [3], "data_offsets": [1, 13]},
        "y": {"dtype": "I64", "shape": [2], "data_offsets": [13, 29]},
    }
    path = write_raw(tmp_path / "x", header, b"\1" + values.tobytes() + labels.tobytes(), pad)
    tensors, _ = load_tensors(path)
    assert tensors["x"].flags.aligned
    np.testing.assert_array_equal(tensors["x"], values)
    np.testing.assert_array_equal(tensors["y"], labels)


def test_torch_dtypes(tmp_path: Path) -> None:
    """bfloat16 is widened exactly; float8, which numpy lacks, is left out."""
    import torch
    from safetensors.torch import save_file

    values = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"b": values, "f8": values.to(torch.float8_e4m3fn)}, tmp_path / "x")
    tensors, _ = load_tensors(tmp_path / "x")
    assert tensors.keys() == {"b"}
    assert tensors["b"].dtype == np.float32
    np.testing.assert_array_equal(tensors["b"], values.float().numpy())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.safetensors"
    files.write_safetensors(path, {"a": np.arange(3)})
    assert load_tensors(path)[0]["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["[1]", "3", '"x"', "null"])
def test_metadata_must_be_an_object(text: str) -> None:
    with pytest.raises(InputError, match="not a JSON object"):
        ltfix_metadata({"ltfix": text}, "x")
    assert ltfix_metadata({}, "x") == {}
