"""ltfix.images.source: the table of prefixes, and class files."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from pictures import write_photos

from ltfix.errors import InputError, UsageError
from ltfix.images import source as sources
from ltfix.images.source import open_source, order_splits, read_classes


def test_an_unknown_prefix_offers_the_known():
    with pytest.raises(UsageError, match=r"unknown kind of source \(lst:\): did you mean list\?"):
        open_source("lst:a.txt")


def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_photos(tmp_path / "my:photos")
    monkeypatch.chdir(tmp_path)
    assert open_source("my:photos").splits() == ("train", "test")


def test_other_packages_add_sources(monkeypatch: pytest.MonkeyPatch):
    """Looked up only when the prefix is not built in."""
    asked: list[str] = []
    point = importlib.metadata.EntryPoint("night", "ltfix.images.folder:open_folder", "ltfix.sources")

    def entry_points(**query: Any) -> list[importlib.metadata.EntryPoint]:
        asked.append(query["name"])
        return [point] if query == {"group": "ltfix.sources", "name": "night"} else []

    monkeypatch.setattr(sources.importlib.metadata, "entry_points", entry_points)
    with pytest.raises(InputError, match="no such file or folder"):
        open_source("night:/nowhere")
    with pytest.raises(InputError, match="no such file"):
        open_source("list:nowhere")
    assert asked == ["night"]


@pytest.mark.parametrize("target", sorted(set(sources.SOURCES.values())))
def test_a_source_is_one_small_file(target: str):
    module = importlib.import_module(target.partition(":")[0])
    assert module.__file__ is not None
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) <= 150


def test_every_built_in_opener_exists():
    for prefix in sources.SOURCES:
        assert callable(sources._opener(prefix))


def test_splits_are_ordered():
    assert order_splits(["z", "test", "a", "train"]) == ("train", "test", "a", "z")


def test_class_files(tmp_path: Path):
    file = tmp_path / "classes.txt"
    file.write_text("bee\n\n Ant \nbig cat\n")
    assert read_classes(file) == ("bee", "Ant", "big cat")
    file.write_text("bee\nbee\n")
    with pytest.raises(InputError, match="'bee' is there twice"):
        read_classes(file)
    file.write_text("bee\n")
    with pytest.raises(InputError, match="at least two classes"):
        read_classes(file)
