"""ltfix.images.folder: the same samples, labels and class order as torchvision's ImageFolder."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import make_image, write_photos
from PIL import Image
from torchvision.datasets import ImageFolder

from ltfix.errors import InputError, LtfixError, UsageError
from ltfix.images.places import look_at
from ltfix.images.remote import ABSENT
from ltfix.images.source import open_source


def test_equals_image_folder_in_mixed_case_and_nested_folders(tmp_path: Path):
    photos = write_photos(tmp_path / "photos")
    for name in ("ant/b/x.jpg", "ant/b-c/x.JPG", "ant/b/c/x.png", "ant/é.png", "ant/notes.txt"):
        path = photos / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            path.write_text("no image")
        else:
            make_image(1).save(path)
    source = open_source(photos)
    assert source.splits() == ("train", "test")
    for name in source.splits():
        ours, theirs = source.split(name), ImageFolder(str(photos / name))
        assert ours.classes == tuple(theirs.classes) == ("Zebra", "ant", "bee")
        assert [str(photos / name / sample) for sample in ours.samples] == [
            path for path, _ in theirs.samples
        ]
        assert ours.labels.tolist() == theirs.targets
    assert source.split("train").counts.tolist() == [4, 7, 2]


def test_dot_names_are_left_out(tmp_path: Path):
    photos = write_photos(tmp_path)
    (photos / "train" / ".ipynb_checkpoints").mkdir()
    make_image(0).save(photos / "train" / "ant" / "._00.png", format="png")
    assert open_source(photos).split("train").counts.tolist() == [4, 3, 2]


def test_a_link_back_up_ends(tmp_path: Path):
    photos = write_photos(tmp_path)
    (photos / "train" / "ant" / "again").symlink_to(photos / "train" / "ant", target_is_directory=True)
    assert open_source(photos).split("train").counts[1] == 3


def test_a_bare_folder_is_the_split_asked_for(tmp_path: Path):
    bare = write_photos(tmp_path) / "train"
    assert open_source(bare).splits() == ("train",)
    assert open_source(bare, split=["val"]).splits() == ("val",)
    assert len(open_source(bare, split=["val"]).split("val")) == 9
    assert open_source(bare).split("train").notes == ()
    called = bare.rename(tmp_path / "validation")
    told = f"{called} is taken for the split train: split=val says otherwise"
    assert open_source(called).split("train").notes == (told,)
    assert open_source(called, split=["val"]).split("val").notes == ()
    bare = called.rename(bare)
    with pytest.raises(UsageError, match="one split and cannot be train and test"):
        open_source(bare, split=["train", "test"])


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_has_other_names(tmp_path: Path, name: str):
    write_photos(tmp_path)
    (tmp_path / "test").rename(tmp_path / name)
    source = open_source(tmp_path)
    assert source.splits() == ("train", "val")
    assert len(source.split("val")) == 6


def test_any_split_folder_can_be_asked_for(tmp_path: Path):
    write_photos(tmp_path, {"train": {"a": 1, "b": 1}, "night": {"a": 2, "b": 1}})
    assert open_source(tmp_path).splits() == ("train",)
    assert open_source(tmp_path, split=["night"]).split("night").counts.tolist() == [2, 1]
    with pytest.raises(InputError, match=r"no split 'dusk'.*it has train"):
        open_source(tmp_path, split=["dusk"]).split("dusk")


def test_given_classes_decide_order_and_may_be_more(tmp_path: Path):
    split = open_source(write_photos(tmp_path)).split("train", ["bee", "wasp", "ant", "Zebra"])
    assert split.counts.tolist() == [2, 0, 3, 4]
    assert split.labels.tolist() == sorted(split.labels.tolist())


def test_errors_name_the_folder(tmp_path: Path):
    photos = write_photos(tmp_path / "photos")
    with pytest.raises(InputError, match=r"class 'bee' is not among the 2 classes \(.*test/bee\)"):
        open_source(photos).split("test", ["Zebra", "ant"])
    (photos / "new" / "notes").mkdir(parents=True)
    shutil.copy(next(photos.glob("test/*/*")), photos / "new")
    with pytest.raises(InputError, match=r"empty class folder \(.*new/notes\): .*unlabelled=True"):
        open_source(photos / "new").split("train")
    (photos / "train" / "cow").mkdir()
    with pytest.raises(InputError, match=r"empty class folder \(.*train/cow\)"):
        open_source(photos).split("train")
    lone = write_photos(tmp_path / "lone", {"train": {"ant": 2}})
    with pytest.raises(InputError, match=r"at least two classes are needed, found only 'ant'"):
        open_source(lone).split("train")
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "nowhere").splits()
    write_photos(tmp_path / "outer" / "photos")
    with pytest.raises(
        InputError, match=r"photos, has train and test \(.*outer\): did you mean .*outer/photos"
    ):
        open_source(tmp_path / "outer")
    outer = tmp_path / "outer"
    (outer / "heads").mkdir()
    told = r"empty class folder \(.*outer/heads\): did you mean .*outer/photos, which has train and test\?"
    with pytest.raises(InputError, match=told):
        open_source(outer).split("train")
    shutil.copytree(photos, outer / "zoo")  # which of the two is not known
    with pytest.raises(InputError, match=r"empty class folder \(.*outer/heads\): images end in"):
        open_source(outer).split("train")
    shutil.rmtree(outer / "zoo" / "train")
    (outer / "heads").rmdir()
    (note,) = open_source(outer).split("train").notes
    assert note == f"{outer}/photos, which has train and test, is taken for a class of {outer}"
    shutil.rmtree(outer / "photos" / "train")
    shutil.copytree(photos / "test" / "ant", outer / "photos" / "train")
    assert open_source(outer).split("train").notes == ()  # a class of vehicles, among them trains
    (tmp_path / "list.txt").write_text("a 1")
    with pytest.raises(InputError, match=r"not a folder.*list:FILE"):
        open_source(tmp_path / "list.txt")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_odd_names(tmp_path: Path):
    photos = write_photos(tmp_path)
    odd = photos / "train" / "ant" / "a\nb.png"
    make_image(0).save(odd)
    with pytest.raises(InputError, match="holds a line break"):
        open_source(photos).split("train")
    odd.rename(os.fsdecode(os.fsencode(odd.parent) + b"/\xff.png"))
    split = open_source(photos).split("train")
    assert os.fsencode(split.samples[7]).endswith(b"\xff.png")
    assert len(split.digest) == 64
    assert split.open(7).size == (40, 32)


def test_a_split_travels_to_workers(tmp_path: Path):
    split = pickle.loads(pickle.dumps(open_source(write_photos(tmp_path)).split("test")))
    assert np.asarray(split.open(0)).shape == (32, 40, 3)


def test_real_photos(shared_data: Path, caltech: Path):
    split = open_source(caltech).split("train")
    assert split.classes[:4] == ("Faces", "Leopards", "Motorbikes", "accordion")
    assert (len(split), split.counts.max(), split.counts.min()) == (3201, 120, 3)
    assert split.samples == [
        str(Path(p).relative_to(caltech / "train")) for p, _ in ImageFolder(caltech / "train").samples
    ]


def test_other_endings_are_read_or_told(tmp_path: Path):
    photos = write_photos(tmp_path)
    for name, kind in (("x.jfif", "jpeg"), ("y.GIF", "gif")):
        make_image(1).save(photos / "train" / "ant" / name, format=kind)
    for name in ("a.heic", "b.HEIC", "c.avif", "Thumbs.db", "README"):
        (photos / "train" / "bee" / name).write_bytes(b"?")
    split = open_source(photos).split("train")
    assert split.counts.tolist() == [4, 5, 2]
    with Image.open(photos / "train" / "ant" / "x.jfif") as image:
        np.testing.assert_array_equal(np.asarray(split.open(7)), np.asarray(image.convert("RGB")))
    with Image.open(photos / "train" / "ant" / "y.GIF") as image:
        np.testing.assert_array_equal(np.asarray(split.open(8)), np.asarray(image.convert("RGB")))
    (note,) = split.notes
    assert note.startswith("5 files of train do not end as pictures do and are left out: 2 .heic")
    assert open_source(photos).split("test").notes == ()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
class TestLinks:
    def test_a_fan_ends(self, tmp_path: Path):
        """Thirty folders, each with two links to the next: a billion ways to the last."""
        photos = write_photos(tmp_path / "photos")
        for i in range(30):
            (tmp_path / f"fan{i}").mkdir()
            for side in "ab":
                (tmp_path / f"fan{i}" / side).symlink_to(tmp_path / f"fan{i + 1}", target_is_directory=True)
        (tmp_path / "fan30").mkdir()
        make_image(0).save(tmp_path / "fan30" / "x.png")
        (photos / "train" / "ant" / "fan").symlink_to(tmp_path / "fan0", target_is_directory=True)
        with pytest.raises(InputError, match=r"again and again, by links \(.*train/ant\)"):
            open_source(photos).split("train")

    def test_many_links_back_up_are_no_fan(self, tmp_path: Path):
        photos = write_photos(tmp_path)
        for i in range(150):
            (photos / "train" / "ant" / f"up{i}").symlink_to(
                photos / "train" / "ant", target_is_directory=True
            )
        assert open_source(photos).split("train").counts[1] == 3

    def test_one_folder_linked_twice_is_there_twice_as_in_image_folder(self, tmp_path: Path):
        photos = write_photos(tmp_path / "photos")
        for name in ("one", "two"):
            (photos / "train" / "ant" / name).symlink_to(photos / "train" / "bee", target_is_directory=True)
        ours, theirs = open_source(photos).split("train"), ImageFolder(str(photos / "train"))
        assert [str(photos / "train" / s) for s in ours.samples] == [path for path, _ in theirs.samples]

    def test_broken_links_are_known_beforehand(self, tmp_path: Path):
        photos = write_photos(tmp_path)
        (photos / "train" / "ant" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        (photos / "train" / "ant" / "self.png").symlink_to(photos / "train" / "ant" / "self.png")
        split = open_source(photos).split("train")
        assert [s for s, size in zip(split.samples, split.sizes, strict=True) if size == ABSENT] == [
            "ant/gone.png",
            "ant/self.png",
        ]


def test_folders_without_end_are_one_line(tmp_path: Path):
    photos = write_photos(tmp_path)
    deepest = photos / "train" / "ant"
    for _ in range(3):
        deepest = deepest.joinpath(*["d"] * 50)
        deepest.mkdir(parents=True)
    with pytest.raises(InputError, match=r"folders lie in one another more than 100 deep \(.*train/ant\)$"):
        open_source(photos).split("train")


def listed(photos: Path) -> tuple[list[str], list[int], list[int]]:
    """Names, sizes and stamps of the training split."""
    split = open_source(photos).split("train")
    assert split.stamps is not None
    return list(split.samples), split.sizes.tolist(), split.stamps.tolist()


def test_a_file_is_looked_at_as_a_list_does(tmp_path: Path, monkeypatch):
    photos = write_photos(tmp_path)
    for row, seconds in enumerate(
        (-5, 0, 9_999_999_999)
    ):  # before 1970, and more nanoseconds than 63 bits hold
        os.utime(photos / "train" / "ant" / f"{row:02}.png", (seconds, seconds))
    found = listed(photos)
    looked = [look_at(photos / "train" / name) for name in found[0]]
    assert list(zip(*found[1:], strict=True)) == looked
    monkeypatch.setattr(os, "supports_fd", set())  # Windows
    assert listed(photos) == found


@pytest.mark.skipif(os.scandir not in os.supports_fd, reason="no open folders")
def test_a_folder_that_fails_while_it_is_read_is_named(tmp_path: Path, monkeypatch):
    photos, scan = write_photos(tmp_path), os.scandir

    def stale(place):
        if isinstance(place, int):
            raise OSError(errno.ESTALE, "Stale file handle", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", stale)
    monkeypatch.setattr(os, "supports_fd", {stale})
    with pytest.raises(LtfixError, match=r"tale file handle \(.*train/Zebra\)"):
        open_source(photos).split("train")
