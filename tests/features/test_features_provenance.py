from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from caches import make_head, write_cache

import ltfix
from ltfix import cli
from ltfix.errors import InputError
from ltfix.exporting.body import own_cache
from ltfix.exporting.request import BodyRequest
from ltfix.features.provenance import made_by, made_otherwise

PIXELS = {"image_size": 32, "crop_pct": 0.9, "mean": [0.5] * 3, "views": "center"}
SMALL = {"preprocess": {**PIXELS, "image_size": 16, "views": "center,hflip"}}
OTHER = {"backbone": {"name": "resnet18", "weights_sha256": "9" * 64}}
WEIGHTS = "are of different features: other weights of resnet18"
NOTE = "are of pictures prepared otherwise: image_size was 32, is 16."


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training features, a head of them, and three test splits: alike, of other weights, of other pixels."""
    monkeypatch.chdir(tmp_path)
    train = write_cache(Path("features/train"), preprocess=PIXELS)
    write_cache(Path("features/test"), n=20, preprocess={**PIXELS, "views": "center,hflip"})
    write_cache(Path("other"), n=20, preprocess=PIXELS, **OTHER)
    write_cache(Path("small"), n=20, **SMALL)
    ltfix.fit(train, "ce", epochs=1, lr=0.1).save("heads/ci.safetensors")
    return tmp_path


def test_a_head_knows_what_made_its_features(project: Path):
    head, test = ltfix.load_head("heads/ci.safetensors"), ltfix.open_cache("features/test")
    weights = {"backbone": "resnet18", "weights_sha256": "0" * 64}
    assert made_by(head) == {**weights, **PIXELS} == {**made_by(test), "views": "center"}
    assert made_otherwise(head, test) == ""
    assert made_otherwise(head, ltfix.open_cache("small")) == "image_size was 32, is 16"
    assert made_by(make_head(meta={"backbone": OTHER["backbone"]})) == {**weights, "weights_sha256": "9" * 64}
    for silent in (make_head(), ltfix.open_cache((np.eye(4), [0, 1, 2, 0]))):
        assert made_by(silent) == {}
        assert made_otherwise(silent, test) == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["evaluate", "heads/ci.safetensors", "--cache"],
        ["evaluate", "features/train", "--cache"],
        ["report", "heads/ci.safetensors", "--overwrite", "--cache"],
        ["calibrate", "heads/ci.safetensors", "--overwrite", "--val"],
        ["predict", "heads/ci.safetensors", "--data"],
        ["fit", "--method", "ce", "--epochs", "1", "--lr", "0.1", "--out", "new", "--overwrite", "--val"],
        ["compare", "--methods", "ncm", "--seeds", "1", "--test"],
        ["sweep", "--method", "ce", "--over", "lr=0.1,0.2", "--set", "epochs=1", "--test"],
    ],
    ids=lambda argv: argv[0] if isinstance(argv, list) else "",
)
def test_other_weights_are_refused_and_other_pixels_told(
    project: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
):
    assert cli.run([*argv, "other"]) == 3
    assert WEIGHTS in capsys.readouterr().err
    assert cli.run([*argv, "small"]) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert NOTE in said
    assert cli.run([*argv, "features/test"]) == 0
    assert "prepared otherwise" not in "".join(capsys.readouterr())


def test_a_body_built_otherwise_is_told_and_tells_no_other_s_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The same weights give other features with another pooling, or by another of several experts."""
    monkeypatch.chdir(tmp_path)
    body = {"name": "resnet18", "weights_sha256": "0" * 64, "args": {}}
    kinds = {"max": {"args": {"global_pool": "max"}}, "plain": {}, "mean": {"experts": "mean"}}
    made = {name: write_cache(Path(name), backbone={**body, **more}) for name, more in kinds.items()}
    known = {name: ltfix.fit(cache, "ncm") for name, cache in made.items()}
    again = write_cache(Path("again"), n=12, backbone=made["max"].manifest.backbone)
    assert own_cache(known["max"], again, BodyRequest()) is again
    for name, other in itertools.permutations(made, 2):
        with pytest.raises(InputError, match="was not fitted on these features"):
            own_cache(known[name], made[other], BodyRequest())
    known["max"].save("max.safetensors")
    assert cli.run(["evaluate", "max.safetensors", "--cache", "plain", "--format", "csv"]) == 0
    told = 'max.safetensors and plain are of features made otherwise: args.global_pool was "max", is null.'
    assert told in capsys.readouterr().err
    assert made_otherwise(known["mean"], made["plain"]) == 'experts was "mean", is null'
    older = {name: value for name, value in known["max"].meta["extracted"].items() if name != "args"}
    assert made_otherwise(dataclasses.replace(known["max"], meta={"extracted": older}), made["plain"]) == ""


def test_a_head_told_by_its_training_cache_alone(project: Path):
    """Of an older ltfix, or of a bare file: the cache that is named tells."""
    make_head(method="ce", counts=ltfix.open_cache("features/train").counts).save("old.safetensors")
    assert ltfix.evaluate("old.safetensors", "other").heads
    with pytest.raises(InputError, match=WEIGHTS):
        ltfix.evaluate(["features/train", "old.safetensors"], "other")
    with pytest.raises(InputError, match=f"heads/ci.safetensors and other {WEIGHTS}"):
        ltfix.fit("other", "ce", init="heads/ci.safetensors")


def test_python_tells_it_of_a_calibration_and_of_the_head_compared_with(project: Path, capsys):
    head = Path("heads/ci.safetensors")
    mine = make_head(method="mine", counts=ltfix.open_cache("features/train").counts)
    for against in (head, ltfix.load_head(head)):
        notes = ltfix.evaluate(mine, "small", against=against).notes
        assert [NOTE in note for note in notes].count(True) == 1
    assert sum(NOTE in note for note in ltfix.evaluate(head, "small", against="ci").notes) == 1
    with pytest.raises(InputError, match=WEIGHTS):
        ltfix.evaluate(mine, "other", against=head)
    ltfix.calibrate(head, "small")
    assert NOTE not in capsys.readouterr().err
    ltfix.calibrate(head, "small", progress=True)
    assert NOTE in " ".join(capsys.readouterr().err.split())


def test_gates_tell_it_too(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "heads/ci.safetensors", "--cache", "small", "--fail-under", "few=0", "--few", "100"]
    for form in ("json", "github", "junit"):
        assert cli.run([*argv, "--many", "200", "--format", form]) == 0
        out, err = capsys.readouterr()
        assert NOTE in err
        if form == "json":
            assert any(NOTE in note for note in json.loads(out)["notes"])


def test_extract_tells_it_of_what_is_beside(project: Path, photos: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["extract", "--data", str(photos), "--backbone", "cifar_resnet32", "--no-pretrained"]
    argv += ["--device", "cpu", "--threads", "1", "--out", "made"]
    assert cli.run([*argv, "--split", "train"]) == 0
    assert "other features" not in capsys.readouterr().err
    assert cli.run([*argv, "--split", "test", "--image-size", "24", "--seed", "1"]) == 0
    told = (
        "made/train, which is there, is of other features; image_size was 32, is 24, weights_sha256 differs"
    )
    assert told in capsys.readouterr().err
    assert cli.run([*argv, "--image-size", "24", "--overwrite"]) == 0
    assert "other features" not in capsys.readouterr().err
