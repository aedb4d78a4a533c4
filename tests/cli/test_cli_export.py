"""``ltfix export``: the default layout, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from caches import make_head

import ltfix
from ltfix.cli import config, run
from ltfix.cli.caches import named_head
from ltfix.errors import InputError, UsageError
from ltfix.exporting.body import RecordedBody, _named
from ltfix.exporting.request import ExportRequest


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
    capsys.readouterr()
    argv = ["export", "heads/ce.safetensors", "--to", "torch-export", "--features", "--format", "json"]
    assert run(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["written"][0]["kind"], found["difference"] < 1e-4) == ("export", True)
    features = np.ones((2, 64), np.float32)
    head = ltfix.load_head("heads/ce.safetensors")
    assert np.allclose(ltfix.open_export("exports/ce.pt2").logits(features), head.logits(features), atol=1e-5)
    for argv in (["evaluate", "exports/ce.pt2"], ["report", "exports/ce"], ["calibrate", "exports/ce"]):
        assert run(argv) == 3
        told = f"an export, not a head ({argv[1]}): take the head that it was made of: heads/ce.safetensors"
        assert told in capsys.readouterr().err
    weights = "exports/ce/model.safetensors"  # of the export that is its folder
    assert run(["evaluate", weights]) == 3
    assert f"an export, not a head ({weights}): take the head" in capsys.readouterr().err
    assert named_head(Path(weights), Path(), exports=True) == Path("exports/ce")
    for argv in (["evaluate", "heads/ce", "--against"], ["fit", "--out", "new", "--init"]):
        assert run([*argv, "exports/ce.pt2"]) == 3
        assert "not a head file: an export; take the head that it was made of" in capsys.readouterr().err
    assert run(["export", "heads/ce"]) == 2  # the same head, whose export is there
    assert "exports/ce" in capsys.readouterr().err
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir("sub")
    assert run(["predict", "../heads/ce", "--data", str(photos), "--quiet"]) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    for command in (["export"], ["predict", "--data", str(photos)]):
        assert run([*command[:1], "cee", *command[1:]]) == 3
        assert "no such file or folder (cee): in heads, did you mean ce?" in capsys.readouterr().err


def test_the_weights_of_the_configuration_file_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_head().save(tmp_path / "head.safetensors")
    (tmp_path / "ltfix.toml").write_text('[extract]\ncheckpoint = "there/w.safetensors"\n')
    asked: list[ExportRequest] = []

    def write(*_: object, request: ExportRequest, **__: object) -> None:
        asked.append(request)
        raise UsageError("seen")

    monkeypatch.setattr("ltfix.exporting.export.export", write)
    assert run(["export", "head.safetensors"]) == 2
    with pytest.raises(InputError, match=r"of w\.safetensors, which .*: checkpoint=DIR/w\.saf"):  # moved
        _named(RecordedBody(name="resnet18", weights="w.safetensors"), None, asked[0])
    Path("there").mkdir()
    Path("there/w.safetensors").touch()
    named = _named(RecordedBody(name="resnet18", weights="w.safetensors"), None, asked[0])
    assert named["checkpoint"] == Path("there/w.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors, which is not here: say where it is: check"):
        _named(RecordedBody(name="resnet18", weights="other.safetensors"), None, asked[0])


def test_the_file_of_the_heads_project_is_read_from_elsewhere(tmp_path: Path, monkeypatch):
    (tmp_path / "ltfix.toml").write_text('[extract]\ncheckpoint = "w/body.safetensors"\n')
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert config.of_extract("backbone", "checkpoint", project=Path("..")) == ["../w/body.safetensors"]
    assert config.of_extract("checkpoint") == []
    Path("../ltfix.toml").write_text("[fitt]\n")  # a project that nobody named
    assert config.of_extract("checkpoint", project=Path("..")) == []
