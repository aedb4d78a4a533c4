"""train_backbone on real images: it learns, resumes bit by bit, and extract reads what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from told import Told, same

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.stage1.train import train_backbone


def test_it_learns_and_writes_all_that_extract_needs(
    photos: Path, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    told = Told()
    run = train_backbone(photos, out=tmp_path / "run", **{**tiny, "epochs": 12}, progress=told)
    first, last = run.metrics[0], run.metrics[-1]
    assert last["loss"] < 0.6 * first["loss"] and last["train_accuracy"] > 0.7
    assert set(last["val"]) == {"all", "many", "medium", "few"}
    assert told.done == 12 * 40 and len([note for note in told.notes if note.startswith("epoch ")]) == 12
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.metrics
    assert run.info["counts"] == [20, 11, 6, 3] and run.info["test_head"] == "fc"
    caches = ltfix.extract(photos, backbone=str(tmp_path / "run"), out=tmp_path / "features", threads=1)
    head = caches["test"].head
    assert head is not None and head.counts.tolist() == [20, 11, 6, 3]
    accuracy = ltfix.evaluate(caches["train"], caches["val"]).to_dict()["heads"][0]["all"]
    assert accuracy == pytest.approx(last["val"]["all"], abs=0.051)  # float16 features


def test_one_seed_gives_the_same_bytes(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    torch.manual_seed(5)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_backbone(photos, out=tmp_path / name, seed=seed, **tiny)
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")


def test_an_interrupted_run_ends_as_if_it_had_not_been(
    photos: Path, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    whole = train_backbone(photos, out=tmp_path / "whole", **tiny)
    with pytest.raises(KeyboardInterrupt):
        train_backbone(photos, out=tmp_path / "cut", **tiny, progress=Told("epoch 3/3"))
    told = Told()
    cut = train_backbone(photos, out=tmp_path / "cut", **tiny, resume=True, progress=told)
    assert told.notes[0].endswith("after epoch 2 of 3")
    assert same(whole.path, cut.path)
    assert [entry["loss"] for entry in cut.metrics] == [entry["loss"] for entry in whole.metrics]


def test_loaded_images_learn_and_resume_too(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout draws from torch's global generator, the augmentation in worker processes."""
    monkeypatch.setattr("ltfix.stage1.streams.RESIDENT_BYTES", 1000)
    tiny["model_args"] = {**tiny["model_args"], "drop_rate": 0.2}
    options = {**tiny, "augment": "resized-crop,flip", "workers": 1}
    train_backbone(photos, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train_backbone(photos, out=tmp_path / "cut", **options, progress=Told("epoch 2/3"))
    train_backbone(photos, out=tmp_path / "cut", **{**options, "workers": 0})
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_other_values_do_not_continue_a_run(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_backbone(photos, out=tmp_path, **tiny, progress=Told("epoch 2/3"))
    with pytest.raises(InputError, match=r"values\.lr was 0\.1, is 0\.2"):
        train_backbone(photos, out=tmp_path, **{**tiny, "lr": 0.2})
    with pytest.raises(InputError, match="the training run is unfinished"):
        ltfix.extract(photos, backbone=str(tmp_path), out=tmp_path / "features")


def test_a_checkpoint_can_be_the_start(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    first = train_backbone(photos, out=tmp_path / "first", **tiny)
    options = {**tiny, "epochs": 1, "lr": 1e-12, "checkpoint": first.path / "backbone.safetensors"}
    second = train_backbone(photos, out=tmp_path / "second", **options)
    assert list(second.info["start"]) == ["backbone.safetensors"]
    there, here = (load_file(run.path / "backbone.safetensors") for run in (first, second))
    assert np.allclose(there["conv1.weight"], here["conv1.weight"])


def test_a_long_tail_can_be_cut_first(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    run = train_backbone(photos, out=tmp_path, **{**tiny, "epochs": 1}, imbalance_factor=20)
    assert run.info["counts"] == [20, 7, 2, 1]


def test_divergence_keeps_the_last_good_epoch(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"the loss of epoch \d is (nan|inf)"):
        train_backbone(photos, out=tmp_path, **{**tiny, "lr": 1e30, "momentum": 0.0})
    assert not (tmp_path / "backbone.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"recipe": "cee"}, "unknown recipe"),
        ({"augment": "crop,spin"}, "unknown augmentation"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"device": "tpu"}, "unknown device"),
        ({"preset": "cifra"}, "did you mean cifar"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    photos: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        train_backbone(photos, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
