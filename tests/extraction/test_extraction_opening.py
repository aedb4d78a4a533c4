"""ltfix.extraction.opening: where a split's classes and the training counts come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from caches import write_cache
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.extraction.opening import check_present, choose_splits
from ltfix.extraction.request import Request
from ltfix.images.source import Source, open_source
from ltfix.images.split import Split


class Chosen(NamedTuple):
    """What choose_splits returns."""

    splits: list[Split]
    train_counts: np.ndarray | None


def choose(source: Source, out: Path, split: Sequence[str] = (), **given: Any) -> Chosen:
    return Chosen(*choose_splits(source, Request(data="", backbone="", out=out, split=split, **given)))


def cache_train(out: Path, classes: list[str]) -> None:
    """A finished training cache of these classes, in the features folder ``out``."""
    write_cache(out / "train", n_classes=len(classes), classes=classes)


def test_all_splits_train_first(photos: Path, tmp_path: Path):
    chosen = choose(open_source(photos), tmp_path)
    assert [split.name for split in chosen.splits] == ["train", "test"]
    assert all(split.classes == ("Zebra", "ant", "bee") for split in chosen.splits)
    assert chosen.train_counts is not None
    assert chosen.train_counts.tolist() == [4, 3, 2]


def test_test_alone_takes_the_train_folders_classes(photos: Path, tmp_path: Path):
    chosen = choose(open_source(photos, split=["test"]), tmp_path, ["test"])
    assert [split.name for split in chosen.splits] == ["test"]
    assert chosen.train_counts is not None
    assert chosen.train_counts.tolist() == [4, 3, 2]


def test_the_training_cache_comes_before_the_train_folder(photos: Path, tmp_path: Path):
    cache_train(tmp_path, ["bee", "ant", "Zebra", "wasp"])
    chosen = choose(open_source(photos, split=["test"]), tmp_path, ["test"])
    assert chosen.splits[0].classes == ("bee", "ant", "Zebra", "wasp")
    assert chosen.splits[0].counts.tolist() == [2, 2, 2, 0]
    assert chosen.train_counts is not None
    assert len(chosen.train_counts) == 4
    assert choose(open_source(photos), tmp_path).splits[1].classes == ("Zebra", "ant", "bee")


def test_a_class_file_comes_before_all(photos: Path, tmp_path: Path):
    cache_train(tmp_path, ["bee", "ant", "Zebra"])
    names = tmp_path / "classes.txt"
    names.write_text("ant\nZebra\nbee\n")
    for wanted in ([], ["test"]):
        chosen = choose(open_source(photos, split=wanted), tmp_path, wanted, classes=names)
        assert {split.classes for split in chosen.splits} == {("ant", "Zebra", "bee")}
    named = choose(open_source(photos), tmp_path, classes=["bee", "Zebra", "ant"])
    assert {split.classes for split in named.splits} == {("bee", "Zebra", "ant")}


def test_a_bare_test_split_needs_classes_from_somewhere(photos: Path, tmp_path: Path):
    source = open_source(photos / "test", split=["test"])
    with pytest.raises(UsageError, match=r"classes of split 'test'.*extract train first, or .*classes=FILE"):
        choose(source, tmp_path, ["test"])
    cache_train(tmp_path, ["Zebra", "ant", "bee"])
    assert choose(source, tmp_path, ["test"]).splits[0].counts.tolist() == [2, 2, 2]


def test_an_unknown_class_in_test_is_an_error(tmp_path: Path):
    write_photos(tmp_path, {"train": {"ant": 1, "bee": 1}, "test": {"ant": 1, "been": 1}})
    with pytest.raises(InputError, match=r"class 'been' is not among the 2 classes.*did you mean bee"):
        choose(open_source(tmp_path), tmp_path / "out")


def test_the_cut_is_for_train_and_the_limit_for_all(tmp_path: Path):
    write_photos(
        tmp_path, {"train": {"a": 20, "b": 20, "c": 20}, "test": {"a": 4, "b": 4, "c": 4}}, size=(4, 4)
    )
    chosen = choose(open_source(tmp_path), tmp_path / "out", imbalance_factor=10)
    assert [split.counts.tolist() for split in chosen.splits] == [[20, 6, 2], [4, 4, 4]]
    assert chosen.train_counts is not None
    assert chosen.train_counts.tolist() == [20, 6, 2]
    limited = choose(open_source(tmp_path), tmp_path / "out", limit=6)
    assert [split.counts.tolist() for split in limited.splits] == [[2, 2, 2], [2, 2, 2]]


def test_missing_files_are_counted_at_once(photos: Path):
    (photos / "mine.txt").write_text("train/ant/00.png 0\ngone.png 1\nalso-gone.png 1\n")
    split = open_source(f"list:{photos / 'mine.txt'}").split("train")
    with pytest.raises(InputError, match=r"2 of 3 images of train are not there \(gone\.png\)"):
        check_present(split)
    check_present(split.subset(np.array([0])))


class TestNamesThatAreNumbers:
    """Folders 0 to 11: text order is 0, 1, 10, 11, 2, …."""

    @pytest.fixture
    def numbered(self, tmp_path: Path) -> Path:
        classes = {str(k): 1 for k in range(12)}
        return write_photos(tmp_path / "photos", {"train": classes, "test": classes}, size=(4, 4))

    def test_text_order_is_told(self, numbered: Path, tmp_path: Path):
        chosen = choose(open_source(numbered), tmp_path)
        assert chosen.splits[0].classes == tuple(sorted(map(str, range(12))))
        (note,) = chosen.splits[0].notes
        assert "12 class names are whole numbers in the order of text (0, 1, 10, 11, 2, …)" in note

    def test_numeric_order_for_all_splits(self, numbered: Path, tmp_path: Path):
        chosen = choose(open_source(numbered), tmp_path, classes_order="numeric")
        for split in chosen.splits:
            assert split.notes == ()
            assert split.classes == tuple(map(str, range(12)))
            assert [split.classes[k] for k in split.labels] == [s.split("/")[0] for s in split.samples]

    def test_a_list_of_numbers_beside_text_order_says_both_readings(self, numbered: Path, tmp_path: Path):
        (tmp_path / "test.txt").write_text("".join(f"test/{k}/00.png {k}\n" for k in range(12)))
        lists = open_source(f"list:test={tmp_path / 'test.txt'}", root=numbered)
        cache_train(tmp_path / "text", sorted(map(str, range(12))))
        with pytest.raises(InputError, match=r"label 2 is class '10' by its index and class '2' by its name"):
            choose(lists, tmp_path / "text", split=["test"])
        cache_train(tmp_path / "numeric", list(map(str, range(12))))
        for order in ("text", "numeric"):
            (split,) = choose(lists, tmp_path / "numeric", split=["test"], classes_order=order).splits
            assert split.labels.tolist() == list(range(12))

    def test_orders_that_contradict_each_other(self, numbered: Path, tmp_path: Path):
        cache_train(tmp_path / "text", sorted(map(str, range(12))))
        with pytest.raises(UsageError, match=r"its classes are in the order of text \(.*train\)"):
            choose(open_source(numbered), tmp_path / "text", split=["test"], classes_order="numeric")
        (tmp_path / "classes.txt").write_text("\n".join(map(str, range(12))))
        with pytest.raises(UsageError, match=r"order of their own \(classes_order=numeric\)"):
            choose(open_source(numbered), tmp_path, classes=tmp_path / "classes.txt", classes_order="numeric")


def test_a_validation_split_of_what_the_cut_leaves(tmp_path: Path):
    tree = {"train": {"ant": 12, "bee": 12}, "test": {"ant": 2, "bee": 2}}
    source = open_source(write_photos(tmp_path / "photos", tree))
    splits, counts = choose(source, tmp_path / "out", imbalance_factor=5, val_from_rest=2)
    assert [(split.name, split.counts.tolist()) for split in splits] == [
        ("train", [10, 2]),
        ("val", [2, 2]),
        ("test", [2, 2]),
    ]
    assert counts is not None and counts.tolist() == [10, 2]
    assert not set(splits[0].samples) & set(splits[1].samples)
    alone, _ = choose(source, tmp_path / "out", imbalance_factor=5, val_from_rest=2, split=("val",))
    assert [split.name for split in alone] == ["val"]
    assert alone[0].digest == splits[1].digest
    write_photos(tmp_path / "with", {**tree, "val": {"ant": 1, "bee": 1}})
    with pytest.raises(UsageError, match="has a split 'val' already"):
        choose(open_source(tmp_path / "with"), tmp_path / "out", val_from_rest=2)
    with pytest.raises(UsageError, match="it cuts nothing"):
        choose(source, tmp_path / "out", imbalance_type="step")
