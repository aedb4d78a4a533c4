"""ltfix.images.unlabelled: pictures at any depth, paths alone, and sources whose labels are not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import make_image, write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images.unlabelled import open_unlabelled, read_paths


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_image(0).save(path, format="png")


def test_a_folder_at_any_depth(tmp_path: Path):
    for name in ("b.png", "a/z.png", "a/deep/é 1.JPG", ".hidden/c.png"):
        write(tmp_path / "new" / name)
    (tmp_path / "new" / "notes.txt").write_text("none")
    split = open_unlabelled(tmp_path / "new")
    assert list(split.samples) == ["a/deep/é 1.JPG", "a/z.png", "b.png"]
    assert (split.name, split.classes, split.labels.tolist()) == ("unlabelled", (), [0, 0, 0])
    assert split.open(0).size == (40, 32)
    assert split.notes == ("1 file of new does not end as pictures do and is left out: 1 .txt",)


def test_one_picture(tmp_path: Path):
    write(tmp_path / "a.PNG")
    split = open_unlabelled(tmp_path / "a.PNG")
    assert (list(split.samples), split.open(0).size) == (["a.PNG"], (40, 32))


def test_the_folder_of_a_split(tmp_path: Path):
    photos = write_photos(tmp_path / "photos")
    assert len(open_unlabelled(photos)) == 15
    split = open_unlabelled(photos, split=["test"])
    assert (split.name, len(split), split.samples[0]) == ("test", 6, "Zebra/00.png")


def test_a_list_of_paths_with_and_without_labels(tmp_path: Path):
    for name in ("a b.png", "c.png", "d"):
        write(tmp_path / name)
    rows = ["\ufeffa b.png", "", "a b.png cup", "c.png\ttwo words", "d", "c.png 7"]
    (tmp_path / "new.txt").write_text("\n".join(rows), encoding="utf-8")
    assert list(read_paths(str(tmp_path / "new.txt"))) == ["a b.png", "a b.png", "c.png", "d", "c.png"]
    split = open_unlabelled(f"list:{tmp_path}/new.txt")
    assert [split.open(i).size for i in range(5)] == [(40, 32)] * 5


def test_a_table_whose_labels_are_not_looked_at(tmp_path: Path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    (tmp_path / "new.csv").write_text("path,label\na.png,unheard of\nb.png,neither\n")
    split = open_unlabelled(f"csv:{tmp_path}/new.csv")
    assert (list(split.samples), split.classes, split.labels.tolist()) == (["a.png", "b.png"], (), [0, 0])


def test_a_table_without_labels(tmp_path: Path):
    for name in ("a.png", "b.png"):
        write(tmp_path / name)
    tables = {
        "new.csv": "file,label,split\na.png,,train\nb.png,,new\nb.png,x,new\n",
        "new.tsv": "n\tfile\n1\tb.png\n2\tb.png\n",
        "new.jsonl": '{"file": "b.png"}\n{"file": "b.png"}\n',
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
        split = open_unlabelled(f"{name[4:]}:{tmp_path}/{name}", split=["new"])
        assert (list(split.samples), split.classes) == (["b.png"] * 2, ()), name
        assert split.open(1).size == (40, 32)
    named = open_unlabelled(f"tsv:{tmp_path}/new.tsv", columns="path=file,label=absent")
    assert list(named.samples) == ["b.png"] * 2


@pytest.mark.parametrize("kind", ["path", "bytes", "struct"])
def test_a_parquet_table_without_labels(tmp_path: Path, kind: str):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    cell = {"path": "a.png", "bytes": data, "struct": {"bytes": data, "path": "a.png"}}[kind]
    parquet.write_table(pyarrow.table({"image": [cell] * 2, "note": [1, 2]}), tmp_path / "new.parquet")
    split = open_unlabelled(f"parquet:{tmp_path}/new.parquet")
    assert (len(split), split.classes, split.open(1).size) == (2, (), (40, 32))


def test_refusals(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"no pictures .*empty.*\.jpg"):
        open_unlabelled(tmp_path / "empty")
    with pytest.raises(InputError, match=r"not a folder .*list:FILE"):
        open_unlabelled(tmp_path / "file")
    with pytest.raises(InputError, match="no such file or folder"):
        open_unlabelled(tmp_path / "absent")
    with pytest.raises(UsageError, match="one split"):
        open_unlabelled(tmp_path, split=["a", "b"])


def test_a_list_of_one_of_several_splits(tmp_path: Path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.png")
        (tmp_path / f"{name}, all.txt").write_text(f"{name}.png\n")
    both = f"list:train={tmp_path}/a, all.txt,test={tmp_path}/b, all.txt"
    split = open_unlabelled(both, split=["test"])
    assert (split.name, list(split.samples)) == ("test", ["b.png"])
    assert list(open_unlabelled(f"list:{tmp_path}/a, all.txt").samples) == ["a.png"]
    with pytest.raises(UsageError, match=r"has the splits train, test .*split=test takes one"):
        open_unlabelled(both)
    with pytest.raises(InputError, match=r"no split 'val'.*has train, test"):
        open_unlabelled(both, split=["val"])


def test_no_path_leads_out_of_a_root_that_was_given(tmp_path: Path):
    write(tmp_path / "new" / "a.png")
    for other in ("../b.png", "file:///etc/passwd", f"{tmp_path}/b.png"):
        (tmp_path / "all.txt").write_text(f"{tmp_path}/new/a.png\n{other}\n")
        with pytest.raises(InputError, match=r"leads out of root \(.*all\.txt, picture 2"):
            open_unlabelled(f"list:{tmp_path}/all.txt", root=tmp_path / "new")
    assert open_unlabelled(f"list:{tmp_path}/all.txt").samples[0] == "new/a.png"
