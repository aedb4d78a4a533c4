"""ltfix.images.tar, zip and wds: archives that give what a folder gives, and every fault named."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images.source import open_source
from ltfix.images.split import Split

Files = list[tuple[str, bytes]]


def write_tar(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, (name, data) in enumerate(files):
            archive.writestr(name, data, zipfile.ZIP_STORED if i % 2 else zipfile.ZIP_DEFLATED)
    return path


WRITERS: dict[str, Callable[[Path, Iterable[tuple[str, bytes]]], Path]] = {"tar": write_tar, "zip": write_zip}
kinds = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = write_photos(tmp_path / "photos")
    deep = folder / "train" / "ant" / "deep"
    deep.mkdir()
    (folder / "train" / "ant" / "00.png").rename(deep / "00.png")
    return folder


def files_below(folder: Path, prefix: str = "") -> Files:
    """Names and bytes in no order that anything would rely on."""
    paths = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.name + str(p))
    return [(prefix + path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]


def same_pictures(ours: Split, theirs: Split) -> None:
    assert (ours.classes, list(ours.samples)) == (theirs.classes, list(theirs.samples))
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.sizes, theirs.sizes)
    assert ours.digest == theirs.digest
    for row in range(len(ours)):
        assert ours.pictures.read(ours.row(row)) == theirs.pictures.read(theirs.row(row))


@kinds
@pytest.mark.parametrize("prefix", ["", "./", "photos/", "a/b/", "/"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, photos: Path, kind: str, prefix: str):
    archive = WRITERS[kind](tmp_path / f"a.{kind}", files_below(photos, prefix))
    source, folder = open_source(f"{kind}:{archive}"), open_source(photos)
    assert (source.splits(), source.root, source.kind) == (("train", "test"), f"a.{kind}", kind)
    for name in source.splits():
        same_pictures(source.split(name), folder.split(name))
    turned = ("bee", "ant", "Zebra")
    same_pictures(source.split("train", turned), folder.split("train", turned))
    np.testing.assert_array_equal(source.split("train").open(5), folder.split("train").open(5))
    again = pickle.loads(pickle.dumps(source.split("train")))
    assert again.pictures.read(2) == source.split("train").pictures.read(2)


@kinds
def test_several_archives_and_an_archive_a_split(tmp_path: Path, photos: Path, kind: str):
    train = files_below(photos / "train")
    for i in range(3):
        WRITERS[kind](tmp_path / f"train-{i}.{kind}", train[i::3])
    WRITERS[kind](tmp_path / f"test.{kind}", files_below(photos / "test", "test/"))
    source = open_source(f"{kind}:train={tmp_path}/train-{{0..2}}.{kind},test={tmp_path}/test.{kind}")
    for name in ("train", "test"):
        same_pictures(source.split(name), open_source(photos).split(name))
    bare = f"{kind}:{tmp_path}/train-*.{kind}"
    assert open_source(bare, split=["mine"]).splits() == ("mine",)
    with pytest.raises(UsageError, match="one split and cannot be"):
        open_source(bare, split=["mine", "yours"])


@kinds
def test_other_files_are_told_and_hidden_ones_skipped(tmp_path: Path, photos: Path, kind: str):
    more = [
        ("train/ant/._00.png", b"x"),
        ("__MACOSX/train/ant/00.png", b""),
        ("train/ant/a.txt", b"x"),
        ("readme", b""),
    ]
    archive = WRITERS[kind](tmp_path / f"a.{kind}", [*files_below(photos), *more])
    split = open_source(f"{kind}:{archive}").split("train")
    assert len(split) == 9
    assert split.notes == ("1 file of train does not end as pictures do and is left out: 1 .txt",)


@kinds
def test_names_never_become_paths(tmp_path: Path, photos: Path, kind: str):
    """Neither what lies there nor what does not is looked at: the bytes are the member's own."""
    victim = tmp_path / "victim.png"
    victim.write_bytes(b"secret")
    bees = files_below(photos / "train" / "bee", "bee/")
    wild = [(f"ant/../../..{victim}", bees[0][1]), ("ant//x.png", bees[1][1]), ("ant/C:\\x.png", bees[0][1])]
    split = open_source(f"{kind}:{WRITERS[kind](tmp_path / f'a.{kind}', [*bees, *wild])}").split("train")
    assert split.counts.tolist() == [3, 2]
    assert all(split.open(row).size == (40, 32) for row in range(5))
    assert victim.read_bytes() == b"secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{kind}", "photos", "victim.png"]


@kinds
def test_names_that_are_numbers_are_names(tmp_path: Path, photos: Path, kind: str):
    data = files_below(photos / "train")[0][1]
    archive = WRITERS[kind](tmp_path / f"a.{kind}", [(f"{i}/0.png", data) for i in (10, 9, 1)])
    assert open_source(f"{kind}:{archive}").split("train").classes == ("1", "10", "9")


@kinds
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.png", b"x")], "no pictures in class folders (a.{kind})"),
        (
            [("1.jpg", b"x"), ("1.cls", b"0")],
            "no pictures in class folders (a.{kind}): webdataset's shards are wds:",
        ),
        ([], "no pictures in class folders (a.{kind})"),
        ([("a/1.png", b""), ("b/1.png", b""), ("./a/1.png", b"x")], "'a/1.png' is there twice (a.{kind})"),
        ([("a/1\n.png", b""), ("b/1.png", b"")], "holds a line break"),
        ([("a/1.png", b""), ("a/2.png", b"")], "at least two classes are needed"),
    ],
)
def test_wrong_archives_are_named(
    tmp_path: Path, kind: str, files: Files, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    WRITERS[kind](Path(f"a.{kind}"), files)
    with pytest.raises(InputError, match=re.escape(message.format(kind=kind))):
        open_source(f"{kind}:a.{kind}").split("train")


@kinds
def test_a_cut_archive_is_one_line(tmp_path: Path, photos: Path, kind: str):
    whole = WRITERS[kind](tmp_path / f"a.{kind}", files_below(photos)).read_bytes()
    for length in (0, 10, 600, len(whole) // 2):
        (tmp_path / f"b.{kind}").write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"not a whole {kind}.*\(.*b\.{kind}\)"):
            open_source(f"{kind}:{tmp_path}/b.{kind}")


@kinds
def test_an_archive_that_is_cut_later_is_one_line(tmp_path: Path, photos: Path, kind: str):
    archive = WRITERS[kind](tmp_path / f"a.{kind}", files_below(photos))
    split = open_source(f"{kind}:{archive}").split("train")
    os.truncate(archive, 900)
    with pytest.raises(InputError, match=r"cut off|a corrupt member"):
        for row in range(len(split)):
            split.open(row)


def test_packed_tars_say_how_to_unpack(tmp_path: Path, photos: Path):
    archive = write_tar(tmp_path / "a.tar", files_below(photos))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(InputError, match=r"compressed tar .*a\.tar\.gz\): unpack it once: gunzip -k "):
        open_source(f"tar:{tmp_path}/a.tar.gz")


def test_hard_links_and_other_members_of_tars(tmp_path: Path, photos: Path):
    files = files_below(photos / "train")
    with tarfile.open(write_tar(tmp_path / "a.tar", files), "a") as tar:
        for name, kind, target in (
            ("bee/hard.png", tarfile.LNKTYPE, "bee/00.png"),
            ("bee/soft.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("bee/pipe.png", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    split = open_source(f"tar:{tmp_path}/a.tar").split("train")
    names = list(split.samples)
    assert "bee/hard.png" in names and not {"bee/soft.png", "bee/pipe.png"} & set(names)
    read = [split.pictures.read(split.row(names.index(name))) for name in ("bee/hard.png", "bee/00.png")]
    assert read[0] == read[1]


def test_a_zip_bomb_and_wrong_bytes(tmp_path: Path, photos: Path):
    archive = write_zip(tmp_path / "a.zip", [("a/0.png", bytes(100_000)), ("b/0.png", b"x")])
    raw = bytearray(archive.read_bytes())
    split = open_source(f"zip:{archive}").split("train")
    assert split.pictures.read(0) == bytes(100_000)
    central = raw.rindex(b"PK\1\2", 0, raw.rindex(b"PK\1\2"))
    for at, value, message in (
        (24, 0xFFFFFFF0, "is enormous"),
        (24, 5, "a corrupt member"),
        (16, 7, "a corrupt member"),
    ):
        wrong = raw.copy()
        wrong[central + at : central + at + 4] = value.to_bytes(4, "little")
        archive.write_bytes(wrong)
        with pytest.raises(InputError, match=rf"{message}.*a\.zip: a/0\.png"):
            open_source(f"zip:{archive}").split("train").open(0)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a/0.png", b"x")
    with pytest.raises(InputError, match=r"packed in a way that is not read \(.*a\.zip: a/0\.png\)"):
        open_source(f"zip:{archive}")


@kinds
def test_threads_read_side_by_side(tmp_path: Path, photos: Path, kind: str):
    archive = WRITERS[kind](tmp_path / f"a.{kind}", files_below(photos))
    split = open_source(f"{kind}:{archive}").split("train")
    expected = [split.pictures.read(row) for row in range(9)]
    wrong = list[int]()

    def read() -> None:
        wrong.extend(row for _ in range(30) for row in range(9) if split.pictures.read(row) != expected[row])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_replaced_archive_is_seen(tmp_path: Path, photos: Path):
    archive = write_tar(tmp_path / "a.tar", files_below(photos))
    before = open_source(f"tar:{archive}").split("train")
    os.utime(archive, ns=(1, 1))
    after = open_source(f"tar:{archive}").split("train")
    assert before.digest == after.digest
    assert before.stamps is not None and (before.stamps != after.stamps).all()


class TestWebdataset:
    def shards(self, folder: Path, photos: Path, form: str = "cls") -> str:
        """Two shards of the training pictures; the label is the class's index, or its name in a JSON."""
        split = open_source(photos).split("train")
        files: Files = []
        for row in range(len(split)):
            label, name = int(split.labels[row]), split.classes[int(split.labels[row])]
            text = str(label) if form == "cls" else json.dumps({"label": name, "width": 40})
            files += [(f"x/{row:04}.{form}", text.encode()), (f"x/{row:04}.png", split.pictures.read(row))]
        write_tar(folder / "s-000.tar", files[:8])
        write_tar(folder / "s-001.tar", [*files[8:], ("x/0009.txt", b"a caption")])
        return f"wds:{folder}/s-{{000..001}}.tar"

    @pytest.mark.parametrize("form", ["cls", "json"])
    def test_the_pictures_of_a_folder(self, tmp_path: Path, photos: Path, form: str):
        ours, theirs = (
            open_source(self.shards(tmp_path, photos, form)).split("train"),
            open_source(photos).split("train"),
        )
        assert ours.classes == (("0", "1", "2") if form == "cls" else theirs.classes)
        assert ours.samples[0] == "s-000.tar/x/0000.png"
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert [ours.pictures.read(i) for i in range(9)] == [theirs.pictures.read(i) for i in range(9)]

    def test_the_key_of_the_label(self, tmp_path: Path, photos: Path):
        spec = self.shards(tmp_path, photos, "json")
        assert open_source(spec, columns="label=label").classes("train") == ("Zebra", "ant", "bee")
        with pytest.raises(
            InputError, match=r"no column 'species' \(.*s-000\.tar: x/0000\.json\): it has label, width"
        ):
            open_source(spec, columns="label=species").classes("train")

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ([("1.jpg", b"x")], "a picture without label (s.tar: 1.jpg): key.cls or key.json"),
            ([("1.jpg", b"x"), ("1.cls", b"0"), ("1.cls", b"1")], "two labels for one key (s.tar: 1.cls)"),
            ([("1.jpg", b"x"), ("1.cls", b"0"), ("1.png", b"x")], "two pictures for one key (s.tar: 1.png)"),
            ([("1.jpg", b"x"), ("1.json", b"{")], "not a label: "),
            ([("1.jpg", b"x"), ("1.json", b"[1]")], "(s.tar: 1.json)"),
            ([("1.jpg", b"x"), ("1.json", b"7")], "not a label: "),
            ([("1.jpg", b"x"), ("1.cls", b"\xff")], "not a label: "),
            ([("1.jpg", b"x"), ("1.cls", b"")], "the row has no label (s.tar, key 0)"),
            ([("1.jpg", b"x"), ("1.cls", b"1" * (1 << 21))], "a label of more than a megabyte"),
            ([("1.cls", b"0")], "it has no rows (s.tar)"),
        ],
    )
    def test_wrong_shards_are_named(
        self, tmp_path: Path, files: Files, message: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        write_tar(Path("s.tar"), files)
        with pytest.raises(InputError, match=re.escape(message)):
            open_source("wds:s.tar").split("train")

    def test_a_missing_and_a_cut_shard(self, tmp_path: Path, photos: Path):
        spec = self.shards(tmp_path, photos)
        os.truncate(tmp_path / "s-001.tar", 3000)
        with pytest.raises(InputError, match=r"not a whole tar.*s-001\.tar"):
            open_source(spec).split("train")
        (tmp_path / "s-001.tar").unlink()
        with pytest.raises(InputError, match=r"no such file.*s-001\.tar"):
            open_source(spec)


def header(kind: bytes, size: bytes) -> bytes:
    """A block of a tar whose size reads so."""
    block = bytearray(tarfile.TarInfo("x.png").tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "blocks",
    [
        header(b"0", b"\xff" * 10 + b"\xfc\x00"),  # minus 1024: the next header would be an earlier one
        header(b"0", b"\x80" + (2**70).to_bytes(11, "big")),
        header(b"L", b"\x80" + (2**62).to_bytes(11, "big")),
        header(b"x", b"\x80" + (2**62).to_bytes(11, "big")),
        header(b"x", b"%011o\0" % 512) + b"9" * 500 + b" path=x\n".ljust(12, b"\0"),
        header(b"x", b"%011o\0" % 22)
        + b"22 GNU.sparse.size=xx\n".ljust(512, b"\0")
        + header(b"0", b"0" * 12),
    ],
)
def test_absurd_headers_of_tars_are_one_line(tmp_path: Path, blocks: bytes):
    archive = write_tar(tmp_path / "a.tar", [("ant/1.png", b"x" * 512)])
    archive.write_bytes(archive.read_bytes()[:1024] + blocks + bytes(1024))
    with pytest.raises(InputError, match=r"not a whole tar: ."):
        open_source(f"tar:{archive}").split("train")


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path: Path):
    for folder, label in (("a", b"ant"), ("b", b"bee")):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "0.tar", [("k.png", b"x"), ("k.cls", label)])
    split = open_source(f"wds:{tmp_path}/{{a,b}}/0.tar").split("train")
    assert (list(split.samples), split.labels.tolist()) == (["a/0.tar/k.png", "b/0.tar/k.png"], [0, 1])
    again = open_source(f"wds:{tmp_path}/{{a/0,b/0,a/0}}.tar").split("train")
    assert again.notes == (f"1 picture is there more than once ({tmp_path}/a/0.tar)",)


def test_a_tar_that_ends_without_an_end(tmp_path: Path):
    whole = write_tar(
        tmp_path / "a.tar", [(f"{k}/{i}.png", b"x") for k in "ab" for i in range(2)]
    ).read_bytes()
    cut, damaged = whole[:3072], whole[:3072] + b"?" + whole[3073:]
    for data in (cut, damaged):
        (tmp_path / "a.tar").write_bytes(data)
        with pytest.raises(
            InputError, match=r"not a whole tar: it is cut off, or a header is damaged \(.*a\.tar"
        ):
            open_source(f"tar:{tmp_path}/a.tar")
