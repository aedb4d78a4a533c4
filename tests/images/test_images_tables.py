"""ltfix.images.columns and texttables: tables that give what a list gives, and every wrong row named."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images.listing import told_benchmark
from ltfix.images.source import Source, open_source
from ltfix.images.split import Split

KINDS = ("csv", "tsv", "jsonl")
ROWS = [("train/ant/00.png", "ant"), ("train/bee/00.png", "bee"), ("train/ant/01.png", "ant")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write_table(path: Path, names: list[str], rows: list[tuple[object, ...]]) -> str:
    """A table of the kind that its ending says; returns how --data names it."""
    kind = path.suffix.removeprefix(".")
    with path.open("w", encoding="utf-8", newline="") as handle:
        if kind == "jsonl":
            handle.writelines(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
        else:
            csv.writer(handle, delimiter="\t" if kind == "tsv" else ",").writerows([names, *rows])
    return f"{kind}:{path}"


def equal(ours: Split, theirs: Split) -> None:
    assert list(ours.samples) == list(theirs.samples)
    assert ours.classes == theirs.classes
    assert ours.digest == theirs.digest
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.stamps, theirs.stamps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_gives_what_a_list_gives(photos: Path, kind: str):
    (photos / "mine.txt").write_text("".join(f"{path} {label}\n" for path, label in ROWS))
    split = open_source(f"list:{photos / 'mine.txt'}").split("train")
    spec = write_table(photos / f"mine.{kind}", ["id", "label", "path"], [(1, k, p) for p, k in ROWS])
    source = open_source(spec)
    equal(source.split("train"), split)
    assert (source.kind, source.root, source.splits()) == (kind, f"mine.{kind}", ("train",))
    np.testing.assert_array_equal(source.split("train").open(2), split.open(2))
    assert open_source(spec, split=["test"]).splits() == ("test",)
    two = open_source(f"{kind}:train={photos}/mine.{kind},test={photos}/mine.{kind}")
    assert two.splits() == ("train", "test")
    equal(two.split("train"), split)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_by_their_names_and_by_name(photos: Path, kind: str):
    rows = [(path, "x", label) for path, label in ROWS]
    found = open_source(write_table(photos / f"a.{kind}", ["File_Name", "Class", "species"], rows))
    with pytest.raises(InputError, match="at least two classes"):
        found.classes("train")
    spec = write_table(photos / f"b.{kind}", ["where, it is", "Class", "species"], rows)
    named = open_source(spec, columns="path=where, it is,label=species")
    assert named.split("train").classes == ("ant", "bee")
    with pytest.raises(
        InputError, match=r"none of its columns .* a path is .*columns=path=NAME .*it has where"
    ):
        open_source(spec)
    with pytest.raises(
        InputError, match=r"there is no column 'specie' .*it has where, it is, Class, species"
    ):
        open_source(spec, columns="path=where, it is,label=specie")


@pytest.mark.parametrize("text", ["species", "name=a", "path=", "path=a,path=b"])
def test_columns_that_do_not_read_so(photos: Path, text: str):
    spec = write_table(photos / "a.csv", ["path", "label"], ROWS)
    with pytest.raises(UsageError, match="is not path=NAME"):
        open_source(spec, columns=text)


def test_only_tables_have_columns(photos: Path):
    with pytest.raises(UsageError, match="a source of kind 'folder' has no columns"):
        open_source(photos, columns="path=a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_splits(photos: Path, kind: str):
    names = ["path", "label", "split"]
    rows = [
        (path, label, of) for (path, label), of in zip(ROWS, ["train", "train", "validation"], strict=True)
    ]
    rows.insert(2, ("test/bee/00.png", "bee", "test"))
    source = open_source(write_table(photos / f"a.{kind}", names, rows), split=["train", "test"])
    assert source.splits() == ("train", "val", "test")
    assert [list(source.split(name, ("ant", "bee")).samples) for name in source.splits()] == [
        ["train/ant/00.png", "train/bee/00.png"],
        ["train/ant/01.png"],
        ["test/bee/00.png"],
    ]
    wrong = write_table(photos / f"b.{kind}", names, [*rows, ("a.png", "cow", "test")])
    with pytest.raises(
        InputError, match=rf"'cow' is not among the 2 classes \(.*line {6 - (kind == 'jsonl')}\)"
    ):
        source = open_source(wrong)
        source.split("test", source.classes("train"))


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".."])
def test_a_split_becomes_a_folder_and_must_be_a_name(photos: Path, name: str):
    spec = write_table(photos / "a.csv", ["path", "label", "split"], [(*ROWS[0], "train"), (*ROWS[1], name)])
    with pytest.raises(InputError, match=r"(is no name of a split|has no split) \(.*a\.csv, line 3\)"):
        open_source(spec)


def test_numbers_are_class_indices_as_in_lists(photos: Path):
    for kind, labels in (("jsonl", [2, 0]), ("csv", ["2", "0"]), ("jsonl", [2.0, "0"])):
        rows = [(path, label) for (path, _), label in zip(ROWS, labels, strict=False)]
        split = open_source(write_table(photos / f"a.{kind}", ["image", "target"], rows)).split("train")
        assert (split.classes, split.labels.tolist()) == (("0", "1", "2"), [2, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("", "ant"), "the row has no path"),
        (("a.png", " "), "the row has no label"),
        (("a.png", "None"), "the row has no label but 'None'"),
        (("a\nb.png", "ant"), "holds a line break"),
        (("train/ant/00.png", "bee"), "'train/ant/00.png' has two labels, 'ant' and 'bee'"),
        (("../../secret.png", "ant"), "the path '../../secret.png' leads out of root"),
    ],
)
def test_wrong_rows_are_named(photos: Path, kind: str, row: tuple[str, str], message: str):
    spec = write_table(photos / f"mine.{kind}", ["path", "label"], [*ROWS, row])
    line = r"line (4|5|6)"  # a cell of two lines ends on another
    with pytest.raises(InputError, match=rf"{message}.*\(.*mine\.{kind}, {line}"):
        open_source(spec, root=photos).split("train")


def test_a_class_called_as_what_is_missing_is_named(photos: Path):
    source = open_source(write_table(photos / "a.csv", ["path", "label"], [*ROWS, ("a.png", "none")]))
    with pytest.raises(InputError, match=r"label but 'none' \(.*line \d\).*classes=FILE names all"):
        source.classes("train")
    split = source.split("train", ("none", *sorted({label for _, label in ROWS})))
    assert split.labels[-1] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.png", "label": null}', "the row has no label (a.jsonl, line 1)"),
        ('{"path": "a.png", "label": "x"}\n\n{"path": "b.png"}', "the row has no label (a.jsonl, line 3)"),
        ('{"path": "a.png", "label": NaN}', "the row has no label (a.jsonl, line 1)"),
        (
            '{"path": "a.png", "label": ["a", "b"]}',
            "the label is ['a', 'b'], not text or a number (a.jsonl, line 1): multi-label?",
        ),
        ('{"path": "a.png", "label": "x"', "not JSON: "),
        ("[1, 2]", "not a JSON object (a.jsonl, line 1)"),
        ("", "it has no rows (a.jsonl)"),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_wrong_lines_of_json(tmp_path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        open_source("jsonl:a.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"path,label\na.png,ant,more\n", "the row has 3 columns, the first line has 2 (a.csv, line 2)"),
        (b'path,label\n"a.png,ant\n', "not a table: unexpected end of data (a.csv, line"),
        (b"path,label\n" + b"a" * 200_000 + b",b\n", "not a table: field larger than field limit"),
        (b"path,label\n", "it has no rows (a.csv)"),
        (b"", "none of its columns is called as a path is (a.csv)"),
        ("path,label\na.png,b\n".encode("utf-16"), "it is UTF-16"),
        (b"path,label\na.png,\xff\n", "not a UTF-8 text file (a.csv)"),
    ],
)
def test_wrong_texts_of_csv(tmp_path: Path, text: bytes, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes(text)
    with pytest.raises(InputError, match=re.escape(message)):
        open_source("csv:a.csv")


def test_what_spreadsheets_write(photos: Path):
    """A byte-order mark, semicolons, quotes, line ends of two bytes, a cell of two lines."""
    text = '﻿path;note;label\r\n"train/ant/00.png";"a;\r\nb";ant\r\ntrain/bee/00.png;;"big; bee"\r\n'
    (photos / "a.csv").write_bytes(text.encode())
    split = open_source(f"csv:{photos / 'a.csv'}").split("train")
    assert (list(split.samples), split.classes) == (
        ["train/ant/00.png", "train/bee/00.png"],
        ("ant", "big; bee"),
    )


def test_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO(b"path,label\ntrain/ant/00.png,a\ntrain/bee/00.png,b\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, "utf-8"))
    assert open_source("csv:-", root=photos).split("train").open(0).size == (40, 32)


def test_several_files_are_one_table(photos: Path):
    write_table(photos / "a-0.csv", ["path", "label"], ROWS[:1])
    write_table(photos / "a-1.csv", ["label", "path"], [ROWS[1][::-1], ROWS[2][::-1]])
    for pattern in ("a-*.csv", "a-{0..1}.csv", "a-{0,1}.csv"):
        source: Source = open_source(f"csv:{photos / pattern}")
        assert list(source.split("train").samples) == [path for path, _ in ROWS]
    write_table(photos / "a-1.csv", ["label", "path"], [("", "b.png")])
    with pytest.raises(InputError, match=r"has no label \(.*a-1\.csv, line 2\)"):
        open_source(f"csv:{photos / 'a-*.csv'}")
    with pytest.raises(InputError, match="no file is named so"):
        open_source(f"csv:{photos / 'b-*.csv'}")


def test_pictures_that_are_listed_twice_are_told(photos: Path):
    split = open_source(write_table(photos / "a.csv", ["path", "label"], [*ROWS, ROWS[0]])).split("train")
    assert split.notes == (f"1 picture is there more than once ({photos / 'a.csv'})",)


def test_labels_of_several_classes_are_asked_about(photos: Path):
    more = [("a.png", "ant, bee"), ("b.png", "bee,ant"), ("c.png", "Doe, J.")]
    split = open_source(write_table(photos / "a.csv", ["path", "label"], [*ROWS, *more])).split("train")
    (note,) = split.notes
    assert note.startswith("multi-label? 'ant, bee' and 1 more (")
    assert "line 5)" in note
    assert split.n_classes == 5


@pytest.mark.parametrize(
    ("rows", "classes", "told"),
    [
        (115_846, 1_000, "ImageNet-LT by its counts: 115,846 pictures of 1,000 classes"),
        (62_500, 365, "Places-LT by its counts"),
        (437_513, 8_142, "iNaturalist 2018 by its counts"),
        (437_000, 8_142, "nearly iNaturalist 2018 (437,513 pictures of 8,142 classes): 513 pictures missing"),
        (
            62_501,
            364,
            "nearly Places-LT (62,500 pictures of 365 classes): 1 picture too many, 1 class missing",
        ),
        (115_846, 365, None),
        (10_847, 100, None),
    ],
)
def test_published_lists_are_known_by_their_counts(rows: int, classes: int, told: str | None):
    found = told_benchmark(rows, classes)
    assert found is None if told is None else str(found).startswith(told)


def test_pictures_of_two_splits(photos: Path):
    names = ["path", "label", "split"]
    rows = [(*row, "train") for row in ROWS]
    source = open_source(
        write_table(photos / "a.csv", names, [*rows, (*ROWS[1], "test"), ("x.png", "ant", "test")])
    )
    assert source.split("test", ("ant", "bee")).notes == ("1 picture of test is in train too",)
    assert source.split("train").notes == ()
    wrong = open_source(write_table(photos / "b.csv", names, [*rows, (ROWS[1][0], "ant", "test")]))
    with pytest.raises(InputError, match=r"bee/00.png' has two labels, 'bee' and 'ant' \(.*b\.csv, line 5\)"):
        wrong.split("test", ("ant", "bee"))
    for folder, text in (("one", "0.png a\n1.png b\n"), ("two", "0.png b\n1.png a\n")):  # other pictures
        (photos / folder).mkdir()
        (photos / folder / "list.txt").write_text(text)
    source = open_source(f"list:train={photos}/one/list.txt,test={photos}/two/list.txt")
    assert source.split("test").notes == ()


@pytest.mark.parametrize("path", ["file:///etc/passwd", "https://host/x.png", "train/../../x.png"])
def test_no_path_leads_out_of_a_root_that_was_given(photos: Path, path: str):
    spec = write_table(photos / "a.csv", ["path", "label"], [*ROWS, (path, "ant")])
    with pytest.raises(InputError, match=r"leads out of root .*line 5"):
        open_source(spec, root=str(photos)).split("train")


def test_a_path_that_ends_at_the_root_is_inside(photos: Path):
    spec = write_table(photos / "a.csv", ["path", "label"], [*ROWS, ("train/..", "ant")])
    assert open_source(spec, root=str(photos)).split("train").samples[3] == "train/.."


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "a\ud800.png", "label": "ant"}, r"path 'a\\ud800.png' holds half of .*line 4"),
        ({"path": "a.png", "label": "\udc80"}, r"label '\\udc80' holds half of .*line 4"),
    ],
)
def test_half_of_a_surrogate_pair_is_no_text(photos: Path, row: dict[str, str], message: str):
    write_table(photos / "a.jsonl", ["path", "label"], ROWS)
    with (photos / "a.jsonl").open("a") as table:
        table.write(json.dumps(row))
    with pytest.raises(InputError, match=message):
        open_source(f"jsonl:{photos / 'a.jsonl'}").split("train")


def test_a_number_beyond_all_floats_is_no_class(photos: Path):
    rows = [(path, 10**400 * (label == "ant")) for path, label in ROWS]
    with pytest.raises(InputError, match="is no class index"):
        open_source(write_table(photos / "a.jsonl", ["path", "label"], rows)).split("train")
