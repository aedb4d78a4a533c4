"""ltfix.images.labels: the order of names that are numbers, against timm's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import write_photos
from timm.data.readers.reader_image_folder import find_images_and_targets
from torchvision.datasets import ImageFolder

from ltfix.errors import UsageError
from ltfix.images.labels import order_classes, told_as_text
from ltfix.images.source import open_source


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    return write_photos(tmp_path, {"train": {str(k): 1 for k in range(12)}}, size=(4, 4))


def test_text_is_image_folders_order_and_numeric_timms(numbered: Path):
    names = open_source(numbered).classes("train")
    assert order_classes(names, "text", "x") == tuple(ImageFolder(str(numbered / "train")).classes)
    _, theirs = find_images_and_targets(str(numbered / "train"))
    numeric = order_classes(names, "numeric", "x")
    assert numeric == tuple(sorted(theirs, key=lambda name: theirs[name])) == tuple(map(str, range(12)))
    split = open_source(numbered).split("train", numeric)
    assert split.labels.tolist() == list(range(12))
    assert [name.split("/")[0] for name in split.samples] == list(numeric)


def test_the_note_is_for_numbers_out_of_order_alone():
    assert "(0, 1, 10, 11, 2, …)" in str(told_as_text(sorted(map(str, range(12)))))
    for names in (list("0123"), ["01", "02", "10"], ["a", "10", "9"], ["n01", "n2"]):
        assert told_as_text(names) is None


def test_equal_numbers_keep_an_order_and_others_are_refused():
    assert order_classes(["10", "2", "02", "-1"], "numeric", "x") == ("-1", "02", "2", "10")
    with pytest.raises(
        UsageError, match=r"class 'cat' of photos is no whole number \(classes_order=numeric\)"
    ):
        order_classes(["1", "cat"], "numeric", "photos")
