"""ltfix.extraction.plan: everything decided, nothing written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
from caches import write_cache
from pictures import write_photos
from timm.models import save_for_hf

from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.extraction.plan import Extraction, _match_classifier, prepare
from ltfix.extraction.request import Request
from ltfix.features.layout import SHARD_ROWS
from ltfix.heads.head import Head


def plan(photos: Path, out: Path, **values: Any) -> Extraction:
    values = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu", **values}
    return prepare(Request(data=photos, out=out, **values))


def decisions(extraction: Extraction) -> list[dict[str, Any]]:
    return [job.plan.decisions for job in extraction.jobs]


def test_nothing_is_written(photos: Path, tmp_path: Path):
    extraction = plan(photos, tmp_path / "out", views="center,hflip", dtype="float32")
    assert not (tmp_path / "out").exists()
    train, test = extraction.jobs
    assert (train.split.name, test.split.name) == ("train", "test")
    assert (train.plan.dim, train.plan.views, train.plan.dtype, train.plan.shard_rows) == (
        64,
        2,
        "float32",
        SHARD_ROWS,
    )
    assert train.folder == tmp_path / "out" / "train"
    assert train.state == "todo"
    assert train.plan.run == {"batch_size": 32, "threads": 1, "device": "cpu", "precision": "fp32"}
    assert not any("/" in value for value in _texts(train.plan.source) + _texts(train.plan.backbone))


def _texts(values: dict[str, Any]) -> list[str]:
    return [value for value in values.values() if isinstance(value, str)]


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1},
        {"image_size": 40},
        {"views": "center,hflip"},
        {"precision": "bf16"},
        {"dtype": "float32"},
        {"imbalance_factor": 2},
        {"limit": 3},
        {"on_error": "skip"},
        {"shard_rows": 2},
        {"interpolation": "bicubic"},
    ],
)
def test_what_decides_the_bytes_is_in_the_fingerprint(photos: Path, tmp_path: Path, values: dict[str, Any]):
    assert decisions(plan(photos, tmp_path, **values))[0] != decisions(plan(photos, tmp_path))[0]


def test_what_does_not_is_not(photos: Path, tmp_path: Path):
    same = plan(photos, tmp_path / "elsewhere", batch_size=3, workers=1, threads=1, overwrite=True)
    assert decisions(same) == decisions(plan(photos, tmp_path))
    assert same.jobs[0].plan.run["batch_size"] == 3


def test_a_classifier_of_other_classes_is_left_out(photos: Path, tmp_path: Path, shared_data: Path):
    checkpoint = shared_data / "c100_if100_resnet32_stage1.safetensors"
    extraction = plan(photos, tmp_path, checkpoint=checkpoint)
    assert extraction.backbone.head is None
    assert extraction.backbone.notes[-1:] == [
        "its classifier has 100 classes, the data 3: the cache has no stage-1 head"
    ]


def named(folder: Path, names: object) -> tuple[str, np.ndarray]:
    """A model of timm's that names its three classes, and the rows of its classifier."""
    model = timm.create_model("test_resnet", num_classes=3)
    save_for_hf(model, str(folder), model_config={"label_names": names}, safe_serialization=True)
    return f"local-dir:{folder}", model.get_classifier().weight.detach().numpy()


@pytest.mark.parametrize(
    ("names", "rows", "note"),
    [
        (["Zebra", "ant", "bee"], [0, 1, 2], None),
        (["ant", "bee", "Zebra"], [2, 0, 1], "in another order"),
        ({"0": "ant", "1": "bee", "2": "Zebra"}, [2, 0, 1], "in another order"),
        (["zebra", "ant", "bee"], None, "trained on other classes"),
    ],
)
def test_rows_of_a_named_classifier_follow_the_data(
    photos: Path, tmp_path: Path, names: object, rows: list[int] | None, note: str | None
):
    name, weight = named(tmp_path / "model", names)
    extraction = plan(photos, tmp_path / "out", backbone=name, pretrained=True)
    head = extraction.backbone.head
    assert (head is None) == (rows is None)
    assert head is None or (head.weight == weight[rows]).all()
    assert [line for line in extraction.notes if note and note in line] == extraction.notes


def test_numbered_classes_are_a_named_classifiers_rows(tmp_path: Path):
    numbered = write_photos(tmp_path / "p", {"train": {str(k): 1 for k in range(3)}}, size=(4, 4))
    name, weight = named(tmp_path / "model", ["Zebra", "ant", "bee"])
    extraction = plan(numbered, tmp_path / "out", backbone=name, pretrained=True)
    head = extraction.backbone.head
    assert head is not None
    assert (head.weight == weight).all()
    assert head.classes is None
    assert any("the data's are numbers, taken for its rows" in line for line in extraction.notes)


def test_a_runs_counts_follow_the_rows():
    head = Head(np.eye(3, dtype=np.float32), np.arange(3.0, dtype=np.float32), "stage-1", ("b", "c", "a"))
    backbone = SimpleNamespace(head=dataclasses.replace(head, counts=np.array([5, 9, 2])), notes=[])
    _match_classifier(backbone, ("a", "b", "c"))
    assert backbone.head.counts.tolist() == [2, 5, 9]
    assert backbone.head.bias.tolist() == [2, 0, 1]


def test_another_cache_is_seen(photos: Path, tmp_path: Path):
    write_cache(tmp_path / "train")
    assert [job.state for job in plan(photos, tmp_path).jobs] == ["taken", "todo"]
    assert [job.state for job in plan(photos, tmp_path, overwrite=True).jobs] == ["todo", "todo"]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"precision": "fp8"}, UsageError, "precision is 'fp8'"),
        ({"views": "train:0"}, UsageError, "unknown view"),
        ({"views": "train:2,center"}, UsageError, "train:2 must come last"),
        ({"views": "center", "augment": "flip"}, UsageError, "only random views are augmented"),
        ({"views": "train:2", "augment": "flipp"}, UsageError, "unknown augmentation"),
        ({"device": "tpu"}, UsageError, "unknown device"),
        ({"device": "cuda:²"}, UsageError, "unknown device"),
        ({"threads": 10**12}, UsageError, "threads = 1e.12 is out of range"),
        ({"device": "cuda:9"}, EnvironmentFault, "no device cuda:9"),
        ({"imbalance_factor": 0.5}, UsageError, "imbalance_factor"),
        ({"split": ["val"]}, InputError, "no split 'val'"),
        ({"classes": "none.txt"}, InputError, "no such file"),
    ],
)
def test_refusals(photos: Path, tmp_path: Path, values: dict[str, Any], kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        plan(photos, tmp_path, **values)
    assert not list(tmp_path.iterdir())


def test_the_order_of_classes_is_recorded_only_where_it_is_another(tmp_path: Path):
    photos = write_photos(tmp_path / "p", {"train": {str(k): 1 for k in (2, 10)}}, size=(4, 4))
    plain, numeric = (
        plan(photos, tmp_path / "out", classes_order=order).jobs[0].plan for order in ("text", "numeric")
    )
    assert set(plain.source) == {"kind", "root", "split", "digest"}
    assert numeric.source["classes_order"] == "numeric"
    assert (list(plain.classes), list(numeric.classes)) == (["10", "2"], ["2", "10"])
