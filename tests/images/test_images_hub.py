"""ltfix.images.hub: data sets of the library ``datasets``, saved to disk; nothing is downloaded."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import zlib
from pathlib import Path

import datasets
import numpy as np
import pytest
from hub import SHA, Hub
from pictures import write_photos
from serving import running

from ltfix.errors import EnvironmentFault, InputError
from ltfix.images.source import open_source
from ltfix.images.split import Split

NAMES = ["bee", "ant", "Zebra"]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the network nor the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def saved(folder: Path, photos: Path) -> Path:
    """Both splits, their pictures in the tables, and classes in an order of their own."""
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES), "id": datasets.Value("int64")}
    )
    parts = {}
    for name, of in (("train", "train"), ("validation", "test")):
        split = open_source(photos).split(of)
        rows = {
            "image": [
                {"bytes": split.pictures.read(row), "path": split.samples[row]} for row in range(len(split))
            ],
            "label": [NAMES.index(split.classes[k]) for k in split.labels],
            "id": list(range(len(split))),
        }
        parts[name] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(parts).save_to_disk(folder)
    return folder


def same_pictures(ours: Split, theirs: Split) -> None:
    assert [ours.classes[k] for k in ours.labels] == [theirs.classes[k] for k in theirs.labels]
    for row in range(len(ours)):
        assert ours.pictures.read(ours.row(row)) == theirs.pictures.read(theirs.row(row))
        np.testing.assert_array_equal(ours.open(row), theirs.open(row))


def test_a_folder_of_save_to_disk(tmp_path: Path, photos: Path):
    source = open_source(f"hf:{saved(tmp_path / 'mine', photos)}")
    assert (source.splits(), source.root, source.kind) == (("train", "val"), "mine", "hf")
    assert source.classes("train") == tuple(NAMES)
    folder = open_source(photos)
    same_pictures(source.split("train"), folder.split("train"))
    same_pictures(source.split("val"), folder.split("test"))
    split = source.split("train")
    assert split.samples[3] == "3/03.png"
    np.testing.assert_array_equal(split.sizes, folder.split("train").sizes)
    same_pictures(pickle.loads(pickle.dumps(split)), folder.split("train"))
    again = open_source(f"hf:{tmp_path / 'mine'}").split("train")
    np.testing.assert_array_equal(again.stamps, split.stamps)


def test_one_split_by_its_own(tmp_path: Path, photos: Path):
    whole = datasets.load_from_disk(saved(tmp_path / "mine", photos))
    whole["train"].select([1, 4, 8]).save_to_disk(tmp_path / "few")
    source = open_source(f"hf:{tmp_path / 'few'}", split=["test"])
    assert source.splits() == ("test",)
    split = source.split("test")
    expected = open_source(photos).split("train")
    assert [split.pictures.read(row) for row in range(3)] == [
        expected.pictures.read(row) for row in (1, 4, 8)
    ]


def test_pictures_that_are_files_of_the_librarys(photos: Path, tmp_path: Path):
    """Its own reader of folders keeps paths; absolute ones do not reach the cache."""
    found = datasets.load_dataset("imagefolder", data_dir=str(photos), split="train")
    found.save_to_disk(tmp_path / "mine")
    split = open_source(f"hf:{tmp_path / 'mine'}").split("train")
    assert sorted(split.samples)[0] == "0/00.png"
    assert split.counts.tolist() == [4, 3, 2]
    assert split.open(0).size == (40, 32)


_OPEN = """
import sys
from ltfix.images.source import open_source
for spec in sys.argv[1:]:
    source = open_source(spec)
    for name in source.splits():
        split = source.split(name)
        print(name, split.classes, split.labels.tolist(), split.digest, int(split.stamps[0]), flush=True)
        split.open(len(split) - 1)
"""


def test_by_name_from_a_hub_and_then_without_it(tmp_path: Path, photos: Path):
    """Another endpoint than the hub's own, as mirrors are; then the library's cache alone."""
    found = datasets.load_from_disk(saved(tmp_path / "mine", photos))
    for config, rows in (("all", 9), ("few", 4)):
        for name in ("train", "validation"):
            part = found[name].select(range(min(rows, len(found[name]))))
            part.to_parquet(str(tmp_path / f"repo/{config}/{name}-00000-of-00001.parquet"))
    configs = [
        {
            "config_name": of,
            "data_files": [{"split": s, "path": f"{of}/{s}-*"} for s in ("train", "validation")],
        }
        for of in ("all", "few")
    ]  # as push_to_hub writes them; JSON is YAML
    (tmp_path / "repo/README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")

    def opened(*specs: str, **more: str) -> subprocess.CompletedProcess[str]:
        own = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), **more}
        return subprocess.run([sys.executable, "-c", _OPEN, *specs], env=own, capture_output=True, text=True)

    with running(Hub(tmp_path / "repo", "us/photos")) as hub:
        url = "hf://datasets/us/photos/all/train-00000-of-00001.parquet"
        online = opened("hf:us/photos:few", f"parquet:{url}")
    lines = online.stdout.splitlines()
    assert (online.returncode, len(lines)) == (0, 3), online.stderr
    assert lines[2].endswith(str(zlib.crc32(SHA.encode())))  # the stamp of its version
    assert online.stdout.startswith(f"train {tuple(NAMES)} [2, 2, 2, 2] ")
    asked = len(hub.asked)
    assert not [path for path in hub.asked if "/all/validation" in path]
    offline = opened("hf:us/photos:few", "hf:us/photos:all", HF_HUB_OFFLINE="1")
    assert (offline.stdout.splitlines(), len(hub.asked)) == (lines[:2], asked), offline.stderr
    last = offline.stderr.splitlines()[-1]  # what was never loaded is not there
    assert offline.returncode and last.startswith("ltfix.errors.InputError: ") and "few" in last, last


def test_a_folder_that_a_hub_would_serve(tmp_path: Path, photos: Path):
    found = datasets.load_from_disk(saved(tmp_path / "mine", photos))
    found["train"].to_parquet(str(tmp_path / "repo/train-00000-of-00001.parquet"))
    source = open_source(f"hf:{tmp_path / 'repo'}")
    assert source.splits() == ("train",)
    same_pictures(source.split("train"), open_source(photos).split("train"))


def test_columns(tmp_path: Path, photos: Path):
    spec = f"hf:{saved(tmp_path / 'mine', photos)}"
    assert open_source(spec, columns="path=image,label=label").classes("train") == tuple(NAMES)
    with pytest.raises(InputError, match=r"column 'id' holds no pictures \(hf:.*mine, train\)"):
        open_source(spec, columns="path=id").classes("train")
    with pytest.raises(InputError, match=r"no column 'species' .*it has image, label, id"):
        open_source(spec, columns="label=species").classes("train")


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"\(hf:nobody/nothing\)"):
        open_source("hf:nobody/nothing")
    with pytest.raises(InputError, match=r"\(hf:.*\)"):
        open_source(f"hf:{tmp_path}")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EnvironmentFault, match=r'pip install "ltfix\[hf\]"'):
        open_source("hf:mine")


def test_a_data_set_whose_fingerprint_is_any_text(tmp_path: Path, photos: Path):
    folder = saved(tmp_path / "saved", photos)
    state = folder / "train" / "state.json"
    state.write_text(re.sub(r'"_fingerprint": "\w+"', '"_fingerprint": "my own"', state.read_text()))
    assert (open_source(f"hf:{folder}").split("train").stamps > 0).all()
