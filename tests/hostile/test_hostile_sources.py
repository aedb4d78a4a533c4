"""Damaged tables and archives: read, or refused by name, and never another error."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltfix.errors import LtfixError
from ltfix.images.source import open_source

ROWS = [(f"{'ab'[i % 2]}/{i}.png", "ab"[i % 2]) for i in range(6)]


def csv_file() -> bytes:
    return ("path,label,split\n" + "".join(f"{path},{label},train\n" for path, label in ROWS)).encode()


def jsonl_file() -> bytes:
    return "".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in ROWS).encode()


def tar_file() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for path, label in ROWS:
            for name, data in (
                (path, path.encode()),
                (path.replace(".png", ".cls"), b"01"["ab".index(label) :][:1]),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


def zip_file() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, _ in ROWS:
            archive.writestr(path, path.encode() * 20)
    return held.getvalue()


def parquet_file() -> bytes:
    held = io.BytesIO()
    images = [{"bytes": path.encode(), "path": path} for path, _ in ROWS]
    pq.write_table(pa.table({"image": images, "label": [label for _, label in ROWS]}), held, row_group_size=4)
    return held.getvalue()


WHOLE = {
    "csv": csv_file(),
    "jsonl": jsonl_file(),
    "tar": tar_file(),
    "wds": tar_file(),
    "zip": zip_file(),
    "parquet": parquet_file(),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_undamaged_ones_are_read(tmp_path: Path, kind: str):
    (tmp_path / "file").write_bytes(WHOLE[kind])
    split = open_source(f"{kind}:{tmp_path}/file").split("train")
    assert split.counts.tolist() == [3, 3]


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_ones_are_read_or_refused_by_name(tmp_path: Path, kind: str, data: st.DataObject):
    damaged = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    file = tmp_path / "file"
    file.write_bytes(damaged[:cut])
    try:
        source = open_source(f"{kind}:{file}")
        for name in source.splits():
            split = source.split(name)
            assert len(split.digest) == 64
            for row in range(len(split)):
                if kind not in ("csv", "jsonl"):
                    split.pictures.read(split.row(row))
    except LtfixError as err:
        assert "file" in str(err)
        assert "\n" not in str(err)
