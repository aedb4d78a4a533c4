"""ltfix.images.listfile: published list files as they are, and every wrong line named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images.folder import FolderSource
from ltfix.images.source import open_source
from ltfix.images.split import ABSENT


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write_list(path: Path, source: FolderSource, split: str, labels: str) -> Path:
    found = source.split(split)
    names = found.labels.tolist() if labels == "index" else [found.classes[k] for k in found.labels]
    path.write_text("".join(f"{split}/{s} {k}\n" for s, k in zip(found.samples, names, strict=True)))
    return path


@pytest.mark.parametrize("labels", ["index", "name"])
def test_a_list_gives_what_the_folder_gives(tmp_path: Path, photos: Path, labels: str):
    folder = open_source(photos)
    train = write_list(tmp_path / "train.txt", folder, "train", labels)
    test = write_list(tmp_path / "test.txt", folder, "test", labels)
    source = open_source(f"list:train={train},test={test}", root=photos)
    assert (source.splits(), source.root, source.kind) == (("train", "test"), "photos", "list")
    expected_classes = ("0", "1", "2") if labels == "index" else ("Zebra", "ant", "bee")
    assert source.classes("train") == expected_classes
    for name in source.splits():
        ours, theirs = source.split(name, source.classes("train")), folder.split(name)
        assert ours.samples == [f"{name}/{sample}" for sample in theirs.samples]
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert ours.sizes == theirs.sizes
        np.testing.assert_array_equal(ours.open(3), theirs.open(3))


def test_paths_start_at_the_lists_own_folder_and_may_hold_spaces(photos: Path):
    (photos / "train" / "ant" / "00.png").rename(photos / "a b.png")
    (photos / "mine.txt").write_text("﻿a b.png ant\r\n\r\ntrain/bee/00.png\tbig bee\r\n", encoding="utf-8")
    split = open_source(f"list:{photos / 'mine.txt'}").split("train")
    assert split.samples == ["a b.png", "train/bee/00.png"]
    assert split.classes == ("ant", "big bee")
    assert split.open(0).size == (40, 32)


def test_absolute_paths_become_relative(photos: Path):
    (photos / "mine.txt").write_text(f"{photos}/train/ant/00.png 0\n{photos}/train/bee/00.png 1\n")
    split = open_source(f"list:{photos / 'mine.txt'}").split("train")
    assert split.samples == ["train/ant/00.png", "train/bee/00.png"]
    assert split.open(1).size == (40, 32)


def test_a_bare_list_is_the_split_asked_for(photos: Path):
    (photos / "mine.txt").write_text("train/ant/00.png 0\ntrain/bee/00.png 3\n")
    source = open_source(f"list:{photos / 'mine.txt'}", split=["test"])
    assert source.splits() == ("test",)
    assert source.classes("test") == ("0", "1", "2", "3")
    with pytest.raises(UsageError, match="one split and cannot be"):
        open_source(f"list:{photos / 'mine.txt'}", split=["test", "train"])


def test_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("train/ant/00.png 1\ntrain/bee/00.png 0\n"))
    split = open_source("list:-", root=photos).split("train")
    assert split.labels.tolist() == [1, 0]
    assert split.open(0).size == (40, 32)


def test_a_missing_image_is_known_beforehand(photos: Path):
    (photos / "mine.txt").write_text("train/ant/00.png 0\ngone.png 1\n")
    split = open_source(f"list:{photos / 'mine.txt'}").split("train")
    assert split.sizes[1] == ABSENT
    with pytest.raises(InputError, match=r"no such file or folder \(.*gone\.png\)"):
        split.open(1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png 0\nb.png -1\n", r"label -1 is negative \(.*mine\.txt, line 2\)"),
        ("a.png 0\n\nb.png 3\n", r"label 3 is not below K = 3 \(.*mine\.txt, line 3\)"),
        ("a.png ant\nb.png cow\n", r"class 'cow' is not among the 3 classes \(.*mine\.txt, line 2\)"),
        ("a.png\n", r"expected a path and a label, found 'a\.png' \(.*mine\.txt, line 1\)"),
        ("\n", r"the list is empty \(.*mine\.txt\)"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, lines: str, message: str):
    (tmp_path / "mine.txt").write_text(lines)
    with pytest.raises(InputError, match=message):
        open_source(f"list:{tmp_path / 'mine.txt'}").split("train", ["Zebra", "ant", "bee"])


@pytest.mark.parametrize("label", ["99999999999999", "1" * 5000])
def test_a_label_too_large_to_be_an_index_is_refused(tmp_path: Path, label: str):
    (tmp_path / "mine.txt").write_text(f"a.png 0\nb.png {label}\n")
    with pytest.raises(InputError, match=r"is no class index \(.*mine\.txt, line 2\)"):
        open_source(f"list:{tmp_path / 'mine.txt'}").split("train")


def test_wrong_specs(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a.png 0\nb.png 1\n")
    with pytest.raises(InputError, match="no such file"):
        open_source(f"list:{tmp_path / 'b.txt'}")
    with pytest.raises(InputError, match="no such folder"):
        open_source(f"list:{tmp_path / 'a.txt'}", root=tmp_path / "none")
    for spec in ("train=a.txt,test=", "train=a.txt,b.txt", "train=a.txt,train=b.txt"):
        with pytest.raises(UsageError, match="expected list:train=F,test=G"):
            open_source(f"list:{spec}")
    (tmp_path / "bin.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a UTF-8 text file"):
        open_source(f"list:{tmp_path / 'bin.txt'}").split("train")
    with pytest.raises(InputError, match=r"no split 'val'.*it has train"):
        open_source(f"list:{tmp_path / 'a.txt'}").split("val")
