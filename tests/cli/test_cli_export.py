"""``ltfix export``: the default layout, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.cli import run


def test_a_project_is_exported(photos: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    body = ["--backbone", "test_vit", "--no-pretrained", "--dtype", "float32", "--device", "cpu"]
    assert run(["extract", "--data", str(photos), *body]) == 0
    assert run(["fit", "--method", "ce", "--epochs", "1", "--out", "heads/ce.safetensors"]) == 0
    capsys.readouterr()
    assert run(["export", "heads/ce.safetensors"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "timm: exports/ce"
    assert told[1].startswith("checked on noise: largest difference ")
    assert told[2] == 'load it by: timm.create_model("local-dir:exports/ce", pretrained=True)'
    card = Path("exports/ce/README.md").read_text(encoding="utf-8")
    assert "In percent on 6 test samples." in card
    assert "cross-entropy" in card
    assert run(["export", "heads/ce.safetensors", "--to", "torch-export", "--features"]) == 0
    features = np.ones((2, 64), np.float32)
    head = ltfix.load_head("heads/ce.safetensors")
    assert np.allclose(ltfix.open_export("exports/ce.pt2").logits(features), head.logits(features), atol=1e-5)
    assert run(["export", "heads/ce.safetensors"]) == 2
