"""train_backbone on real images: it learns, resumes bit by bit, and extract reads what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pictures import write_photos
from PIL import Image
from safetensors.numpy import load_file
from told import Told, same

import ltfix
from ltfix import files
from ltfix.backbones.load import load_backbone
from ltfix.errors import EnvironmentFault, InputError, UsageError
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


def test_the_same_command_on_a_finished_run_says_so_and_changes_nothing(
    photos: Path, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    first = train_backbone(photos, out=tmp_path, **tiny)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = Told()
    again = train_backbone(photos, out=tmp_path, **tiny, resume=True, progress=told)
    assert (again.metrics, again.info) == (first.metrics, json.loads(before["run.json"]))
    assert any("finished already and kept" in note for note in told.notes)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(UsageError, match=r"finished run of another request.*values\.lr was 0\.1, is 0\.2"):
        train_backbone(photos, out=tmp_path, **{**tiny, "lr": 0.2})


def test_one_writer_at_a_time(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    with (
        files.lock(tmp_path / "run"),
        pytest.raises(EnvironmentFault, match=r"another process is writing into this folder \(.*run\)"),
    ):
        train_backbone(photos, out=tmp_path / "run", **tiny)
    train_backbone(photos, out=tmp_path / "run", **{**tiny, "epochs": 1})


class TestModelsOfLibraries:
    @pytest.mark.parametrize("arguments", [{}, {"aux_logits": False}, {"aux_logits": True}])
    def test_auxiliary_classifiers_are_left_aside(
        self, photos: Path, tmp_path: Path, tiny: dict[str, Any], arguments: dict[str, Any]
    ) -> None:
        options = {**tiny, "model_args": arguments, "epochs": 1, "preprocess": {"image_size": 32}, "limit": 8}
        train_backbone(photos, out=tmp_path, model="torchvision:googlenet", **options)
        names = set(load_file(tmp_path / "backbone.safetensors"))
        assert not any(name.startswith("aux") for name in names)
        assert load_backbone(str(tmp_path)).dim == 1024

    def test_a_network_that_asks_for_versions(
        self, photos: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """torchvision's MNASNet refuses state dicts that do not say which version of it they are of."""
        options = {**tiny, "model_args": {}, "preprocess": {"image_size": 32}, "limit": 8, "ema": 0.9}
        common = {"model": "torchvision:mnasnet0_5", **options}
        with pytest.raises(KeyboardInterrupt):
            train_backbone(photos, out=tmp_path, **common, progress=Told(stop_at="epoch 1/"))
        train_backbone(photos, out=tmp_path, **common)
        assert load_backbone(str(tmp_path)).dim == 1280

    @pytest.mark.parametrize("model", ["test_resnet", "torchvision:resnet18"])
    def test_a_batch_that_batch_norm_cannot_take(
        self, photos: Path, tmp_path: Path, tiny: dict[str, Any], model: str
    ) -> None:
        options = {**tiny, "model_args": {}, "batch_size": 1, "preprocess": {"image_size": 16}}
        with pytest.raises(
            UsageError, match=r"batch norm needs more than one value a channel \(batch_size\)"
        ):
            train_backbone(photos, out=tmp_path, model=model, **options)

    def test_a_classifier_within_a_classifier(
        self, photos: Path, tmp_path: Path, tiny: dict[str, Any]
    ) -> None:
        options = {**tiny, "model_args": {}, "epochs": 1, "preprocess": {"image_size": 32}, "limit": 8}
        train_backbone(photos, out=tmp_path, model="repvit_m0_9", **options)
        assert load_backbone(str(tmp_path)).head is not None

    def test_what_a_model_raises_in_training_is_told_in_one_line(
        self, photos: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ltfix.backbones.cifar import CifarResNet

        real = CifarResNet.forward_features

        def forward(self: CifarResNet, images: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise IndexError("list index out of range")
            return real(self, images)

        monkeypatch.setattr(CifarResNet, "forward_features", forward)
        with pytest.raises(InputError, match="the model cannot be trained on these images: list index"):
            train_backbone(photos, out=tmp_path, **tiny)


def test_what_a_checkpoint_gave_is_said(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    model = timm.create_model("cifar_resnet32", num_classes=4, **tiny["model_args"])
    queue = {"queue": torch.zeros(3)}
    torch.save(
        {"model": model.state_dict(), "model_ema": {**model.state_dict(), **queue}}, tmp_path / "a.pth"
    )
    told = Told()
    options = {**tiny, "epochs": 1, "checkpoint": tmp_path / "a.pth", "ignore_tensors": ["queue"]}
    train_backbone(photos, out=tmp_path / "run", **options, progress=told)
    assert "the weights of a.pth are those under model_ema; left there: model" in told.notes
    assert "ignored in a.pth: queue" in told.notes


def test_what_images_and_class_names_are_is_told(tmp_path: Path, tiny: dict[str, Any]) -> None:
    photos = write_photos(tmp_path / "photos", {"train": {str(k): 2 for k in (2, 3, 10)}}, size=(32, 32))
    Image.fromarray(np.full((32, 32), 999, np.uint16)).save(photos / "train" / "3" / "00.png")
    (photos / "train" / "3" / "a.heic").write_bytes(b"?")
    told = Told()
    text = train_backbone(photos, out=tmp_path / "text", **{**tiny, "epochs": 1}, progress=told)
    assert text.info["classes"] == ["10", "2", "3"] and "classes_order" not in text.info["data"]
    for part in (
        "in the order of text (10, 2, 3",
        "1 file of train does not end",
        "16-bit grey, times 255/65535",
    ):
        assert sum(part in note for note in told.notes) == 1
    options = {**tiny, "epochs": 1, "classes_order": "numeric"}
    numeric = train_backbone(photos, out=tmp_path / "numeric", **options)
    assert numeric.info["classes"] == ["2", "3", "10"] and numeric.info["data"]["classes_order"] == "numeric"
