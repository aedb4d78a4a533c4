"""ltfix.images.listfile: published list files as they are, and every wrong line named."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images import pictures
from ltfix.images.places import look_at
from ltfix.images.remote import ABSENT
from ltfix.images.source import Source, open_source, read_classes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write_list(path: Path, source: Source, split: str, labels: str) -> Path:
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
        np.testing.assert_array_equal(ours.sizes, theirs.sizes)
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
        ("\x0b\n", r"expected a path and a label, found '\\x0b' \(.*mine\.txt, line 1\)"),
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


def listed(folder: Path, text: str | bytes, name: str = "mine.txt") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return f"list:{folder / name}"


class TestNumbers:
    """One rule: whole numbers in every list are class indices, anything else makes all labels names."""

    def test_as_written_with_a_sign_or_a_point(self, photos: Path):
        split = open_source(listed(photos, "train/ant/00.png 2.0\ntrain/bee/00.png +1\na.png 0.\n")).split(
            "train"
        )
        assert split.labels.tolist() == [2, 1, 0]
        assert split.classes == ("0", "1", "2")

    @pytest.mark.parametrize("label", ["2.5", "1e0", ".5", "1e-3"])
    def test_fractions_are_no_names(self, photos: Path, label: str):
        with pytest.raises(InputError, match=r"is no class index \(.*mine\.txt, line 2\)"):
            open_source(listed(photos, f"a.png 0\nb.png {label}\n")).split("train")

    @pytest.mark.parametrize("other", ["cat", "1_0", "٣", "0x2"])
    def test_one_name_makes_all_names_and_that_is_told(self, photos: Path, other: str):
        split = open_source(listed(photos, f"a.png 10\nb.png 9\nc.png {other}\n")).split("train")
        assert split.classes == tuple(sorted(["10", "9", other]))
        assert [split.classes[k] for k in split.labels] == ["10", "9", other]
        assert any(f"labels are class names, for {other!r} is no number" in note for note in split.notes)

    @pytest.mark.parametrize("header", ["path label", "image\tclass name", "file_name category_id"])
    def test_a_header_changes_nothing(self, photos: Path, header: str):
        rows = "train/ant/00.png 1\ntrain/bee/00.png 0\n"
        plain = open_source(listed(photos, rows)).split("train")
        headed = open_source(listed(photos, f"{header}\n{rows}")).split("train")
        assert (headed.samples, headed.classes) == (plain.samples, plain.classes)
        assert headed.labels.tolist() == plain.labels.tolist() == [1, 0]
        assert headed.notes[0].startswith("taken for a header: ")

    def test_nor_one_above_names(self, photos: Path):
        headed = open_source(listed(photos, "image label\ntrain/ant/00.png ant\ntrain/bee/00.png bee\n"))
        assert headed.split("train").classes == ("ant", "bee")

    def test_a_missing_picture_is_no_header(self, photos: Path):
        split = open_source(listed(photos, "gone.png cow\ntrain/bee/00.png bee\n")).split("train")
        assert split.classes == ("bee", "cow")

    @pytest.mark.parametrize("swapped", [False, True])
    def test_two_lists_that_would_be_read_differently(self, photos: Path, swapped: bool):
        listed(photos, "a.png 0\nb.png 1\n", "numbers.txt")
        listed(photos, "a.png ant\nb.png 1\n", "names.txt")
        files = [photos / "names.txt", photos / "numbers.txt"][:: -1 if swapped else 1]
        source = open_source(f"list:train={files[0]},test={files[1]}")
        with pytest.raises(
            InputError, match=r"label 'ant' makes .* names, and .* are numbers \(.*names\.txt, line 1"
        ):
            source.split("train")

    def test_an_index_that_is_another_classs_name(self, photos: Path):
        """Folders 0 to 11 in text order: 2 is the index of folder 10 and the name of another."""
        text_order = tuple(sorted(map(str, range(12))))
        source = open_source(listed(photos, "a.png 1\nb.png 2\n"))
        both = (
            r"label 2 is class '10' by its index and class '2' by its name .*line 2\): classes_order=numeric"
        )
        with pytest.raises(InputError, match=both):
            source.split("train", text_order)
        assert source.split("train", tuple(map(str, range(12)))).labels.tolist() == [1, 2]

    def test_numbers_from_1_are_only_indices_where_0_is_listed_too(self, photos: Path):
        names = tuple(map(str, range(1, 13)))
        with pytest.raises(InputError, match=r"label 1 is class '2' by its index and class '1' by its name"):
            open_source(listed(photos, "a.png 1\nb.png 3\n")).split("train", names)
        assert open_source(listed(photos, "a.png 1\nb.png 0\n")).split("train", names).labels.tolist() == [
            1,
            0,
        ]
        with pytest.raises(InputError, match=r"label 12 is not below K = 12.*from 0, not a name"):
            open_source(listed(photos, "a.png 12\n")).split("train", names)


class TestText:
    @pytest.mark.parametrize("where", ["file", "stdin"])
    def test_byte_order_marks(self, photos: Path, where: str, monkeypatch: pytest.MonkeyPatch):
        raw = "\ufefftrain/ant/00.png 1\n\ufefftrain/bee/00.png 0\n".encode()  # two files, joined
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))
        spec = listed(photos, raw) if where == "file" else "list:-"
        split = open_source(spec, root=photos).split("train")
        assert split.samples == ["train/ant/00.png", "train/bee/00.png"]
        assert split.classes == ("0", "1")

    def test_utf_16_is_named(self, photos: Path):
        with pytest.raises(InputError, match=r"not a UTF-8 text file .*it is UTF-16"):
            open_source(listed(photos, "a.png 1\n".encode("utf-16"))).split("train")

    def test_a_class_in_another_unicode_form(self, photos: Path):
        nfc, nfd = "caf\u00e9", "cafe\u0301"
        with pytest.raises(InputError, match=r"is not among the 2 classes .*another Unicode form"):
            open_source(listed(photos, f"a.png {nfd}\n")).split("train", (nfc, "tea"))
        with pytest.raises(InputError, match="is there twice, in two Unicode forms"):
            open_source(listed(photos, f"a.png {nfd}\nb.png {nfc}\n")).split("train")

    def test_a_picture_in_another_unicode_form(self, photos: Path):
        (photos / "train" / "bee" / "00.png").rename(photos / "cafe\u0301.png")
        split = open_source(listed(photos, "caf\u00e9.png bee\ntrain/ant/00.png ant\n")).split("train")
        with pytest.raises(InputError, match=r"no such file .*another Unicode form"):
            split.open(0)

    @pytest.mark.parametrize("name", ["a,b.txt", "a=b.txt", "train=a.txt", "a,test=b.txt", "a,b,c=d,e.txt"])
    def test_commas_and_equal_signs_in_a_path(self, photos: Path, name: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(photos)
        listed(photos, "train/ant/00.png 0\ntrain/bee/00.png 1\n", name)
        listed(photos, "test/ant/00.png 0\n", "other.txt")
        assert open_source(f"list:{name}").split("train").counts.tolist() == [1, 1]
        source = open_source(f"list:train={name},test=other.txt")
        assert [len(source.split(split, ("0", "1"))) for split in source.splits()] == [2, 1]

    def test_a_nul(self, photos: Path):
        with pytest.raises(InputError, match=r"holds a NUL \(.*line 1"):
            open_source(listed(photos, "a\0.png 0\nb.png 1\n")).split("train")
        for spec in ("list:a\0b", "a\0b", "list:train=a\0b"):
            with pytest.raises(InputError, match="no such file"):
                open_source(spec)

    @pytest.mark.parametrize("how", ["many", "one by one", "unread", "windows"])
    def test_files_are_looked_at_as_one_is(self, photos: Path, how: str, monkeypatch: pytest.MonkeyPatch):
        names = ["train/ant/00.png", "none.png", str(photos / "train" / "bee" / "00.png")] * 3
        monkeypatch.setattr(pictures, "_BLOCK", 2)
        if how == "one by one":  # without the extension
            monkeypatch.setattr(pictures, "LOOKS_AT_ONCE", 1)
        if how == "windows":
            monkeypatch.setattr(os, "supports_fd", set())
        if how == "unread":  # a folder that may be entered, but not read
            monkeypatch.setattr(pictures, "entered", raising(PermissionError))
        _, sizes, stamps = pictures.below(str(photos), names)
        expected = [look_at(photos / name) for name in names]
        assert list(zip(sizes.tolist(), stamps.tolist(), strict=True)) == expected
        assert [len(each) for each in pictures.below(str(photos), [])[1:]] == [0, 0]

    def test_what_a_shell_puts_for_a_command(self, photos: Path):
        with open_pipe(b"train/ant/00.png 0\ntrain/bee/00.png 1\n") as end:
            assert len(open_source(f"list:/dev/fd/{end}", root=photos).split("train")) == 2


def raising(error: type[Exception]) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


@contextlib.contextmanager
def open_pipe(text: bytes) -> Iterator[int]:
    """The reading end of a pipe that holds ``text``."""
    end, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    try:
        yield end
    finally:
        os.close(end)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_only_regular_files_are_lists(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(tmp_path):
        end.bind("socket")
    for name in (tmp_path / "pipe", tmp_path / "socket", "/dev/zero", tmp_path):
        for spec in (f"list:{name}", f"list:train={name}"):
            with pytest.raises(InputError, match="not a file"):
                open_source(spec)
        with pytest.raises(InputError, match="not a file"):
            read_classes(name)
