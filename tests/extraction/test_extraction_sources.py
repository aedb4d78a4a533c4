"""One data set from every source: equal features, labels and classes; only the manifest's source differs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import write_photos
from safetensors.numpy import load_file
from serving import serving

import ltfix
from ltfix.errors import InputError
from ltfix.extraction.plan import prepare
from ltfix.extraction.request import Request
from ltfix.extraction.run import run
from ltfix.images.source import open_source
from ltfix.progress import Progress

OPTIONS: dict[str, Any] = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu", "threads": 1}


def write_all(photos: Path) -> dict[str, str]:
    """Every form of ``photos`` beside it; what --data says of each, ``{}`` for the folder or URL of them."""
    place = photos.parent
    hub, classes = dict[str, Any](), list(open_source(photos).classes("train"))
    for name in ("train", "test"):
        split = open_source(photos).split(name)
        names, labels = list(split.samples), [split.classes[k] for k in split.labels]
        paths = [f"{photos.name}/{name}/{sample}" for sample in names]
        rows = list(zip(paths, labels, strict=True))
        data = [split.pictures.read(row) for row in range(len(split))]
        (place / f"{name}.txt").write_text("".join(f"{path}\t{label}\n" for path, label in rows))
        (place / f"{name}.jsonl").write_text(
            "".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in rows)
        )
        with (place / f"{name}.csv").open("w", newline="") as handle:
            csv.writer(handle).writerows([("path", "label"), *rows])
        pq.write_table(pa.table({"path": paths, "label": labels}), place / f"{name}-paths.parquet")
        pq.write_table(
            pa.table({"image": data, "label": labels}), place / f"{name}-bytes.parquet", row_group_size=64
        )
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=classes)})
        pictures = [{"bytes": each} for each in data]
        hub[name] = datasets.Dataset.from_dict({"image": pictures, "label": labels}, features=features)
        with tarfile.open(place / f"{name}-wds.tar", "w") as shard:
            for row, (sample, label) in enumerate(zip(names, labels, strict=True)):
                (place / "label.json").write_text(json.dumps({"label": label}))
                shard.add(photos / name / sample, f"{row:05}{Path(sample).suffix}")
                shard.add(place / "label.json", f"{row:05}.json")
    datasets.disable_progress_bars()
    datasets.DatasetDict(hub).save_to_disk(place / "hub")
    with tarfile.open(place / "all.tar", "w") as tar:
        tar.add(photos, photos.name)
    with zipfile.ZipFile(place / "all.zip", "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(photos.rglob("*.*"), reverse=True):
            archive.write(path, path.relative_to(photos))
    by_split = {
        "list": "list:train={}/train.txt,test={}/test.txt",
        "csv": "csv:train={}/train.csv,test={}/test.csv",
        "jsonl": "jsonl:train={}/train.jsonl,test={}/test.jsonl",
        "parquet of paths": "parquet:train={}/train-paths.parquet,test={}/test-paths.parquet",
        "parquet of bytes": "parquet:train={}/train-bytes.parquet,test={}/test-bytes.parquet",
        "wds": "wds:train={}/train-wds.tar,test={}/test-wds.tar",
    }
    return {**by_split, "tar": "tar:{}/all.tar", "zip": "zip:{}/all.zip", "hf": "hf:{}/hub"}


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Equal caches, but for the source and what names it."""
    for name, cache in theirs.items():
        other = cache.manifest
        for shard in other.shards:
            tensors = [load_file(each.path / shard.file) for each in (ours[name], cache)]
            assert {key: value.tobytes() for key, value in tensors[0].items()} == {
                key: value.tobytes() for key, value in tensors[1].items()
            }
        assert ours[name].classes == cache.classes
        np.testing.assert_array_equal(ours[name].labels, cache.labels)
        written = [json.loads((each.path / "manifest.json").read_text()) for each in (ours[name], cache)]
        differ = {key for key in written[1] if written[0].get(key) != written[1][key]}
        assert differ <= {"source", "fingerprint", "shards"}  # shards name their fingerprint
        assert written[0]["source"]["kind"] != written[1]["source"]["kind"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = {"train": {"Zebra": 12, "ant": 8, "bee": 4}, "test": {"Zebra": 3, "ant": 3, "bee": 3}}
    return write_photos(tmp_path_factory.mktemp("sources") / "photos", tree)


@pytest.fixture(scope="module")
def specs(photos: Path) -> dict[str, str]:
    return write_all(photos)


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ltfix.extract(photos, out=tmp_path_factory.mktemp("folder"), **OPTIONS)


@pytest.mark.parametrize(
    "kind", ["list", "csv", "jsonl", "parquet of paths", "parquet of bytes", "wds", "tar", "zip", "hf"]
)
def test_equal_caches(
    tmp_path: Path, photos: Path, specs: dict[str, str], expected: dict[str, Any], kind: str
):
    compare(ltfix.extract(specs[kind].replace("{}", str(photos.parent)), out=tmp_path, **OPTIONS), expected)


@pytest.fixture(scope="module")
def urls(photos: Path, specs: dict[str, str]) -> Iterator[dict[str, str]]:
    memory = fsspec.filesystem("memory")
    memory.put(str(photos.parent), "/everything", recursive=True)
    with serving(photos.parent) as server:
        yield {"http": server.url, "memory": "memory://everything"}
    memory.rm("/everything", recursive=True)


@pytest.mark.parametrize("kind", ["csv", "parquet of bytes", "tar", "zip"])
@pytest.mark.parametrize("place", ["http", "memory"])
def test_equal_caches_from_afar(
    tmp_path: Path,
    urls: dict[str, str],
    specs: dict[str, str],
    expected: dict[str, Any],
    kind: str,
    place: str,
):
    compare(ltfix.extract(specs[kind].replace("{}", urls[place]), out=tmp_path, **OPTIONS), expected)


@pytest.mark.parametrize("kind", ["tar", "parquet of bytes", "zip"])
def test_a_resumed_extraction_sees_another_archive(
    tmp_path: Path, photos: Path, specs: dict[str, str], expected: dict[str, Any], kind: str
):
    """Finished shards are kept while the archive is the same, and made again when it was replaced."""
    for file in photos.parent.glob("*.*"):
        shutil.copy2(file, tmp_path)
    spec = specs[kind].replace("{}", str(tmp_path))
    request = Request(
        data=spec, split=("train",), out=tmp_path / "out", shard_rows=4, batch_size=4, **OPTIONS
    )

    class Stop(Exception):
        pass

    class Stopping(Notes):
        def advance(self, n: int = 1) -> None:
            self.done += n
            if self.done > 12:
                raise Stop

    for touched, doubted in ((False, 0), (True, 3)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with pytest.raises(Stop):
            run(prepare(request), Stopping())
        for file in tmp_path.glob("*.*"):
            if touched:
                os.utime(file, ns=(1, 1))
        notes = Notes()
        cache = run(prepare(request), notes)["train"]
        again = [note for note in notes.lines if note.startswith("made again")]
        assert again == (
            [f"made again, as their bytes or images have changed: {doubted} shards"] if doubted else []
        )
        np.testing.assert_array_equal(cache.features, expected["train"].features)


class Notes(Progress):
    def __init__(self) -> None:
        self.done, self.lines = 0, list[str]()

    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def describe(self, text: str) -> None: ...
    def note(self, text: str) -> None:
        self.lines.append(text)

    def finish(self) -> None: ...


def test_a_url_that_fails_half_way_keeps_finished_shards(
    tmp_path: Path, photos: Path, specs: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ltfix.images.remote.WAIT", 0.0)
    with serving(photos.parent) as server:
        options = {
            **OPTIONS,
            "out": tmp_path,
            "split": ("train",),
            "shard_rows": 4,
            "batch_size": 4,
            "workers": 0,
        }
        extraction = prepare(Request(data=specs["csv"].replace("{}", server.url), **options))
        asked = len(server.asked)

        class Failing(Notes):
            def advance(self, n: int = 1) -> None:
                self.done += n
                server.failing = 1000 if self.done >= 12 else 0

        with pytest.raises(InputError, match=r"tried 4 times.*\(http://.*\.png\)"):
            run(extraction, Failing())
        assert len(server.asked) > asked
        assert len(list((tmp_path / "train").glob("shard-*"))) == 3


class Pixels:
    """A plug-in's pictures, made on the fly."""

    def read(self, row: int) -> bytes:
        return b"P6 8 8 255\n" + bytes((row * 7 + i) % 256 for i in range(192))

    def where(self, row: int) -> str:
        return f"made {row}"


def open_made(rest: str, *, root: str | None = None, split: tuple[str, ...] = ()):
    """What another package would write: a listing of rows, or any Source."""
    from ltfix.images.labels import Labels
    from ltfix.images.listing import Listing, ListingSource

    n = int(rest)

    def listing() -> Listing:
        names = [f"{row}" for row in range(n)]
        labels = Labels((f"class {row % 3}" for row in range(n)), Pixels().where, names=True)
        return Listing(f"made:{rest}", names, labels, Pixels(), np.full(n, 192), None)

    return ListingSource("made", rest, {"train": listing})


def test_a_source_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = tmp_path / "site"
    info = site / "ltfix_made-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ltfix-made\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ltfix.sources]\nmade = test_extraction_sources:open_made\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    cache = ltfix.extract("made:40", out=tmp_path / "out", **OPTIONS)
    assert (cache.n, cache.classes) == (40, ("class 0", "class 1", "class 2"))
    assert cache.manifest.source["kind"] == "made"
