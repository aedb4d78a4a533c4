"""A backbone for a table: trained, resumed, extracted from, fitted on; what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from told import Told, same

import ltfix
from ltfix.errors import LtfixError, UsageError
from ltfix.images.numbers import numbers_of
from ltfix.images.source import open_source
from ltfix.stage1.optimise import build_optimizer
from ltfix.stage1.preparation import of_table
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.run_folder import Run

sklearn = pytest.importorskip("sklearn.datasets")
SMALL: dict[str, Any] = {
    "model": "mlp",
    "model_args": {"layers": 1, "width": 32},
    "imbalance_factor": 20,
    "epochs": 6,
    "batch_size": 32,
    "lr": 0.01,
    "dropout": 0.1,
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits, 1000 to train on and 797 to test."""
    x, y = sklearn.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    path = tmp_path_factory.mktemp("table") / "digits.npz"
    split = np.where(np.arange(len(y)) < 1000, "train", "test")
    np.savez(path, X=x[order], y=y[order], split=split)
    return path


def train(digits: Path, out: Path, **more: Any) -> Run:
    return ltfix.train_backbone(digits, out=out, **{**SMALL, **more})


def test_from_a_table_to_a_head(digits: Path, tmp_path: Path) -> None:
    run = train(digits, tmp_path / "run")
    assert run.info["preset"] == "table" and run.info["values"]["optimizer"] == "adamw"
    caches = ltfix.extract(
        digits, backbone=str(tmp_path / "run"), out=tmp_path / "f", imbalance_factor=20, device="cpu"
    )
    assert caches["train"].n == run.info["data"]["n"] and caches["train"].dim == 32
    head = ltfix.fit(caches["train"], "samn")
    rows = ltfix.evaluate([caches["train"].head, head], caches["test"]).heads
    assert all(row["all"] > 0.6 for row in rows)


def test_statistics_are_of_the_training_rows_that_are_kept(digits: Path) -> None:
    split = open_source(digits).split("train").subset(np.arange(50))
    request = of_table(TrainingRequest(data=digits, model="mlp"), split)
    numbers = numbers_of(split)
    assert numbers is not None and request.mean is not None and request.std is not None
    np.testing.assert_allclose(request.mean, numbers[1].mean(0), rtol=1e-12)
    std = numbers[1].std(0)
    np.testing.assert_allclose(request.std, np.where(std == 0, 1, std), rtol=1e-12)
    assert (std == 0).any()  # the digits' corners are white


def test_a_constant_column_is_left_as_it_is(tmp_path: Path) -> None:
    x = np.column_stack([np.full(20, 0.1), 0.3 - 1e-16 * (np.arange(20) % 2), np.arange(20)])
    assert (x.std(0) > 0).all()  # of rounding alone in the first two
    np.savez(tmp_path / "t.npz", X=x, y=np.arange(20) % 2)
    split = open_source(tmp_path / "t.npz").split("train")
    request = of_table(TrainingRequest(data="t.npz", model="mlp"), split)
    assert request.std is not None
    np.testing.assert_allclose(request.std, [1, 1, x[:, 2].std()], rtol=1e-12)


def test_a_resumed_run_of_adamw_ends_alike(digits: Path, tmp_path: Path) -> None:
    train(digits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path / "cut", progress=Told("epoch 4/6"))
    train(digits, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_adamw_is_its_formula() -> None:
    layer = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    start = layer.weight.detach().clone()
    values = {"optimizer": "adamw", "lr": 0.1, "weight_decay": 0.5, "decay": "all"}
    optimizer = build_optimizer(layer, values)
    layer.weight.grad = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    optimizer.step()  # the first step: m̂ = g, v̂ = g²
    expected = start * (1 - 0.1 * 0.5) - 0.1 * torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "cifar_resnet32", "model_args": {}}, "it is a table of numbers"),
        ({"recipe": "glmc"}, "no boxes to mix"),
        ({"cutmix": 1.0}, "no boxes to mix"),
        ({"augment": "flip"}, "not augmented"),
        ({"decay": "conv"}, "no convolutions"),
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum is not used with optimizer=adamw"),
        ({"dropout": 2}, "out of range"),
        ({"image_size": 64}, r"no pictures \(image_size\)"),
        ({"mean": (0.5,) * 64}, r"no pictures \(mean\)"),
    ],
)
def test_what_no_table_has(more: dict[str, Any], said: str, digits: Path, tmp_path: Path) -> None:
    with pytest.raises(LtfixError, match=said):
        train(digits, tmp_path / "run", **more)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_table_and_a_network_for_pictures_are_not_mixed(digits: Path, photos: Path, tmp_path: Path) -> None:
    train(digits, tmp_path / "run", epochs=1)
    with pytest.raises(LtfixError, match="not pictures"):
        ltfix.extract(photos, backbone=str(tmp_path / "run"), out=tmp_path / "f", device="cpu")
    with pytest.raises(LtfixError, match="no pictures"):
        ltfix.extract(digits, backbone="resnet18", pretrained=False, out=tmp_path / "f", device="cpu")
    for name, value in (("std", [2.0] * 64), ("crop_pct", 0.9)):
        with pytest.raises(UsageError, match=rf"no pictures \({name}\)"):
            ltfix.extract(digits, **{"backbone": str(tmp_path / "run"), "out": tmp_path / "f", name: value})
    other = tmp_path / "other.npz"
    with np.load(digits) as held:
        np.savez(other, X=held["X"][:, 1:], y=held["y"], split=held["split"])
    with pytest.raises(LtfixError, match="63 columns"):
        ltfix.extract(other, backbone=str(tmp_path / "run"), out=tmp_path / "f", device="cpu")
    assert not (tmp_path / "f").exists()
