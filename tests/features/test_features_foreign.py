"""ltfix.features.foreign: features that other tools wrote."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import write_cache
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ltfix.errors import EnvironmentFault, InputError
from ltfix.features.foreign import features_and_labels, load_npz
from ltfix.features.read import open_cache

HERE = Path("here")
FEATURES, LABELS = np.linspace(-2, 2, 24).reshape(6, 4).astype(np.float32), np.arange(6) % 3


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("views", [None, 1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_of_every_layout(dtype: str, views: int | None, order: Any) -> None:
    shape = (6, 4) if views is None else (6, views, 4)
    given_features = np.asarray(np.resize(FEATURES, shape).astype(dtype), order=order)
    features, _ = features_and_labels({"features": given_features, "labels": LABELS}, HERE)
    assert features.shape == (6, views or 1, 4)
    assert features.dtype == (np.float16 if dtype[1:] == "f2" else np.float32)
    np.testing.assert_array_equal(features, np.resize(FEATURES, (6, views or 1, 4)).astype(features.dtype))


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "<u4", ">i8", "<u8", "<f2", "<f4", ">f8"])
def test_labels_of_every_dtype_that_holds_whole_numbers(dtype: str) -> None:
    _, labels = features_and_labels({"features": FEATURES, "labels": LABELS.astype(dtype)}, HERE)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("tensors", "fragment"),
    [
        ({}, "no tensor features and no tensor labels; it holds nothing"),
        ({"features": FEATURES}, "no tensor labels; it holds features"),
        ({f"t{i}": LABELS for i in range(9)}, "it holds t0, t1, t2, t3, t4, t5, …"),
        ({"features": FEATURES.astype(np.int8), "labels": LABELS}, "features are int8"),
        ({"features": FEATURES.astype(bool), "labels": LABELS}, "features are bool"),
        ({"features": FEATURES.astype(complex), "labels": LABELS}, "features are complex128"),
        ({"features": FEATURES[0], "labels": LABELS}, r"\[n, D\] or \[n, V, D\], found \[4\]"),
        ({"features": FEATURES[:, None, None], "labels": LABELS}, r"found \[6, 1, 1, 4\]"),
        ({"features": FEATURES[:, :0], "labels": LABELS}, r"found \[6, 1, 0\]"),
        ({"features": FEATURES[:, None][:, :0], "labels": LABELS}, r"found \[6, 0, 4\]"),
        ({"features": np.float32(1), "labels": LABELS}, r"found \[\]"),
        (
            {"features": FEATURES, "labels": np.array(["a", "b", None, "a", "b", "c"], object)},
            "row 2 has no label",
        ),
        (
            {"features": FEATURES, "labels": np.array([0, 1, 2, 1, float("nan"), 1], object)},
            "row 4 has no label",
        ),
        ({"features": FEATURES, "labels": LABELS[:5]}, r"labels must be \[6\], found \[5\]"),
        (
            {"features": FEATURES, "labels": LABELS[:, None]},
            r"labels must be \[6\], found \[6, 1\]",
        ),
        (
            {"features": FEATURES, "labels": LABELS + 0.5},
            r"label 0.5 of row 0 is no whole number",
        ),
        (
            {"features": FEATURES, "labels": np.where(LABELS == 2, np.nan, LABELS)},
            "row 2 has no label",
        ),
        ({"features": FEATURES, "labels": LABELS * 1e300}, r"label 1000\d+ of row 1 is no class index"),
        (
            {"features": FEATURES, "labels": LABELS.astype(np.uint64) - np.uint64(1)},
            "label 18446744073709551615 of row 0 is no class index",
        ),
        ({"features": FEATURES, "labels": LABELS.astype(bool)}, "labels are bool"),
        ({"features": FEATURES, "labels": LABELS.astype("S3")}, r"labels are \|S3, expected integers"),
    ],
)
def test_what_does_not_fit(tensors: dict[str, np.ndarray], fragment: str) -> None:
    with pytest.raises(InputError, match=f"{fragment}.*\\(here\\)"):
        features_and_labels(tensors, HERE)


def test_float64_beyond_float32_is_a_named_row(tmp_path: Path) -> None:
    features = FEATURES.astype(np.float64)
    features[4, 1] = 1e300
    np.savez(tmp_path / "x.npz", features=features, labels=LABELS)
    with pytest.raises(InputError, match=r"feature row 4 holds NaN or Inf .*: leave such rows out"):
        _ = open_cache(tmp_path / "x.npz").features


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3), elements=st.floats(-9, 9, width=32)),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_npz_round_trip(tmp_path_factory: Any, features: np.ndarray, compressed: bool) -> None:
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    labels = np.arange(len(features), dtype=np.int32)
    save = np.savez_compressed if compressed else np.savez
    save(path, features=features, labels=labels, **{"head.weight": np.ones((9, features.shape[-1]), "f4")})
    cache = open_cache(path)
    np.testing.assert_array_equal(cache.features.reshape(features.shape), features)
    np.testing.assert_array_equal(cache.labels, labels)
    assert cache.n_classes == 9


def test_npz_reads_nothing_further(tmp_path: Path) -> None:
    """Another tool's pickled extras do no harm, because nobody opens them."""
    extras = {"meta": np.array([{"a": 1}], dtype=object), "other": np.zeros(3)}
    np.savez(tmp_path / "x.npz", features=FEATURES, labels=LABELS, **extras)
    assert load_npz(tmp_path / "x.npz").keys() == {"features", "labels"}


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


GOOD = npy(FEATURES)
NPZ = {
    "pickled labels": ({"features.npy": GOOD, "labels.npy": npy(np.array([[1], 2], object))}, "pickled"),
    "no labels": ({"features.npy": GOOD, "z.npy": npy(LABELS)}, "no tensor labels; it holds features, z"),
    "empty zip": ({}, "no tensor features"),
    "no npy inside": ({"features.npy": b"", "labels.npy": b""}, "not a readable .npz"),
    "short header": ({"features.npy": GOOD[:20], "labels.npy": npy(LABELS)}, "not a readable .npz"),
    "short data": ({"features.npy": GOOD[:-1], "labels.npy": npy(LABELS)}, "does not fit its length"),
    "long data": ({"features.npy": GOOD + b"x", "labels.npy": npy(LABELS)}, "does not fit its length"),
    "a lie about the shape": (
        {"features.npy": GOOD.replace(b"(6, 4)", b"(9**9,)"), "labels.npy": npy(LABELS)},
        "not a readable .npz",
    ),
    "a large lie about the shape": (
        {"features.npy": GOOD.replace(b"(6, 4), }        ", b"(6, 400000000), }"), "labels.npy": npy(LABELS)},
        "does not fit its length",
    ),
    "a negative shape": (
        {"features.npy": GOOD.replace(b"(6, 4), } ", b"(-6, 4), }"), "labels.npy": npy(LABELS)},
        "does not fit its length",
    ),
    "another version": (
        {"features.npy": GOOD[:6] + b"\x09\x00" + GOOD[8:], "labels.npy": npy(LABELS)},
        "not a readable .npz",
    ),
}


@pytest.mark.parametrize("name", NPZ)
def test_wrong_npz(tmp_path: Path, name: str) -> None:
    members, fragment = NPZ[name]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(InputError, match=f"{fragment}.*x.npz"):
        open_cache(tmp_path / "x.npz")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04N.", GOOD])
def test_not_an_npz(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"not a readable .npz.*x.npz"):
        open_cache(tmp_path / "x.npz")


def test_an_npz_larger_than_memory(tmp_path: Path) -> None:
    """The zip itself claims as much as the array does: nothing can be checked before allocating."""
    path = tmp_path / "x.npz"
    rows = 1 << 46
    head = npy(FEATURES).replace(b"(6, 4), }              ", f"({rows}, 4), }}".encode().ljust(23))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", head[:128])
        archive.writestr("labels.npy", npy(LABELS))
        info = archive.getinfo("features.npy")
        info.file_size = 128 + rows * 16
    with pytest.raises((EnvironmentFault, InputError), match=r"fit into memory|not a readable"):
        open_cache(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    os.mkfifo(tmp_path / "x.safetensors")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for name in ("x.npz", "x.safetensors", "zero.npz"):
        with pytest.raises(InputError, match="not a file"):
            open_cache(tmp_path / name)
    cache = write_cache(tmp_path / "c")
    for name in ("samples.txt", "manifest.json", "shard-00001.safetensors"):
        kept = (tmp_path / "c" / name).read_bytes()
        (tmp_path / "c" / name).unlink()
        os.mkfifo(tmp_path / "c" / name)
        with pytest.raises(InputError, match="not a file"):
            _ = open_cache(tmp_path / "c").samples
        (tmp_path / "c" / name).unlink()
        (tmp_path / "c" / name).write_bytes(kept)
    assert open_cache(tmp_path / "c").n == cache.n


def test_text_that_counts_from_one_beside_a_classifier(tmp_path: Path) -> None:
    stage1 = {"head.weight": np.eye(3, 4, dtype=np.float32)}
    np.savez(tmp_path / "x.npz", features=FEATURES, labels=(LABELS + 1).astype(str), **stage1)
    with pytest.raises(
        InputError, match=r"label 3 of row 2 is not below K = 3 .*labels count from 0, and K is"
    ):
        open_cache(tmp_path / "x.npz")


@pytest.mark.parametrize(("word", "shown"), [("", ""), ("NaN", " but 'NaN'"), ("none", " but 'none'")])
def test_text_that_is_no_label(word: str, shown: str) -> None:
    y = np.array(["cat", "owl", word, "cat", "owl", word])
    with pytest.raises(InputError, match=rf"row 2 has no label{shown} \("):
        open_cache((FEATURES, y))
    with pytest.raises(InputError, match="row 2 has no label"):
        open_cache((FEATURES, y), ["cat", "owl"])
    if word:
        assert open_cache((FEATURES, y), ["cat", "owl", word]).labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_label_of_more_digits_than_a_float_has() -> None:
    with pytest.raises(InputError, match="label 10000000 of row 0"):
        open_cache((FEATURES[:2], ["9" * 400, "1"]))
