"""``ltfix.predict``: pictures get what their features get; order, streams, memory, formats, refusals."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import make_image, write_photos
from safetensors import safe_open

import ltfix
from ltfix import cli
from ltfix.backbones.preprocess import Preprocess
from ltfix.errors import InputError, UsageError
from ltfix.exporting.request import FORMATS
from ltfix.extraction.decode import DecodedBatch
from ltfix.heads.head import Head
from ltfix.images.views import parse_views
from ltfix.predicting import pictures
from ltfix.predicting.classifiers import Answers
from ltfix.predicting.request import PredictRequest
from ltfix.progress import SILENT

BODY = {"backbone": "cifar_resnet32", "pretrained": False, "views": "center,hflip", "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, their features by random weights, and a cosine head of them with a temperature."""
    folder = tmp_path_factory.mktemp("predict")
    write_photos(folder / "photos")
    caches = ltfix.extract(folder / "photos", out=folder / "features", **BODY)
    head = ltfix.fit(caches["train"], "cosine", epochs=3, lr=0.1)
    ltfix.calibrate(head, caches["test"]).save(folder / "head.safetensors")
    return folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def rows_of(text: str) -> list[dict[str, str]]:
    """CSV, read again."""
    return list(csv.DictReader(io.StringIO(text)))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """The exit code and the one line of a command that does nothing else."""
    code = cli.run(argv)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    return code, err.removeprefix("ltfix: error: ").rstrip()


def both(**options: Any) -> tuple[list, list]:
    """Of the test pictures and of the cache of them."""
    of_pictures = ltfix.predict(
        "head.safetensors", "photos/test", cache="features/train", device="cpu", **options
    )
    return list(of_pictures), list(ltfix.predict("head.safetensors", "features/test", **options))


@pytest.mark.parametrize("options", [{}, {"batch_size": 1, "workers": 0}, {"batch_size": 4, "top": 2}])
def test_pictures_get_what_their_features_get(project: Path, options: dict[str, Any]):
    ours, cached = both(**options)
    assert [one.sample for one in ours] == [one.sample for one in cached]
    assert [one.label for one in ours] == [one.label for one in cached]
    for one, other in zip(ours, cached, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)  # features are of float16
        assert len(one.top) == options.get("top", 1)
        assert one.probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("views", ["center,hflip,train:2", "train:2"])
def test_random_views_are_to_train_on(project: Path, tmp_path: Path, views: str):
    caches = ltfix.extract("photos", out=tmp_path / "drawn", **{**BODY, "views": views})
    head = ltfix.fit(caches["train"], "ce", epochs=1)
    ours = ltfix.predict(head, "photos/test", cache=caches["train"], device="cpu")
    for one, other in zip(ours, ltfix.predict(head, caches["test"]), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)


def test_it_is_the_accuracy_of_evaluate(project: Path):
    cache = ltfix.open_cache("features/test")
    found = [one.label for one in ltfix.predict("head.safetensors", cache)]
    right = np.mean([name == cache.classes[label] for name, label in zip(found, cache.labels, strict=True)])
    assert right == ltfix.evaluate("head.safetensors", cache).heads[0]["all"]


def test_features_of_classes_that_the_head_does_not_know_are_predicted(project: Path):
    cache = ltfix.open_cache("features/test")
    labels = cache.labels.copy()
    labels[-1] = cache.n_classes
    grown = ltfix.open_cache((np.asarray(cache.features, np.float32), labels))
    found = [one.label for one in ltfix.predict("head.safetensors", grown)]
    assert found == [one.label for one in ltfix.predict("head.safetensors", cache)]


def test_an_export_says_the_same(project: Path):
    ltfix.export("head.safetensors", "head.pt2", to="torch-export", cache="features/train", overwrite=True)
    ours = list(ltfix.predict("head.pt2", "photos/test", batch_size=4))
    plain = ltfix.predict("head.safetensors", "photos/test", cache="features/train", batch_size=4)
    assert [one.sample for one in ours] == [one.sample for one in plain]
    with pytest.raises(UsageError, match="takes pictures, not features"):
        ltfix.predict("head.pt2", "features/test")


def test_an_exported_head_sees_every_view_alone(project: Path, tmp_path: Path):
    place = tmp_path / "alone.pt2"
    ltfix.export("head.safetensors", place, to="torch-export", features=True, cache="features/train")
    for one, other in zip(
        ltfix.predict(place, "features/test"), ltfix.predict("head.safetensors", "features/test"), strict=True
    ):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_equal_logits_and_abstention(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "mine")
    np.savez(tmp_path / "x.npz", features=np.array([[0, 1, 1], [9, 0, 0]], np.float32), labels=[0, 0])
    first, second = ltfix.predict(head, tmp_path / "x.npz", abstain=0.6, top=9)
    assert (first.label, [name for name, _ in first.top]) == (None, ["1", "2", "0"])
    assert (second.label, second.probability) == ("0", pytest.approx(0.99975, abs=1e-5))
    head.save(tmp_path / "head.safetensors")
    argv = [
        "predict",
        str(tmp_path / "head"),
        "--data",
        str(tmp_path / "x.npz"),
        "--abstain",
        "0.6",
        "--top",
        "2",
    ]
    assert cli.run([*argv, "--format", "csv"]) == 0
    unsure, sure = rows_of(capsys.readouterr().out)
    assert [row["label"] for row in (unsure, sure)] == ["", "0"]
    assert (unsure["label_1"], unsure["label_2"], sure["label_1"]) == ("1", "2", "0")
    assert cli.run(argv) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["label", "(1)", "0"]
    x = np.load(tmp_path / "x.npz")["features"]
    for given in (x, x.tolist(), (x, ["new", "names"])):
        assert [one.label for one in ltfix.predict(head, given)] == ["1", "0"]


def test_unreadable_pictures(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "torn.png").write_bytes(b"no")
    make_image(0).save(tmp_path / "fine.png")
    asked = ["predict", "head.safetensors", "--data", str(tmp_path), "--format", "csv"]
    assert cli.run(asked) == 3
    err = capsys.readouterr().err
    assert err.startswith("ltfix: error: not an image file")
    remedies = (
        "--on-error skip leaves it out, --on-error keep keeps its row; no picture was answered before\n"
    )
    assert " are read; replace it; " in err and err.endswith(remedies)
    assert cli.run([*asked, "--batch-size", "1"]) == 3
    assert capsys.readouterr().err.endswith("; 1 picture was answered before\n")
    assert cli.run([*asked, "--on-error", "skip"]) == 0
    out, err = capsys.readouterr()
    assert [row["sample"] for row in rows_of(out)] == ["fine.png"]
    assert "left out: not an image file" in err
    (tmp_path / "fine.png").unlink()
    assert cli.run([*asked, "--on-error", "skip"]) == 3
    assert "none of the pictures can be read" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["1", "2", "9"])
def test_unreadable_pictures_keep_their_rows(project: Path, tmp_path: Path, capsys, size: str):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"no")
    make_image(0).save(tmp_path / "b.png")
    out, names = {form: tmp_path / f"p.{form}" for form in ("csv", "json", "parquet")}, ["a", "b", "c"]
    asked = ["predict", "head.safetensors", "--data", str(tmp_path), "--on-error", "keep", "--top", "2"]
    asked += ["--batch-size", size]
    for form in out.values():
        assert (
            cli.run([*asked, "--output", str(form), "--probs", str(tmp_path / "p.npz"), "--overwrite"]) == 0
        )
        assert "2 of 3 pictures cannot be read and have no label" in capsys.readouterr().err
    rows, lines = rows_of(out["csv"].read_text()), json.loads(out["json"].read_text())["predictions"]
    table = parquet.read_table(out["parquet"]).to_pylist()
    for found in (rows, lines, table):
        assert [row["sample"] for row in found] == [f"{name}.png" for name in names]
        assert [bool(row["label"]) for row in found] == [False, True, False]
        assert [(row.get("error") or "").startswith("not an image file") for row in found] == [
            True,
            False,
            True,
        ]
    assert (lines[0]["probability"], table[0]["top"], rows[2]["label_2"]) == (None, None, "")
    with np.load(tmp_path / "p.npz") as whole:
        assert np.isnan(whole["probabilities"]).all(1).tolist() == [True, False, True]
    assert cli.run(asked) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "a.png: not an image file" in shown[1] and shown[1].split()[:2] == ["–", "–"]
    (tmp_path / "b.png").unlink()  # none is left
    assert [one.error is None for one in ltfix.predict("head.safetensors", tmp_path, cache="features/train",
        device="cpu", on_error="keep")] == [False, False]  # fmt: skip


def test_a_line_a_picture_while_the_next_is_not_known(project: Path):
    """Each path is answered before standard input goes on."""
    command = [
        sys.executable,
        "-m",
        "ltfix",
        "predict",
        "head.safetensors",
        "--data",
        "-",
        "--format",
        "jsonl",
    ]
    options = ["--batch-size", "1", "--workers", "0", "--device", "cpu", "--quiet"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, *options], env=os.environ, **pipes) as process:
        for name in ("photos/test/bee/00.png", "photos/test/ant/01.png"):
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["sample"] == name
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


class MeanColour:
    """A classifier of three classes: which colour is strongest."""

    preprocess = Preprocess(8, 1.0, (0.5,) * 3, (0.5,) * 3, "nearest")
    views = parse_views("center")

    def over(self, batches: Iterable[DecodedBatch], size: int) -> Answers:
        for batch in batches:
            yield batch, None if batch.pixels is None else batch.pixels.mean((1, 2, 3)).astype(np.float32)


def peak(path: Path, repeats: int) -> int:
    """Traced bytes at most, of so many times the same picture."""
    request = PredictRequest(batch_size=16, workers=2)
    items = ((f"{path}", lambda: make_image(0, (8, 8))) for _ in range(repeats))
    tracemalloc.start()
    seen = sum(len(names) for names, _, _ in pictures.answer(MeanColour(), items, request, SILENT))
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == repeats
    return found


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path):
    peak(tmp_path, 100)
    assert peak(tmp_path, 2000) < 1.5 * peak(tmp_path, 200)


class TestFormats:
    ASKED = ("predict", "head.safetensors", "--data", "photos/test", "--top", "2", "--batch-size", "4")

    def run(self, *argv: str) -> None:
        assert cli.run([*self.ASKED, *argv]) == 0

    def test_all_say_the_same(self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        parquet = pytest.importorskip("pyarrow.parquet")
        for form in ("csv", "jsonl", "json", "parquet"):
            self.run("--format", form, "--output", str(tmp_path / form))
        self.run("--format", "csv")
        assert capsys.readouterr().out == (tmp_path / "csv").read_text()
        rows = rows_of((tmp_path / "csv").read_text())
        assert list(rows[0]) == ["sample", "label", "probability", "label_2", "probability_2"]
        whole = json.loads((tmp_path / "json").read_text())
        assert (whole["format"], whole["classes"]) == ("ltfix-predictions/1", ["Zebra", "ant", "bee"])
        lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
        assert lines == whole["predictions"] == parquet.read_table(tmp_path / "parquet").to_pylist()
        for row, line in zip(rows, lines, strict=True):
            assert (row["sample"], row["label"]) == (line["sample"], line["label"])
            assert float(row["probability_2"]) == line["top"][1]["probability"]

    def test_the_table(self, project: Path, capsys: pytest.CaptureFixture[str]):
        self.run()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["%", "label", "%", "label", "sample"]
        assert len(lines) == 7
        assert len({line.index("/") - len(line.split()[-1].partition("/")[0]) for line in lines[1:]}) == 1

    @pytest.mark.parametrize("name", ["p.npz", "p.safetensors"])
    def test_all_probabilities(self, project: Path, tmp_path: Path, name: str):
        self.run("--format", "csv", "--output", str(tmp_path / "csv"), "--probs", str(tmp_path / name))
        if name.endswith("npz"):
            found = np.load(tmp_path / name)
            p, samples, classes = found["probabilities"], found["samples"].tolist(), found["classes"].tolist()
        else:
            with safe_open(tmp_path / name, framework="np") as opened:
                meta = json.loads(opened.metadata()["ltfix"])
                p, samples, classes = opened.get_tensor("probabilities"), meta["samples"], meta["classes"]
        rows = rows_of((tmp_path / "csv").read_text())
        assert [row["sample"] for row in rows] == samples
        assert [row["label"] for row in rows] == [classes[k] for k in p.argmax(1)]

    @pytest.mark.parametrize(
        ("argv", "code", "fragment"),
        [
            (
                ["--format", "parquet"],
                2,
                "Parquet goes to a file (--format parquet): name it by --output FILE",
            ),
            (["--probs", "p.csv"], 2, "probabilities go to an .npz or a .safetensors file (p.csv)"),
            (["--threads", "5000"], 2, "threads = 5000 is out of range (--threads): it must be 1 to 4096"),
            (["--abstain", "1.5"], 2, "abstain = 1.5 is out of range (--abstain)"),
            (["--cache", "absent"], 3, "no such feature cache (absent)"),
            (["--output", "photos"], 3, "is a folder"),
        ],
    )
    def test_refusals(self, project: Path, capsys, argv: list[str], code: int, fragment: str):
        found, line = refused(capsys, *self.ASKED, *argv)
        assert (found, fragment in line) == (code, True), line


def test_no_body_is_known(project: Path):
    with pytest.raises(UsageError, match="not known of which backbone"):
        ltfix.predict("head.safetensors", "photos")
    with pytest.raises(InputError, match="not those that the features were made with"):
        ltfix.predict("head.safetensors", "photos", cache="features/train", seed=5)


def test_another_cache_tells_nothing_of_a_named_body(project: Path, tmp_path: Path):
    plain = {**BODY, "views": "center", "split": ["train"]}
    other = ltfix.extract("photos", out=tmp_path / "plain", **plain)
    head = dataclasses.replace(ltfix.fit(other, "ce", epochs=1), classes=None)
    asked = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu"}
    alone = list(ltfix.predict(head, "photos/test", **asked))
    beside = list(ltfix.predict(head, "photos/test", cache="features/train", **asked))  # of two views
    assert [one.top for one in alone] == [one.top for one in beside]
    assert {one.label for one in beside} <= {"0", "1", "2"}
    with pytest.raises(InputError, match="not fitted on these features"):
        ltfix.predict(head, "photos/test", cache="features/train")


def test_a_cache_that_was_made_alike_tells_the_body(project: Path, tmp_path: Path):
    """The features that a head was fitted on may be gone."""
    grown = ltfix.import_features(["features/train"], tmp_path / "grown", dtype="float32")
    head = ltfix.fit(grown, "ce", epochs=1)
    own, alike = (
        list(ltfix.predict(head, "photos/test", cache=cache)) for cache in (grown, "features/train")
    )
    assert [one.label for one in own] == [one.label for one in alike]
    asked = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu"}
    gone = list(ltfix.predict(head, "photos/test", **asked))  # its views and pixels are in the head
    assert [one.label for one in gone] == [one.label for one in own]
    for ours, theirs in zip(gone, own, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    with pytest.raises(InputError, match="not those that the features were made with"):
        list(ltfix.predict(head, "photos/test", **asked, seed=3))


def test_another_cache_is_no_fault_of_an_export_of_features(project: Path, tmp_path: Path):
    narrow = ltfix.Head(np.eye(3), np.zeros(3), "mine", tuple("abc"), meta={"cache": "another"})
    written = ltfix.export(
        narrow, tmp_path / "x.pt2", to="torch-export", features=True, cache="features/train"
    )
    assert written.checked_on == "noise"


def test_what_an_export_would_not_use_is_refused(project: Path):
    ltfix.export("head.safetensors", "x.pt2", to="torch-export", cache="features/train", overwrite=True)
    with pytest.raises(UsageError, match=r"its own body and class names \(checkpoint\)"):
        ltfix.predict("x.pt2", "photos", checkpoint="weights.pth")


def test_what_would_do_nothing_is_refused(project: Path):
    with pytest.raises(UsageError, match=r"has no pictures \(split\)"):
        ltfix.predict("head.safetensors", "features/test", split=["test"])
    with pytest.raises(InputError, match="neither a head nor an export"):
        ltfix.predict("features/train", "photos")


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_features_of_another_backbone(project: Path, tmp_path: Path, to: str):
    place = tmp_path / f"x{FORMATS[to]}"
    ltfix.export("head.safetensors", place, to=to, features=True, cache="features/train")
    np.savez(tmp_path / "x.npz", features=np.ones((2, 5), np.float32), labels=[0, 0])
    with pytest.raises(InputError, match="does not take features of 5 dimensions"):
        list(ltfix.predict(place, tmp_path / "x.npz"))


def test_no_paths_on_standard_input(project: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    found, line = refused(capsys, "predict", "head.safetensors", "--data", "-", "--format", "jsonl")
    assert (found, line) == (3, "no pictures (standard input)")


def test_the_ending_of_the_output_names_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    head, rows, out = "head.safetensors", "rows.npz", "p.csv"
    ltfix.Head(np.eye(3), np.zeros(3), "mine").save(head)
    np.savez(rows, features=np.eye(3), labels=[0, 1, 2])
    assert cli.run(["predict", head, "--data", rows, "--output", out]) == 0
    assert [row["label"] for row in rows_of(Path(out).read_text())] == ["0", "1", "2"]
