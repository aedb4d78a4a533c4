"""Every recipe on real images: it improves, resumes bit by bit, and extract and fit take what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from told import Told, same

import ltfix
from ltfix.compute import choose_compute
from ltfix.errors import EnvironmentFault, UsageError
from ltfix.stage1.train import train_backbone

NAMES = [recipe.name for recipe in ltfix.recipes()]


def options(tiny: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    return {**tiny, "recipe": name, "warmup_epochs": 0, "schedule": "cosine", **more}


@pytest.mark.parametrize("name", NAMES)
def test_it_improves_and_extract_reads_its_test_head(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], name: str
) -> None:
    more = {"epochs": 10} if name != "glmc" else {"epochs": 30, "contrast_weight": 0.5}
    run = train_backbone(photos, out=tmp_path / "run", **options(tiny, name, **more))
    first, last = run.metrics[0], run.metrics[-1]
    assert last["train_accuracy"] > first["train_accuracy"] + 0.05, run.metrics
    stored = load_file(run.path / "classifier.safetensors")
    for head in run.info["heads"]:
        assert f"{head}.weight" in stored
    caches = ltfix.extract(photos, backbone=str(run.path), out=tmp_path / "features", threads=1)
    head = caches["train"].head
    assert head is not None and head.counts.tolist() == [20, 11, 6, 3]
    np.testing.assert_array_equal(head.weight, stored["weight"])
    assert head.meta["recipe"] == name
    report = ltfix.evaluate(caches["train"], caches["val"]).to_dict()["heads"][0]
    assert report["all"] == pytest.approx(last["val"]["all"], abs=0.051)  # float16 features
    if name == "glmc":
        np.testing.assert_array_equal(head.weight, stored["fc_cb.weight"])
        fitted = ltfix.fit(caches["train"], "samn", preset="auto", epochs=1)
        assert fitted.meta["values"]["lr"] == {"value": 5e-5, "from": "preset cifar10"}
    if name == "etf-fr":
        fitted = ltfix.fit(caches["train"], method="etf", epochs=2)
        np.testing.assert_allclose(fitted.weight, head.weight, atol=1e-6)
    else:
        assert ltfix.fit(caches["train"], method="samn", epochs=1).n_classes == 4


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("glmc", {}),
        ("ldam-drw", {"ema": 0.9, "clip_grad": 1.0}),
        ("mixup", {"precision": "fp16", "cutmix": 0.5}),
        ("etf-fr", {"decay": "conv-fixed-bn", "accumulate": 2}),
    ],
)
def test_every_state_comes_back_bit_by_bit(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], name: str, more: dict[str, Any]
) -> None:
    given = options(tiny, name, **more)
    whole = train_backbone(photos, out=tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train_backbone(photos, out=tmp_path / "cut", **given, progress=Told("epoch 3/3"))
    cut = train_backbone(photos, out=tmp_path / "cut", **given, resume=True)
    assert same(whole.path, cut.path)
    assert [entry["loss"] for entry in cut.metrics] == [entry["loss"] for entry in whole.metrics]


def test_large_images_take_the_same_recipes(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a resident set the images come through a loader; without augmentation they are the same."""
    given = options(tiny, "glmc", epochs=1, augment="none", workers=0)
    resident = train_backbone(photos, out=tmp_path / "resident", **given)
    monkeypatch.setattr("ltfix.stage1.streams.RESIDENT_BYTES", 1000)
    loaded = train_backbone(photos, out=tmp_path / "loaded", **given)
    assert same(resident.path, loaded.path)


def test_a_compiled_backbone_keeps_its_names(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    torch.compiler.reset()
    with torch.compiler.set_stance("force_eager"):  # what a compiler would do is torch's own matter
        run = train_backbone(photos, out=tmp_path / "run", **{**tiny, "epochs": 1}, compile=True)
    plain = train_backbone(photos, out=tmp_path / "plain", **{**tiny, "epochs": 1})
    assert same(run.path, plain.path)


def test_averaged_weights_are_what_is_kept(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    plain = train_backbone(photos, out=tmp_path / "plain", **tiny)
    kept = train_backbone(photos, out=tmp_path / "kept", **tiny, ema=0.9)
    state = load_file(kept.path / "checkpoint-last.safetensors")
    backbone = load_file(kept.path / "backbone.safetensors")
    np.testing.assert_array_equal(backbone["conv1.weight"], state["average/extractor.model.conv1.weight"])
    other = load_file(plain.path / "backbone.safetensors")
    np.testing.assert_array_equal(other["conv1.weight"], state["model/extractor.model.conv1.weight"])


@pytest.mark.parametrize("more", [{"precision": "bf16"}, {"channels_last": False}])
def test_other_arithmetic_gives_nearly_the_same(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], more: dict[str, Any]
) -> None:
    if "precision" in more:
        try:
            choose_compute(torch.device("cpu"), "bf16")
        except EnvironmentFault:
            pytest.skip("no bfloat16")
    plain = train_backbone(photos, out=tmp_path / "plain", **{**tiny, "epochs": 1, "lr": 0.01})
    other = train_backbone(photos, out=tmp_path / "other", **{**tiny, "epochs": 1, "lr": 0.01}, **more)
    assert other.metrics[0]["loss"] == pytest.approx(plain.metrics[0]["loss"], rel=0.02)


def test_a_simplex_too_wide_is_refused(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    small = {**tiny, "model_args": {"depths": [1, 1], "widths": [1, 3]}}
    with pytest.raises(UsageError, match="D ≥ K"):
        train_backbone(photos, out=tmp_path / "run", **small, recipe="etf-fr")
    assert not (tmp_path / "run").exists()
