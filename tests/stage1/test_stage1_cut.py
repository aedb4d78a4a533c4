"""A backbone trained on a cut of its data: the cut goes with the run to cache, head and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from told import Told

import ltfix
from ltfix.demo.digits import load_digits
from ltfix.errors import InputError, UsageError
from ltfix.runfile import NAME
from ltfix.stage1.state import read_state

STEP = {"imbalance_factor": 4, "imbalance_type": "step", "imbalance_order": "first", "val_from_rest": 3}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digits, 15 a class, as CIFAR-10's binary files and the first four of them as folders."""
    root = tmp_path_factory.mktemp("cut")
    images, labels = load_digits()
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:20] for digit in range(10)])
    small = [np.asarray(Image.fromarray(images[row]).convert("RGB").resize((32, 32))) for row in chosen]
    order = np.random.default_rng(0).permutation(len(chosen)).tolist()
    test = [at for at in range(len(chosen)) if at % 20 >= 15]
    records = {
        at: bytes([labels[chosen[at]]]) + small[at].transpose(2, 0, 1).tobytes() for at in range(len(chosen))
    }
    (root / "cifar").mkdir()
    train = [at for at in order if at not in test]
    for part in range(5):
        data = b"".join(records[at] for at in train[part::5])
        (root / "cifar" / f"data_batch_{part + 1}.bin").write_bytes(data)
    (root / "cifar" / "test_batch.bin").write_bytes(b"".join(records[at] for at in test))
    (root / "cifar" / "batches.meta.txt").write_text("".join(f"digit {digit}\n" for digit in range(10)))
    for at in range(80):
        folder = root / "photos" / ("test" if at in test else "train") / f"{labels[chosen[at]]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small[at]).save(folder / f"{at:03}.png")
    return {"cifar10": f"cifar10:{root / 'cifar'}", "folder": str(root / "photos")}


@pytest.mark.parametrize(("kind", "k"), [("cifar10", 10), ("folder", 4)])
def test_a_cut_goes_with_its_run(
    sources: dict[str, str], tmp_path: Path, tiny: dict[str, Any], kind: str, k: int
) -> None:
    data, told = sources[kind], Told()
    run = ltfix.train_backbone(data, out=tmp_path / "run", **{**tiny, **STEP, "epochs": 1})
    counts = [12] * (k // 2) + [3] * (k // 2)
    assert run.info["counts"] == counts and "val" in run.metrics[-1]
    assert {**run.info["data"], **STEP, "imbalance_seed": 0} == run.info["data"]
    options = {"backbone": str(run.path), "threads": 1}
    caches = ltfix.extract(data, out=tmp_path / "f", **options, progress=told)
    assert any("imbalance_type=step, imbalance_order=first" in note for note in told.notes)
    assert {name: cache.counts.tolist() for name, cache in caches.items()} == {
        "train": counts,
        "val": [3] * k,
        "test": [5] * k,
    }
    assert caches["train"].manifest.source["digest"] == run.info["data"]["digest"]
    assert not {*caches["train"].samples} & {*caches["val"].samples}
    said = ltfix.extract(data, out=tmp_path / "said", **options, **STEP)
    assert said["train"].fingerprint == caches["train"].fingerprint
    head = ltfix.fit(caches["train"], "los", val=caches["val"], tune=True, epochs=2)
    assert head.counts.tolist() == counts
    rows = ltfix.evaluate([head], caches["test"], many=10, few=5).to_dict()["heads"]
    assert len(rows) == 2 and all(row["medium"] is None for row in rows)
    whole = ltfix.extract(data, out=tmp_path / "whole", **options, imbalance_factor=1)
    assert set(whole) == {"train", "test"} and whole["train"].counts.tolist() == [15] * k


def test_other_data_is_not_cut(sources: dict[str, str], tmp_path: Path, tiny: dict[str, Any]) -> None:
    told = Told()
    run = ltfix.train_backbone(sources["folder"], out=tmp_path / "run", **{**tiny, **STEP, "epochs": 1})
    options = {"backbone": str(run.path), "threads": 1, "split": ("train",), "progress": told}
    cache = ltfix.extract(sources["cifar10"], out=tmp_path / "f", **options)
    assert any(note.startswith("the backbone was trained on a cut of photos, ") for note in told.notes)
    assert cache.counts.tolist() == [15] * 10
    path = run.path / NAME
    said = json.loads(path.read_text())
    for section, key, wrong in (
        ("data", "imbalance_factor", "abc"),
        ("data", "imbalance_factor", 0.5),
        ("data", "imbalance_type", "stairs"),
        ("data", "imbalance_seed", None),
        ("data", "val_from_rest", 0),
        ("values", "crop_pad", "one"),
        ("values", "augment", 3),
    ):
        path.write_text(json.dumps({**said, section: {**said[section], key: wrong}}))
        with pytest.raises(InputError, match=rf"its {section}\.{key}: .*{NAME}"):
            ltfix.extract(sources["folder"], backbone=str(run.path), out=tmp_path / "g")
    path.write_text(json.dumps({**said, "data": 3}))
    with pytest.raises(InputError, match=NAME):
        ltfix.extract(sources["folder"], backbone=str(run.path), out=tmp_path / "g")


def test_a_cut_run_of_0_1_goes_on(sources: dict[str, str], tmp_path: Path, tiny: dict[str, Any]) -> None:
    """It did not say how its images were cut, beside the digest of what was left of them."""
    cut = {"imbalance_factor": 4, "imbalance_seed": 1}
    request = {**tiny, "data": sources["folder"], "out": tmp_path / "run", "epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        ltfix.train_backbone(**request, **cut, progress=Told("epoch 2/2"))
    state = read_state(tmp_path / "run")
    assert state is not None
    for name in cut:
        del state.decides["data"][name]
    state.save(tmp_path / "run")
    run = ltfix.train_backbone(**request, **cut, resume=True)
    assert {**run.info["data"], **cut} == run.info["data"]
    path = run.path / NAME
    old = {**run.info, "data": {k: v for k, v in run.info["data"].items() if k not in cut}}
    path.write_text(json.dumps(old))
    assert ltfix.train_backbone(**request, **cut).metrics == run.metrics
    with pytest.raises(UsageError, match=r"another request.*data\.digest"):
        ltfix.train_backbone(**request, imbalance_factor=4, imbalance_seed=2)
    path.write_text(json.dumps(dict(run.info)))
    with pytest.raises(UsageError, match=r"another request.*imbalance_seed was 1, is 2"):
        ltfix.train_backbone(**request, imbalance_factor=4, imbalance_seed=2)
    with pytest.raises(UsageError, match=r"another request.*loss was null"):
        ltfix.train_backbone(**request, **cut, loss="balanced-softmax")
    path.write_text(json.dumps({**run.info, "loss": "balanced-softmax"}))
    with pytest.raises(UsageError, match=r"another request.*loss was"):
        ltfix.train_backbone(**request, **cut)
