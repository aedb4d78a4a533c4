"""Tables of numbers: read alike from .csv and .npz, cut, split, and refused in one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from ltfix.errors import InputError, UsageError
from ltfix.images.numbers import numbers_of
from ltfix.images.source import open_source

X = np.array([[0.5, 1e9], [2, 3], [4, 5], [6, -7]])
Y, SPLIT = ["b", "a", "b", "a"], ["train", "train", "train", "validation"]


@pytest.fixture(params=["csv", "npz"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / f"table.{request.param}"
    if request.param == "npz":
        np.savez(path, X=X, y=np.array(Y), split=np.array(SPLIT))
    else:
        rows = [f"{a},{label},{b},{of}" for (a, b), label, of in zip(X.tolist(), Y, SPLIT, strict=True)]
        path.write_text("\n".join(["p,Class,q,split", *rows, ""]))
    return str(path)


def test_rows_labels_and_splits_are_those_of_the_file(table: str) -> None:
    source = open_source(table)
    assert (source.kind, source.splits(), source.classes("train")) == ("table", ("train", "val"), ("a", "b"))
    train, val = source.split("train"), source.split("val", ("a", "b"))
    assert train.labels.tolist() == [1, 0, 1] and val.labels.tolist() == [0]
    found = numbers_of(train)
    assert found is not None and len(found[0]) == 2
    np.testing.assert_array_equal(found[1], X[:3])
    cut = numbers_of(train.subset(np.array([2, 0])))
    assert cut is not None
    np.testing.assert_array_equal(cut[1], X[[2, 0]])
    with pytest.raises(InputError, match="no picture"):
        train.open(0)


@pytest.mark.parametrize(
    ("columns", "kind", "said"),
    [
        ("keep=a,b", UsageError, "not keep .*leave keep=… out"),
        ("path=p", UsageError, "not path"),
        ("split=nosuch", InputError, "no column 'nosuch' .*columns=split=NAME says which; it has "),
        ("label=nosuch", InputError, "no column 'nosuch' .*columns=label=NAME"),
    ],
)
def test_columns_that_a_table_has_not(table: str, columns: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        open_source(table, columns=columns)


def test_a_number_that_changes_changes_the_digest(tmp_path: Path) -> None:
    digests = set()
    for x in (X, X + 1, X):
        np.savez(tmp_path / "t.npz", X=x, y=np.array(Y))
        digests.add(open_source(tmp_path / "t.npz").split("train").digest)
    assert len(digests) == 2


def test_files_of_splits_and_a_named_label(tmp_path: Path) -> None:
    for name in ("one", "two"):
        between = ";" if name == "one" else "\t"
        (tmp_path / f"{name}.csv").write_text("kind;v\nx;1\ny;2\n".replace(";", between))
    spec = f"table:train={tmp_path}/one.csv,test={tmp_path}/two.csv"
    source = open_source(spec, columns="label=kind")
    assert source.splits() == ("train", "test") and source.split("test").labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,class\na.jpg,x\n", "image is 'a.jpg', no number .*row 1"),
        ("a,b\n1,2\n", "called as a label"),
        ("a,y\n1,0\n,1\n", "a is nan .*row 2"),
        ("a,y\n1,0\ninf,1\n", "a is inf"),
        ("a,y\n1,0\n2,\n", "no label .*row 2"),
        ("a,b,y\n1,0\n", "2 columns, the first line has 3"),
        ("a,y\n", "no rows"),
        ('a,y\n"1,0\n', "not a table"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        open_source(path).classes("train")


def test_arrays_that_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    for arrays, said in (
        ({"X": X}, "label"),
        ({"X": X[0], "y": [1]}, "numbers .N, d. and labels"),
        ({"X": X, "y": [1, 2, 3, 4], "split": ["train"]}, "4 rows and 1 names"),
        ({"X": X, "y": [1, 2, 3, 4], "split": "test"}, "4 rows and 1 names"),
        ({"X": np.array([[None]]), "y": [1]}, "not a readable"),
    ):
        np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
        with pytest.raises(InputError, match=said):
            open_source(path)
    torn, array = path.read_bytes()[:100], io.BytesIO()
    np.save(array, X)
    np.savez_compressed(path, X=np.zeros((99, 9)), y=np.zeros(99))
    whole = path.read_bytes()
    flag = whole.index(b"PK\1\2") + 8
    encrypted = whole[:flag] + b"\1" + whole[flag + 1 :]
    for data in (torn, array.getvalue(), encrypted, whole[:60] + bytes(40) + whole[100:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not a readable"):
            open_source(path)
    (tmp_path / "a.csv").write_text("a,y\n1,0\n")
    (tmp_path / "b.csv").write_text("a,y\n1,0\n")
    with pytest.raises(UsageError, match="2 files"):
        open_source(f"table:{tmp_path}/*.csv")
