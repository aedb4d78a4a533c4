"""Bytes changed at random: a file is read or refused, and the refusal is always an LtfixError."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caches import make_head, write_bare, write_cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltfix.errors import InputError, LtfixError
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache
from ltfix.heads.head import load_head


def read_cache(path: Path) -> None:
    """All that a reader does."""
    cache: FeatureCache = open_cache(path)
    cache.verify()
    assert sum(len(block) for _, block in cache.blocks()) == cache.n
    if cache.head is not None:
        cache.head.logits(cache.rows(np.arange(cache.n)))


def read_head(path: Path) -> None:
    head = load_head(path)
    assert head.logits(np.ones((2, head.dim), np.float32)).shape == (2, head.n_classes)


def make_npz(path: Path, compressed: bool) -> None:
    out = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(out, features=np.ones((6, 4), np.float32), labels=np.arange(6) % 3)
    path.write_bytes(out.getvalue())


def make_folder(path: Path) -> None:
    write_cache(path.parent, make_head(), n=6, shard_rows=4)


CASES: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], None]]] = {
    "head": ("h.safetensors", lambda p: make_head(transform={"kind": "l2", "groups": 2}).save(p), read_head),
    "single file": ("x.safetensors", lambda p: write_bare(p, head__weight=make_head().weight), read_cache),
    "npz": ("x.npz", lambda p: make_npz(p, False), read_cache),
    "compressed npz": ("x.npz", lambda p: make_npz(p, True), read_cache),
    "manifest": ("manifest.json", make_folder, lambda p: read_cache(p.parent)),
    "shard": ("shard-00001.safetensors", make_folder, lambda p: read_cache(p.parent)),
    "its head": ("head.safetensors", make_folder, lambda p: read_cache(p.parent)),
    "samples": ("samples.txt", make_folder, lambda p: read_cache(p.parent)),
}

edits = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "digit"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def apply(data: bytes, edit: tuple[str, float, int]) -> bytes:
    kind, where, value = edit
    at = int(where * (len(data) - 1)) if data else 0
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + bytes([value]) + data[at:]
    if kind == "digit":  # numbers are where a header does most harm
        digits = [i for i, byte in enumerate(data[:2000]) if 48 <= byte <= 57]
        if not digits:
            return data
        at, value = digits[int(where * (len(digits) - 1))], 48 + value % 10
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize("name", CASES)
@given(edits=edits)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_bytes(tmp_path: Path, name: str, edits: list[tuple[str, float, int]]) -> None:
    file, make, read = CASES[name]
    path, whole = tmp_path / file, tmp_path.parent / f"{tmp_path.name}.whole"
    if not whole.exists():
        make(path)
        read(path)
        whole.write_bytes(path.read_bytes())
    data = whole.read_bytes()
    for edit in edits:
        data = apply(data, edit)
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numpy's and zipfile's own
        with contextlib.suppress(LtfixError):
            read(path)


@pytest.mark.parametrize("name", CASES)
def test_every_truncation(tmp_path: Path, name: str) -> None:
    """No proper beginning of a file passes for the whole, samples.txt at a line's end included."""
    file, make, read = CASES[name]
    path = tmp_path / file
    make(path)
    data = path.read_bytes().rstrip(b"\n")
    for stop in range(0, len(data), 1 if len(data) < 300 else 7):
        path.write_bytes(data[:stop])
        if name == "samples" and data[:stop].count(b"\n") == 5:
            continue  # the last name is cut; only its number of lines is known
        with pytest.raises(InputError):
            read(path)
