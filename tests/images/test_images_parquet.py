"""ltfix.images.parquet: paths, bytes and the hub's structs, read by row group."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import write_photos

from ltfix.errors import EnvironmentFault, InputError
from ltfix.images import parquet
from ltfix.images.source import open_source
from ltfix.images.split import Split

NAMES = ["bee", "ant", "Zebra"]  # declared in this order


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def train(photos: Path) -> Split:
    return open_source(photos).split("train")


def write(
    path: Path, columns: dict[str, Sequence[Any]], features: dict[str, Any] | None = None, group: int = 4
) -> Path:
    table = pa.table(dict(columns))
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)
    return path


def label_names(split: Split) -> list[str]:
    return [split.classes[label] for label in split.labels]


def bytes_of(split: Split) -> list[bytes]:
    return [split.pictures.read(split.row(row)) for row in range(len(split))]


def test_a_column_of_paths(tmp_path: Path, photos: Path, train: Split):
    rows = {"file_name": train.samples, "label": label_names(train)}
    split = open_source(f"parquet:{write(photos / 'train' / 'a.parquet', rows)}").split("train")
    assert (list(split.samples), split.classes, split.digest) == (train.samples, train.classes, train.digest)
    np.testing.assert_array_equal(split.open(3), train.open(3))


@pytest.mark.parametrize("form", ["bytes", "struct", "struct without path"])
def test_a_column_of_pictures(tmp_path: Path, train: Split, form: str):
    cells: list[Any] = bytes_of(train)
    if form == "struct":
        cells = [{"bytes": data, "path": name} for data, name in zip(cells, train.samples, strict=True)]
    elif form == "struct without path":
        cells = [{"bytes": data} for data in cells]
    file = write(tmp_path / "a.parquet", {"image": cells, "label": label_names(train)})
    split = open_source(f"parquet:{file}").split("train")
    assert bytes_of(split) == bytes_of(train)
    np.testing.assert_array_equal(split.labels, train.labels)
    assert split.samples[3] == (
        "a.parquet/3/" + Path(train.samples[3]).name if form == "struct" else "a.parquet/3"
    )
    order = np.array([8, 0, 5, 1])
    assert bytes_of(split.subset(order)) == [bytes_of(train)[row] for row in order]
    again = pickle.loads(pickle.dumps(split))
    assert again.open(7).size == (40, 32)
    assert len(set(split.sizes.tolist())) == 3  # one a row group
    os.utime(file, ns=(1, 1))
    assert (open_source(f"parquet:{file}").split("train").stamps != split.stamps).all()


def test_declared_classes_and_splits(tmp_path: Path, train: Split):
    """A ClassLabel's order is kept; several files are one table; a column of splits parts it."""
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    index = [NAMES.index(name) for name in label_names(train)]
    data, parts = bytes_of(train), ["train"] * 5 + ["test"] * 4
    for file, rows in (("0", slice(0, 6)), ("1", slice(6, 9))):
        columns = {"image": data[rows], "label": index[rows], "split": parts[rows]}
        write(tmp_path / f"a-{file}.parquet", columns, features)
    source = open_source(f"parquet:{tmp_path}/a-*.parquet")
    assert source.splits() == ("train", "test")
    assert source.classes("test") == tuple(NAMES)
    splits = [source.split(name) for name in source.splits()]
    assert [*bytes_of(splits[0]), *bytes_of(splits[1])] == data
    assert [*splits[0].labels.tolist(), *splits[1].labels.tolist()] == index
    assert splits[1].samples[0] == "a-0.parquet/5"
    named = open_source(
        f"parquet:train={tmp_path}/a-0.parquet,test={tmp_path}/a-1.parquet", columns="path=image"
    )
    assert [len(named.split(name)) for name in named.splits()] == [6, 3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x", b"y"], "label": ["a", None]}, "the row has no label (a.parquet, row 1)"),
        ({"image": [b"x", None], "label": ["a", "b"]}, "the row has no picture (a.parquet, row 1)"),
        ({"image": ["x", None], "label": ["a", "b"]}, "the row has no path (a.parquet, row 1)"),
        ({"picture": [b"x"], "label": ["a"]}, "none of its columns is called as a path is (a.parquet)"),
        ({"image": [b"x", b"y"], "label": [["a"], ["b", "c"]]}, "multi-label?"),
        ({"image": [7, 8], "label": ["a", "b"]}, "no such file"),
        (
            {"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())},
            "it has no rows (a.parquet)",
        ),
        (
            {"image": [b"x", b"y"], "label": ["a", "b"], "split": ["train", None]},
            "has no split (a.parquet, row 1)",
        ),
    ],
)
def test_wrong_rows_are_named(
    tmp_path: Path, columns: dict[str, Sequence[Any]], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write(Path("a.parquet"), columns)
    with pytest.raises(InputError, match=re.escape(message)):
        open_source("parquet:a.parquet").split("train").pictures.read(1)


def test_a_label_below_the_declared_ones(tmp_path: Path):
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
    file = write(tmp_path / "a.parquet", {"image": [b"x", b"y"], "label": [0, -1]}, features)
    with pytest.raises(InputError, match=r"has no label \(.*a\.parquet, row 1\)"):
        open_source(f"parquet:{file}")


def test_files_that_are_none_or_cut(tmp_path: Path):
    file = write(tmp_path / "a.parquet", {"image": [b"x"] * 100, "label": ["a", "b"] * 50})
    whole = file.read_bytes()
    for data in (b"", b"PAR1", whole[: len(whole) // 2], b"path,label\na,b\n"):
        file.write_bytes(data)
        with pytest.raises(InputError, match=r"not a whole parquet file: .*\(.*a\.parquet\)"):
            open_source(f"parquet:{file}")
    damaged = bytearray(whole)
    damaged[4:60] = bytes(56)
    file.write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.parquet"):
        open_source(f"parquet:{file}").split("train").pictures.read(0)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with (
        pytest.raises(EnvironmentFault, match=r'pyarrow is not installed .*pip install "ltfix\[parquet\]"'),
        parquet.opened("a"),
    ):
        pass


_WORKERS = """
import os, fsspec, pyarrow.parquet
from ltfix.images.source import open_source
fsspec.filesystem("memory").put_file({file!r}, "/few.parquet")
before = len(os.listdir("/proc/self/task"))
open_source("parquet:" + {place!r}).split("train").open(8)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that /proc shows")
def test_what_is_behind_a_url_is_read_without_threads_of_arrows(tmp_path: Path, train: Split):
    """They hold Python's buffers, and abort a process that ends before they let go of them."""
    file = write(
        tmp_path / "few.parquet", {"image": [train.pictures.read(row) for row in range(9)], "label": [1] * 9}
    )
    for place, none in (("memory://few.parquet", True), (str(file), False)):
        script = _WORKERS.format(file=str(file), place=place)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert (int(done.stdout) == 0) is none, place
