"""``ltfix train-backbone`` on real images, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ltfix import cli
from ltfix.demo.digits import load_digits

TINY = ["--model-arg", "depths=[1, 1]", "--model-arg", "widths=[4, 8]", "--image-size", "8", "--epochs", "2"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three digits in photos/train and photos/val."""
    images, labels = load_digits()
    for split, n in (("train", 6), ("val", 3)):
        for digit in range(3):
            folder = tmp_path / "photos" / split / str(digit)
            folder.mkdir(parents=True)
            for row in np.flatnonzero(labels == digit)[:n]:
                Image.fromarray(images[row]).save(folder / f"{row}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    return tmp_path


def test_a_run_is_made_and_said(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "train-backbone",
        "--data",
        "photos",
        *TINY,
        "--lr",
        "0.1",
        "--augment",
        "crop",
        "--set",
        "crop_pad=1",
    ]
    assert cli.run(argv) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("cifar_resnet32, recipe ce (cifar): K = 3, D = 8, 18 images, 2 epochs\n")
    assert "validation accuracy: all " in captured.out
    assert "next: ltfix extract --backbone runs/cifar_resnet32-ce" in captured.out
    assert [line for line in captured.err.splitlines() if line.startswith("ltfix: epoch 2/2: loss ")]
    info = json.loads((photos / "runs/cifar_resnet32-ce/run.json").read_text())
    assert (info["values"]["lr"], info["values"]["crop_pad"], info["values"]["augment"]) == (0.1, 1, "crop")
    assert cli.run(argv) == 0
    again = capsys.readouterr()
    assert again.out == captured.out
    assert "runs/cifar_resnet32-ce is finished already and kept" in again.err
    assert cli.run([*argv, "--seed", "1"]) == 2
    assert "seed was 0, is 1 (runs/cifar_resnet32-ce): --overwrite replaces it" in capsys.readouterr().err
    assert cli.run([*argv, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_values_come_from_the_file(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "ltfix.toml").write_text(
        '[train-backbone]\ndata = "photos"\nname = "mine"\nepochs = 1\nimage-size = 8\n'
        'model-arg = ["depths=[1, 1]", "widths=[4, 8]"]\n'
    )
    assert cli.run(["train-backbone"]) == 0
    assert json.loads((photos / "runs/mine/run.json").read_text())["values"]["epochs"] == 1
    assert "runs/mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([], 2, "--data is needed (ltfix train-backbone)"),
        (["--data", "photos", "--recipe", "cee"], 2, "unknown recipe 'cee'"),
        (["--data", "photos", "--set", "epoch=3"], 2, "did you mean epochs"),
        (["--data", "photos", "--set", "seed=3"], 2, "seed is an option, not a value (--set): write --seed"),
        (["--data", "photos", "--lr", "0"], 2, "lr = 0 is out of range (--lr)"),
        (["--data", "photos", "--preset", "imagenet"], 2, "did you mean imagenet-lt"),
        (["--data", "photos", "--sampler", "class-aware", "--recipe", "balanced-softmax"], 2, "one of them"),
        (["--data", "photos", "--recipe", "ce", "--set", "projection=3"], 2, "has no value 'projection'"),
        (
            ["--data", "photos", "--crop-pad", "1" + 9 * "0"],
            2,
            "crop_pad = 1e+09 is out of range (--crop-pad)",
        ),
        (["--data", "photos", "--image-size", "1" + 30 * "0"], 2, "must be a whole number from 1 to 8192"),
        (["--data", "photos", "--model-arg", "num_classes=1" + 30 * "0"], 2, "num_classes must be a whole"),
        (["--data", "photos", "--model-arg", "checkpoint_path=x.pth"], 2, "checkpoint_path is not taken"),
        (["--data", "photos", "--checkpoint-key", "model"], 2, "no checkpoint to read so (--checkpoint-key)"),
        (["--data", "photos", "--precision", "fp8"], 2, "it may be auto, fp32, bf16, fp16"),
        (["--data", "photos", "--augment", "spin"], 2, "unknown augmentation (spin)"),
        (["--data", "photos", "--model", "resnet999"], 2, "unknown model (resnet999)"),
        (["--data", "photos", "--resume"], 2, "no unfinished run to resume"),
        (["--data", "nowhere"], 3, "no such file or folder (nowhere)"),
        (["--data", "photos", "--split", "test"], 3, "there is no split 'test'"),
        (["--data", "photos", "--checkpoint", "none.pth"], 3, "no such file or folder (none.pth)"),
    ],
)
def test_refused_in_one_line(
    photos: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, said: str
) -> None:
    assert cli.run(["train-backbone", *argv]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert said in captured.err
    assert not (photos / "runs").exists()


def test_every_new_value_has_an_option(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["train-backbone", "--data", "photos", *TINY, "--recipe", "glmc", "--set", "contrast-weight=2"]
    given = "--ema 0.9 --clip-grad 1 --accumulate 2 --no-channels-last --decay conv --precision fp32"
    assert cli.run([*argv, *given.split(), "--batch-size", "9", "--name", "all"]) == 0
    assert "recipe glmc" in capsys.readouterr().out
    values = json.loads((photos / "runs/all/run.json").read_text())["values"]
    expected = {"ema": 0.9, "clip_grad": 1.0, "accumulate": 2, "channels_last": False, "decay": "conv"}
    assert {key: values[key] for key in expected} == expected
    assert (values["contrast_weight"], values["precision"]) == (2, "fp32")


def test_an_unwritable_place_is_the_environments_fault(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "runs").write_text("a file")
    assert cli.run(["train-backbone", "--data", "photos", *TINY]) == 3
    assert "runs" in capsys.readouterr().err
