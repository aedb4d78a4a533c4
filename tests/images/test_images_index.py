"""ltfix.images.index: what tars hold is read once, and again where it changed or its index is no good."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import write_photos
from serving import Server, serving

from ltfix.images import remote
from ltfix.images.index import FOLDER, Indexes
from ltfix.images.source import open_source
from ltfix.images.split import Split

SPECS = ("tar:{}/folders.tar", "wds:{}/shard.tar")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A tar of class folders, and a shard of pictures beside their labels."""
    photos = write_photos(tmp_path / "photos")
    with tarfile.open(tmp_path / "folders.tar", "w") as tar:
        tar.add(photos / "train", "train")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for number, path in enumerate(sorted((photos / "train").rglob("*.png"))):
            (tmp_path / "label").write_text(path.parent.name)
            tar.add(tmp_path / "label", f"{number:03}.cls")
            tar.add(path, f"{number:03}.png")
        tar.add(tmp_path / "label", "alone.cls")
    monkeypatch.setattr(remote, "WAIT", 0.0)
    with serving(tmp_path) as server:
        yield server


def opened(spec: str, out: Path) -> Split:
    indexes = Indexes(out)
    split = open_source(spec, index=indexes).split("train")
    indexes.keep()
    return split


def test_a_place_that_takes_no_index_ends_nothing(server: Server, tmp_path: Path):
    (tmp_path / FOLDER).write_text("in its place")
    assert len(opened(SPECS[0].format(tmp_path), tmp_path)) == 9
    assert (tmp_path / FOLDER).read_text() == "in its place"


def reads(server: Server) -> int:
    """How often parts of files were asked for since the last time."""
    found, server.asked = sum(asked.startswith("GET") for asked in server.asked), []
    return found


def same(one: Split, other: Split) -> bool:
    rows = range(len(one))
    return (
        (list(one.samples), one.classes, one.notes) == (list(other.samples), other.classes, other.notes)
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.sizes, other.sizes)
        and [one.pictures.read(row) for row in rows] == [other.pictures.read(row) for row in rows]
    )


@pytest.mark.parametrize("spec", SPECS)
def test_a_tar_is_read_once(server: Server, tmp_path: Path, spec: str):
    spec = spec.format(server.url)
    first, _ = opened(spec, tmp_path / "out"), reads(server)
    again, again_reads = opened(spec, tmp_path / "out"), reads(server)
    beside, beside_reads = opened(spec, tmp_path / "of another backbone"), reads(server)
    assert (again_reads, beside_reads) == (0, 0)
    assert same(first, again)
    assert same(first, beside)
    assert not (tmp_path / "of another backbone").exists()
    assert len(first) == 9


@pytest.mark.parametrize("spec", SPECS)
def test_another_tar_of_that_name_is_read(server: Server, tmp_path: Path, spec: str):
    kept, reads_before = opened(spec.format(server.url), tmp_path / "out"), reads(server)
    assert reads_before > 0
    os.utime(tmp_path / spec.rpartition("/")[2], ns=(1, 1))
    assert same(opened(spec.format(server.url), tmp_path / "out"), kept)
    assert reads(server) > 0


@pytest.mark.parametrize(("tag", "kept"), [("", False), ("Last-Modified", True)])
def test_a_tar_whose_server_tells_no_version_is_read_each_time(
    server: Server, tmp_path: Path, tag: str, kept: bool
):
    server.tag, spec, shard = tag, f"wds:{server.url}/shard.tar", tmp_path / "shard.tar"
    before, _ = opened(spec, tmp_path / "out"), reads(server)
    again, again_reads = opened(spec, tmp_path / "out"), reads(server)
    assert (again_reads == 0) == kept
    assert same(again, before)
    size = shard.stat().st_size
    with tarfile.open(shard) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    other = dict(zip(before.classes, reversed(before.classes), strict=True))
    with tarfile.open(shard, "w") as tar:
        for member, data in members:
            told = other[data.decode()].encode() if member.name.endswith(".cls") else data
            member.size = len(told)
            tar.addfile(member, io.BytesIO(told))
    assert shard.stat().st_size == size
    after = opened(spec, tmp_path / "out")
    labels = [[split.classes[label] for label in split.labels] for split in (before, after)]
    assert labels[1] == [other[label] for label in labels[0]]


def damage(index: dict[str, Any], row: list[Any]) -> Iterator[object]:
    yield {**index, "rows": [[row[0], row[1], -5, row[3]]]}
    yield {**index, "rows": [[row[0], row[1], row[2], 2**70]]}
    yield {**index, "rows": [[row[0], ["two", "labels"], row[2], row[3]]]}
    yield {**index, "rows": [[row[0]]]}
    yield {**index, "size": index["size"] + 1}
    yield {**index, "format": "ltfix-index/9"}
    yield {"format": index["format"]}
    yield [1, 2]


@pytest.mark.parametrize("spec", SPECS)
def test_an_index_that_is_no_good_is_made_again(server: Server, tmp_path: Path, spec: str):
    spec = spec.format(tmp_path)
    kept = opened(spec, tmp_path / "out")
    (path,) = (tmp_path / "out" / FOLDER).iterdir()
    whole = path.read_bytes()
    index = json.loads(whole)
    for wrong in (b"", whole[:100], *(json.dumps(each).encode() for each in damage(index, index["rows"][0]))):
        path.write_bytes(wrong)
        assert same(opened(spec, tmp_path / "out"), kept)
        assert path.read_bytes() == whole


def test_nothing_is_known_or_kept_without_a_folder(server: Server, tmp_path: Path):
    before = sorted(tmp_path.iterdir())
    opened(f"tar:{tmp_path}/folders.tar", None)  # type: ignore[arg-type]
    assert sorted(tmp_path.iterdir()) == before


def test_what_others_laid_beside_is_not_believed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened(f"tar:{server.url}/folders.tar", tmp_path / "theirs")
    reads(server)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    opened(f"tar:{server.url}/folders.tar", tmp_path / "mine")
    assert reads(server) > 0
