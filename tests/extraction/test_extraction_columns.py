"""Columns of a table that a cache keeps beside its features: ``columns="keep=…"``."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import write_photos

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.images.source import open_source

OPTIONS: dict[str, Any] = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu", "threads": 1}
KEPT = {"place": ["Gy\u0151r", 'a "b"\n', "", "x,y", "e", "f", "g", "h", "i"], "when": list(range(9))}
FORMS = ("csv", "jsonl", "parquet", "pictures", "hf")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write(photos: Path, form: str) -> str:
    """A table of both splits with two columns more; of test, their values from the end."""
    datasets.disable_progress_bars()
    table: dict[str, list[Any]] = {"split": [], "path": [], "label": [], "place": [], "when": [], "image": []}
    for name in ("train", "test"):
        split = open_source(photos).split(name)
        for row in range(len(split)):
            at = row if name == "train" else -1 - row
            values = (name, f"{name}/{split.samples[row]}", split.classes[split.labels[row]])
            more = (KEPT["place"][at], KEPT["when"][at], split.pictures.read(split.row(row)))
            for key, value in zip(table, (*values, *more), strict=True):
                table[key].append(value)
    data = table.pop("path" if form in ("pictures", "hf") else "image")
    assert len(data) == 15
    path = photos / f"all.{form}"
    if form == "hf":
        table["image"] = [{"bytes": each} for each in table["image"]]
        whole = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
        parts = {"train": whole.select(range(9)), "test": whole.select(range(9, 15))}
        datasets.DatasetDict(parts).save_to_disk(path)
    elif form in ("parquet", "pictures"):
        pq.write_table(pa.table(table), path)
    else:
        rows = list(zip(*table.values(), strict=True))
        with path.open("w", encoding="utf-8", newline="") as handle:
            if form == "csv":
                csv.writer(handle).writerows([tuple(table), *rows])
            else:
                handle.writelines(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)
    return f"{'parquet' if form == 'pictures' else form}:{path}"


def read(cache: ltfix.FeatureCache) -> list[dict[str, Any]]:
    lines = (cache.path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("form", FORMS)
def test_they_stand_in_the_order_of_the_samples(photos: Path, tmp_path: Path, form: str):
    spec, columns = write(photos, form), "keep=when,place"
    caches = ltfix.extract(spec, out=tmp_path / "out", columns=columns, imbalance_factor=2, **OPTIONS)
    plain = ltfix.extract(spec, out=tmp_path / "plain", imbalance_factor=2, **OPTIONS)
    said = str if form == "csv" else int
    rows = [{"when": said(w), "place": p} for p, w in zip(KEPT["place"], KEPT["when"], strict=True)]
    numbers = [int(row["when"]) for row in read(caches["train"])]
    assert len(numbers) == caches["train"].n == 8 and read(caches["train"]) == [rows[n] for n in numbers]
    order = list(plain["train"].samples)
    assert sorted(order, key=lambda name: numbers[order.index(name)]) == order
    assert read(caches["test"]) == rows[:2:-1]
    table = pd.read_json(caches["test"].path / "samples.jsonl", lines=True)
    assert list(table.columns) == ["when", "place"] and table["when"].tolist() == list(range(8, 2, -1))
    for name in ("train", "test"):
        assert (caches[name].samples, caches[name].counts.tolist()) == (
            plain[name].samples,
            plain[name].counts.tolist(),
        )
        assert not (plain[name].path / "samples.jsonl").exists()
        assert "columns" not in json.loads((plain[name].path / "manifest.json").read_text())
    assert caches["train"].verify() == 2 and ltfix.open_cache(caches["train"].path).verify() == 2
    with (caches["train"].path / "samples.jsonl").open("a") as handle:
        handle.write("{}\n")
    with pytest.raises(InputError, match=r"not those the manifest recorded \(.*samples\.jsonl"):
        ltfix.open_cache(caches["train"].path).verify()


def test_pictures_that_are_left_out_take_their_row_along(photos: Path, tmp_path: Path):
    spec = write(photos, "csv")
    (photos / "train/Zebra/01.png").write_bytes(b"torn")
    options = {**OPTIONS, "split": ("train",), "out": tmp_path / "out", "columns": "keep=when"}
    cache = ltfix.extract(spec, on_error="skip", **options)
    assert [row["when"] for row in read(cache)] == ["0", "2", "3", "4", "5", "6", "7", "8"]
    assert ltfix.extract(spec, on_error="skip", **options).fingerprint == cache.fingerprint
    with pytest.raises(UsageError, match="of another extraction"):
        ltfix.extract(spec, on_error="skip", **{**options, "columns": "keep=place"})
    other = ltfix.extract(spec, on_error="skip", overwrite=True, **{**options, "columns": None})
    assert other.fingerprint != cache.fingerprint and not (cache.path / "samples.jsonl").exists()


def test_what_json_has_and_what_it_has_not(photos: Path, tmp_path: Path):
    path, day = tmp_path / "a.parquet", datetime.date(2026, 1, 2)
    rows = {"path": ["train/ant/00.png", "train/bee/00.png"], "label": ["ant", "bee"]}
    more = {"day": [day, None], "x": [float("nan"), 0.5], "tags": [["a"], []], "raw": [b"\0\xff", b""]}
    pq.write_table(pa.table({**rows, **more}), path)
    split = open_source(f"parquet:{path}", root=photos, columns=f"keep={','.join(more)}").split("train")
    assert [json.loads(line) for line in split.kept] == [
        {"day": "2026-01-02", "x": None, "tags": ["a"], "raw": "AP8="},
        {"day": None, "x": 0.5, "tags": [], "raw": ""},
    ]
    text = '{"path": "a.png", "label": "a"}\n{"path": "b.png", "label": "b", "z": "\\ud800"}\n'
    (tmp_path / "a.jsonl").write_text(text.replace('"a"}', '"a", "z": 1}'))
    with pytest.raises(InputError, match=r"what is kept is not JSON.*a\.jsonl, line 2"):
        open_source(f"jsonl:{tmp_path}/a.jsonl", columns="keep=z")


def test_where_nothing_is_kept(photos: Path, tmp_path: Path):
    spec = write(photos, "csv")
    with pytest.raises(InputError, match=r"no column 'id' .*it has split, path, label, place, when"):
        open_source(spec, columns="label=label,keep=when,id")
    for source in (f"wds:{photos}/all.csv", str(photos)):
        with pytest.raises(UsageError, match="columns"):
            open_source(source, columns="keep=when")
    with pytest.raises(UsageError, match="only caches keep columns"):
        ltfix.train_backbone(spec, out=tmp_path / "run", columns="keep=when")
    cache = ltfix.extract(
        spec, unlabelled=True, split=("test",), out=tmp_path, columns="keep=when", **OPTIONS
    )
    assert [row["when"] for row in read(cache)] == ["8", "7", "6", "5", "4", "3"]
