"""ltfix.images.remote and places: files behind URLs, of fsspec's memory and of http on the loopback."""

from __future__ import annotations

import os
import pickle
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from pictures import write_photos
from serving import Server, serving

from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.images import remote
from ltfix.images.pictures import FilePictures
from ltfix.images.places import expand
from ltfix.images.remote import ABSENT
from ltfix.images.source import open_source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = write_photos(tmp_path / "photos")
    (folder / "train" / "ant" / "00.png").rename(folder / "train" / "ant" / "a b#1%.png")
    split = open_source(folder).split("train")
    rows = [(f"train/{s}", split.classes[k]) for s, k in zip(split.samples, split.labels, strict=True)]
    (folder / "train.txt").write_text("".join(f"{path} {label}\n" for path, label in rows))
    (folder / "train.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    for name in ("train", "test"):
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            tar.add(folder / name, name)
    return folder


@pytest.fixture
def server(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote, "WAIT", 0.0)
    with serving(photos) as server:
        yield server


@pytest.fixture
def memory(photos: Path) -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    fs.put(str(photos), "/bucket", recursive=True)
    yield "memory://bucket"
    fs.rm("/bucket", recursive=True)


@pytest.mark.parametrize("spec", ["list:{}/train.txt", "csv:{}/train.csv", "tar:{}/train.tar"])
@pytest.mark.parametrize("place", ["server", "memory"])
def test_the_pictures_of_the_folder(photos: Path, place: str, spec: str, request: pytest.FixtureRequest):
    where = request.getfixturevalue(place)
    url = where if isinstance(where, str) else where.url
    ours, theirs = open_source(spec.format(url)).split("train"), open_source(photos).split("train")
    assert (ours.classes, ours.root) == (theirs.classes, spec.rpartition("/")[2])
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.sizes, theirs.sizes)
    again = pickle.loads(pickle.dumps(ours))
    for row in range(len(ours)):
        assert again.pictures.read(row) == theirs.pictures.read(row)
    assert url in ours.pictures.where(0)


def test_urls_in_a_local_list(server: Server, photos: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text(f"{server.url}/train/ant/01.png a\nphotos/train/bee/00.png b\n")
    split = open_source(f"list:{tmp_path / 'mine.txt'}").split("train")
    assert split.open(0).size == split.open(1).size == (40, 32)


def test_pictures_below_a_url(server: Server, photos: Path):
    split = open_source(f"list:{photos / 'train.txt'}", root=server.url).split("train")
    assert split.samples[5].startswith("train/ant/")
    assert split.open(5).size == (40, 32)


def test_a_replaced_object_is_seen(server: Server, photos: Path):
    for spec, file in (("list:{}/train.txt", "train/ant/01.png"), ("tar:{}/train.tar", "train.tar")):
        before = open_source(spec.format(server.url)).split("train")
        os.utime(photos / file, ns=(1, 1))
        after = open_source(spec.format(server.url)).split("train")
        assert before.digest == after.digest
        assert before.stamps is not None
        assert (before.stamps != after.stamps).sum() == (1 if "list" in spec else 9)


def test_what_is_missing_is_known_beforehand(server: Server, photos: Path):
    (photos / "train" / "ant" / "01.png").unlink()
    split = open_source(f"list:{server.url}/train.txt").split("train")
    row = list(split.samples).index("train/ant/01.png")
    assert split.sizes[row] == ABSENT
    with pytest.raises(InputError, match=r"no such file \(http.*/train/ant/01\.png\)"):
        split.open(row)
    with pytest.raises(InputError, match=r"no such file \(http.*/none\.csv\)"):
        open_source(f"csv:{server.url}/none.csv")


def test_an_enormous_picture_is_not_read(server: Server, photos: Path, monkeypatch: pytest.MonkeyPatch):
    split = open_source(f"list:{server.url}/train.txt").split("train")
    monkeypatch.setattr("ltfix.images.pictures.MAX_BYTES", 50)
    server.asked = []
    for read in (lambda: split.open(0), lambda: FilePictures(server.url, split.samples[:1]).read(0)):
        with pytest.raises(InputError, match=r"enormous, above 50 bytes \(http://.*\.png\)"):
            read()
    assert [asked.partition(" ")[0] for asked in server.asked] == ["HEAD"]


@pytest.mark.parametrize("spec", ["csv:{}/train.csv", "tar:{}/train.tar"])
def test_failures_are_tried_again_thrice(server: Server, spec: str):
    server.failing = 3
    assert len(open_source(spec.format(server.url)).split("train")) == 9
    split = open_source(spec.format(server.url)).split("train")
    server.failing, server.asked = 1000, []
    with pytest.raises(InputError, match=r"cannot be read, tried 4 times: .*503.*\(http://127.*/train"):
        split.open(0)
    assert len(server.asked) == 4
    server.failing = 2
    assert split.open(0).size == (40, 32)


@pytest.mark.parametrize("spec", ["csv:{}/train.csv", "list:{}/train.txt", "tar:{}/train.tar"])
def test_an_answer_that_ends_half_way_is_asked_for_again(server: Server, spec: str):
    server.halving = 3
    split = open_source(spec.format(server.url)).split("train")
    assert (len(split), server.halving) == (9, 0)
    server.halving = 1000
    with pytest.raises(InputError, match=r"cannot be read, tried 4 times: [^\n]*\(http://127[^\n]*/train"):
        open_source(spec.format(server.url)).split("train")


def test_a_server_without_parts_is_named(server: Server):
    split = open_source(f"tar:{server.url}/train.tar").split("train")
    server.parts = False
    with pytest.raises(InputError, match=r"does not give parts of a file \(http.*train\.tar\): download it"):
        split.open(0)


def test_no_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "WAIT", 0.0)
    with pytest.raises(InputError, match=r"tried 4 times.*\(http://127\.0\.0\.1:9/a\.csv\)"):
        open_source("csv:http://127.0.0.1:9/a.csv")


def test_patterns(memory: str, server: Server):
    assert [url.rpartition("bucket/")[2] for url in expand(f"{memory}/t*.tar")] == ["test.tar", "train.tar"]
    assert open_source(f"tar:{memory}/t*n.tar").splits() == ("train",)
    assert expand("http://x/{08..11}.tar") == [f"http://x/{i:02}.tar" for i in range(8, 12)]
    assert expand("s3://b/{a,b}-{0..1}.csv") == [f"s3://b/{w}-{i}.csv" for w in "ab" for i in range(2)]
    source = open_source(f"tar:train={server.url}/train.tar,test={server.url}/test.tar")
    assert [len(source.split(name)) for name in source.splits()] == [9, 6]
    with pytest.raises(InputError, match="no file is named so"):
        expand(f"{memory}/none*.tar")


def test_a_url_needs_its_kind_and_a_known_protocol(server: Server):
    with pytest.raises(UsageError, match=r"say what it is: one of list:, csv:"):
        open_source(f"{server.url}/train.tar")
    with pytest.raises(InputError, match=r"(?i)protocol.*\(nothing://b/a\.csv\)"):
        open_source("csv:nothing://b/a.csv")


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(EnvironmentFault, match=r'pip install "ltfix\[remote\]"'):
        open_source("csv:http://127.0.0.1:9/a.csv")


def test_a_protocol_without_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(EnvironmentFault, match=r"needs another package \(s3://b/a\.csv\): install s3fs"):
        open_source("csv:s3://b/a.csv")
