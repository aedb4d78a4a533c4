"""Files made to mislead: each is one clear InputError, at once and without much memory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make_head, write_bare, write_cache

from ltfix.errors import InputError
from ltfix.features.read import open_cache
from ltfix.heads.head import load_head
from ltfix.tensorfile import load_tensors

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and links of POSIX")
F32 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
DATA = b"\0" * 16


def raw(header: object, data: bytes = DATA, length: int | None = None) -> bytes:
    """The bytes of a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


TORN = {
    "zero length": b"",
    "less than a length": b"\x10\0\0",
    "a length and nothing": struct.pack("<Q", 100),
    "a header of 2^63": struct.pack("<Q", 1 << 63) + b"{}",
    "a header of all ones": b"\xff" * 64,
    "a header longer than the file": raw({"a": F32}, length=10_000),
    "a header of a gigabyte": raw({"a": F32}, length=1 << 30),
    "an empty header": raw(b""),
    "not JSON": raw(b"{'a': 1}"),
    "not UTF-8": raw(b'{"\xff\xfe": 1}'),
    "a list": raw([F32]),
    "a number": raw(b"17"),
    "nested a million deep": raw(b'{"a":' * 1_000_000),
    "another program's file": b"PK\x03\x04" + b"\0" * 200,
    "a pickle": b"\x80\x04\x95" + b"\0" * 100,
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "data cut off": raw({"a": F32}, DATA[:-1]),
    "data too long": raw({"a": F32}, DATA + b"\0"),
    "no data": raw({"a": F32}, b""),
    "offsets outside": raw({"a": {**F32, "data_offsets": [16, 32]}}),
    "offsets backwards": raw({"a": {**F32, "data_offsets": [16, 0]}}),
    "negative offsets": raw({"a": {**F32, "data_offsets": [-16, 0]}}),
    "fractional offsets": raw({"a": {**F32, "data_offsets": [0.0, 16.0]}}),
    "three offsets": raw({"a": {**F32, "data_offsets": [0, 8, 16]}}),
    "no offsets": raw({"a": {"dtype": "F32", "shape": [2, 2]}}),
    "overlap": raw({"a": F32, "b": F32}),
    "a hole": raw({"a": F32, "b": {**F32, "data_offsets": [24, 40]}}, b"\0" * 40),
    "shape larger than data": raw({"a": {**F32, "shape": [2, 3]}}),
    "negative shape": raw({"a": {**F32, "shape": [-2, -2]}}),
    "shape that overflows": raw({"a": {**F32, "shape": [1 << 62, 1 << 62, 4]}}),
    "zero times overflow": raw({"a": {"dtype": "F32", "shape": [0, 1 << 63], "data_offsets": [0, 0]}}, b""),
    "a hundred dimensions": raw({"a": {**F32, "shape": [1] * 100 + [4]}}),
    "shape of text": raw({"a": {**F32, "shape": ["2", "2"]}}),
    "unknown dtype": raw({"a": {**F32, "dtype": "F1024"}}),
    "dtype of another kind": raw({"a": {**F32, "dtype": ["F32"]}}),
    "metadata of another kind": raw({"__metadata__": {"ltfix": {"format": 1}}, "a": F32}),
    "an entry of another kind": raw({"a": [F32]}),
}


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("read", [load_tensors, load_head, open_cache])
def test_torn_safetensors(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(TORN[name])
    with pytest.raises(InputError, match=r"torn or not a safetensors file.*\(.*x\.safetensors\)"):
        read(path)


def test_the_same_tensor_twice(tmp_path: Path) -> None:
    """Whichever of the two entries counts, no byte outside the data is read."""
    one, two = json.dumps(F32), json.dumps({**F32, "data_offsets": [16, 32]})
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw(f'{{"a": {one}, "a": {two}}}'.encode()))
    with pytest.raises(InputError, match="torn"):
        load_tensors(path)


METADATA = {
    "no JSON": "{",
    "deep JSON": "[" * 200_000,
    "a list": "[]",
    "a number": "1",
    "text": '"ltfix-head/1"',
    "an empty object": "{}",
    "a large number": '{"format": ' + "9" * 10_000 + "}",
    "infinite counts": '{"format": "ltfix-head/1", "counts": [Infinity, NaN, 1]}',
    "a format of another kind": '{"format": {"ltfix-head/1": 1}}',
    "a newer format": '{"format": "ltfix-head/3", "dim": 1e999}',
}


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("read", [load_head, open_cache])
def test_metadata(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    from safetensors.numpy import save_file

    tensors = {"weight": np.ones((3, 4), np.float32), "bias": np.ones(3, np.float32)}
    tensors |= {"features": np.ones((6, 4), np.float32), "labels": np.arange(6) % 3}
    save_file(tensors, tmp_path / "x.safetensors", {"ltfix": METADATA[name]})
    with pytest.raises(InputError, match=r"x\.safetensors"):
        read(tmp_path / "x.safetensors")


MANIFESTS: dict[str, tuple[bytes | dict[str, Any], str]] = {
    "empty": (b"", "not JSON"),
    "deep": (b'{"a":' * 200_000, "not JSON"),
    "null": (b"null", "holds no JSON object"),
    "binary": (b"\x00\xff" * 50, "not JSON"),
    "a parent folder": ({"file": "../x.safetensors"}, "outside its folder"),
    "an absolute path": ({"file": "/etc/passwd"}, "outside its folder"),
    "a device": ({"file": "/dev/zero"}, "outside its folder"),
    "a hidden file": ({"file": ".x.safetensors"}, "outside its folder"),
    "a nul": ({"file": "a\0.safetensors"}, "outside its folder"),
    "itself": ({"file": "manifest.json"}, "outside its folder"),
    "a huge n": ({"n": 1 << 60}, "do not add up"),
    "a larger n than integers hold": ({"n": 1 << 80}, r"its shards\[0\]\.n: expected a whole number <= "),
    "a huge n everywhere": ({"n": 1 << 60, "all": True}, "holds float16"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(tmp_path: Path, name: str) -> None:
    write_cache(tmp_path / "c", shard_rows=100)
    path = tmp_path / "c" / "manifest.json"
    change, fragment = MANIFESTS[name]
    if isinstance(change, bytes):
        path.write_bytes(change)
    else:
        manifest = json.loads(path.read_text())
        everywhere = change.pop("all", False)
        manifest["shards"][0] |= change
        if everywhere:
            manifest |= {"n": change["n"], "counts": [change["n"], 0, 0]}
        path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=fragment):
        open_cache(tmp_path / "c")


def test_labels_that_would_take_all_memory(tmp_path: Path) -> None:
    """Counting up to a label of 2^40 takes eight terabytes; it is refused before."""
    labels = np.array([0, 1, 2, 1 << 40, 4, 5])
    with pytest.raises(InputError, match="label 1099511627776 of row 3 is not below"):
        open_cache(write_bare(tmp_path / "x.safetensors", labels=labels))


class TestNotFiles:
    @pytest.mark.parametrize("read", [load_tensors, load_head])
    def test_a_folder(self, tmp_path: Path, read: Callable[[Path], object]) -> None:
        with pytest.raises(InputError, match="a folder or a device, not a file"):
            read(tmp_path)

    @posix
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.safetensors")
        with pytest.raises(InputError, match="a folder or a device, not a file"):
            open_cache(tmp_path / "x.safetensors")
        with pytest.raises(InputError, match="a folder or a device, not a file"):
            load_head("/dev/zero")

    @posix
    def test_a_circle_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "a.safetensors").symlink_to(tmp_path / "a.safetensors")
        for read in (load_head, open_cache):
            with pytest.raises(InputError, match=r"a\.safetensors"):
                read(tmp_path / "a.safetensors")

    def test_a_shard_that_is_a_folder(self, tmp_path: Path) -> None:
        path = write_cache(tmp_path / "c").path / "shard-00001.safetensors"
        path.unlink()
        path.mkdir()
        with pytest.raises(InputError, match=r"a folder or a device.*shard-00001"):
            open_cache(tmp_path / "c")

    def test_a_head_that_is_a_cache_and_the_other_way_round(self, tmp_path: Path) -> None:
        make_head().save(tmp_path / "head.safetensors")
        write_bare(tmp_path / "cache.safetensors")
        with pytest.raises(InputError, match="not a head file"):
            load_head(tmp_path / "cache.safetensors")
        with pytest.raises(InputError, match="format"):
            open_cache(tmp_path / "head.safetensors")


def test_a_newer_cache_with_things_unknown_today(tmp_path: Path) -> None:
    """The version is told before anything else is wrong."""
    write_cache(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "ltfix-features/7", "shards": "elsewhere"}')
    with pytest.raises(InputError, match=r"'ltfix-features/7' is newer .*update ltfix"):
        open_cache(tmp_path)
