from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ltfix.cli import run
from ltfix.evaluation.describe import describe_tensors
from ltfix.features.layout import CachePlan
from ltfix.features.store import CacheWriter
from ltfix.files import sha256_file
from ltfix.heads.head import Head

NAMES = ("apple", "bear", "cup")
COUNTS = np.array([12, 4, 2])


def begun(folder: Path) -> CacheWriter:
    """A cache with all its shards, and not yet published."""
    labels = np.repeat(np.arange(3), COUNTS)
    plan = CachePlan(
        samples=[f"{i}.jpg" for i in range(18)],
        labels=labels,
        classes=NAMES,
        dim=4,
        views=2,
        dtype="float16",
        backbone={"name": "resnet18", "weights_sha256": "0" * 64},
        preprocess={"image_size": 224, "mean": [0.5, 0.5, 0.5]},
        source={"kind": "folder", "root": "photos"},
        decides={},
        run={},
    )
    writer = CacheWriter(folder, plan)
    for shard in writer.pending():
        writer.write_shard(shard, np.ones((shard.stop - shard.start, 2, 4), np.float16))
    return writer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    head = Head(np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32), "stage-1", NAMES, COUNTS)
    begun(tmp_path / "features" / "train").publish(head)
    (tmp_path / "heads").mkdir()
    Head(
        np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32), "samn", NAMES, COUNTS, meta={"seed": 0}
    ).save(tmp_path / "heads" / "samn-freq.safetensors")
    (tmp_path / "runs" / "ce").mkdir(parents=True)
    run_json = {"format": "ltfix-run/1", "finished": True, "model": "cifar_resnet32", "recipe": "ce"}
    (tmp_path / "runs" / "ce" / "run.json").write_text(
        json.dumps({**run_json, "classes": NAMES, "counts": COUNTS.tolist(), "dim": 4})
    )
    monkeypatch.chdir(tmp_path)
    for name in [v for v in os.environ if v.startswith("LTFIX_")]:
        monkeypatch.delenv(name)
    return tmp_path


def finished(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[str], str]:
    code = run(["inspect", *argv])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_cache_with_its_bars(project: Path, capsys: pytest.CaptureFixture[str]):
    code, lines, err = finished(capsys, "features/train")
    assert (code, err) == (0, "")
    assert lines[0] == "cache  features/train"
    facts = dict(line.strip().split(maxsplit=1) for line in lines[1 : lines.index("")] if line[2] != " ")
    assert facts["samples"] == "18, 2 views"
    assert facts["features"] == "4 dimensions, float16"
    assert facts["classes"] == "3 (apple … cup)"
    assert facts["shots"] == "0 Many (n > 100), 0 Medium, 3 Few (n < 20), by training counts"
    assert facts["source"] == "kind folder, root photos"
    assert lines[-4] == "samples per class, by count, 12 to 2, imbalance factor 6.0"
    assert [line.split()[:2] for line in lines[-3:]] == [["apple", "12"], ["bear", "4"], ["cup", "2"]]
    assert lines[-3].endswith("█" * 71)
    assert max(map(len, lines)) <= 80


def test_verify_and_json(project: Path, capsys: pytest.CaptureFixture[str]):
    code, lines, _ = finished(capsys, "features/train", "--verify", "--format", "json")
    found = json.loads("\n".join(lines))
    assert (code, found["format"], found["kind"]) == (0, "ltfix-inspect/1", "cache")
    assert found["verified"] == {"hashes": 1, "finite": True}
    assert any("1 hashes equal" in line for line in finished(capsys, "features/train", "--verify")[1])


@pytest.mark.parametrize("form", ["table", "json"])
def test_verify_refuses_what_is_not_finished_and_whole(project: Path, capsys, form: str):
    verify = ["--verify", "--format", form]
    save_file({"weight": np.ones(3, np.float32)}, "runs/ce/backbone.safetensors")
    np.savez("other.npz", a=COUNTS)  # of anybody
    code, _, err = finished(capsys, *verify)
    assert (code, err) == (0, "")

    def refused(message: str, *path: str) -> None:
        code, lines, err = finished(capsys, *path, *verify)
        assert (code, lines) == (3, [])
        assert err.startswith(f"ltfix: error: {message}"), err
        assert len(err.splitlines()) == 1

    begun(project / "features" / "val")
    assert finished(capsys, "features/val", "--format", form)[0] == 0
    refused("an unfinished feature cache (features/val)", "features/val")
    refused("an unfinished feature cache (features/val)")
    shutil.rmtree("features/val")
    (project / "features" / "test.npz").write_bytes(b"PK torn")
    assert finished(capsys, "--format", form)[0] == 0
    refused("", "features/test.npz")
    refused("")
    Path("runs/ce/backbone.safetensors").unlink()
    assert finished(capsys, "runs/ce", "--format", form)[0] == 0
    refused("no such file or folder (runs/ce/backbone.safetensors)", "runs/ce")
    Path("runs/ce/run.json").write_text('{"format": "ltfix-run/1", "finished": false}')
    assert finished(capsys, "runs/ce")[0] == 0
    refused("the training run is unfinished (runs/ce)", "runs/ce")


def test_verify_demands_the_weights_of_an_export(project: Path, capsys: pytest.CaptureFixture[str]):
    record = {"format": "ltfix-export/1", "method": "samn", "created_by": "ltfix 0.1.0"}
    Path("exports/samn").mkdir(parents=True)
    Path("exports/samn/config.json").write_text(json.dumps({"label_names": NAMES, "ltfix": record}))
    assert finished(capsys, "exports/samn")[0] == 0
    code, lines, err = finished(capsys, "exports/samn", "--verify")
    assert (code, lines) == (3, [])
    assert "no such file or folder (exports/samn/model.safetensors)" in err
    save_file({"weight": np.ones(3, np.float32)}, "exports/samn/model.safetensors")
    assert finished(capsys, "exports/samn", "--verify")[0] == 0


def test_a_single_file_has_no_hashes_to_be_compared(project: Path, capsys: pytest.CaptureFixture[str]):
    np.savez("x.npz", features=np.ones((3, 4), np.float32), labels=[0, 1, 2])
    code, lines, _ = finished(capsys, "x.npz", "--verify")
    told = "verified  all features finite, a single file records no hashes (sha256sum -c)"
    assert (code, [line.strip() for line in lines if "verified" in line]) == (0, [told])


def test_a_head_and_a_run(project: Path, capsys: pytest.CaptureFixture[str]):
    _, lines, _ = finished(capsys, "heads/samn-freq.safetensors", "--order", "index")
    assert lines[0] == "head  heads/samn-freq.safetensors"
    assert ["method", "samn"] in [line.split() for line in lines]
    assert ["seed", "0"] in [line.split() for line in lines]
    code, lines, _ = finished(capsys, "runs/ce")
    assert (code, lines[0]) == (0, "run  runs/ce")
    assert ["finished", "yes"] in [line.split() for line in lines]


def test_all_there_is(project: Path, capsys: pytest.CaptureFixture[str]):
    _, lines, _ = finished(capsys)
    assert [line.split()[:2] for line in lines[2:]] == [
        ["cache", "features/train"],
        ["head", "heads/samn-freq.safetensors"],
        ["run", "runs/ce"],
    ]
    _, lines, _ = finished(capsys, "--format", "json")
    assert [item["kind"] for item in json.loads("\n".join(lines))["items"]] == ["cache", "head", "run"]


def test_lone_files_are_there_too_and_an_even_cache_needs_no_bars(project: Path, capsys):
    labels = np.repeat(np.arange(30), 5)
    np.savez("even.npz", features=np.ones((150, 4), np.float32), labels=labels)
    np.savez("other.npz", a=labels)
    _, lines, _ = finished(capsys)
    assert [line.split()[1] for line in lines[-2:]] == ["runs/ce", "even.npz"]
    _, lines, _ = finished(capsys, "even.npz")
    assert lines[-1] == "samples per class: 5 in each"
    assert not any("Many" in line for line in lines)
    _, lines, _ = finished(capsys, "even.npz", "--all")
    assert len(lines) > 30


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    code, _, err = finished(capsys)
    assert code == 3
    assert "nothing to inspect" in err
    code, _, err = finished(capsys, "absent")
    assert code == 3
    assert err == "ltfix: error: no such file or folder (absent): `ltfix inspect` alone lists what is there\n"


def test_a_torch_checkpoint(project: Path, capsys: pytest.CaptureFixture[str]):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {"fc.weight": torch.zeros(2, 3)}}, "model.pth")
    code, lines, _ = finished(capsys, "model.pth")
    assert (code, lines[0]) == (0, "checkpoint  model.pth")
    assert describe_tensors(Path("m"), {"a": ("F32", [2, 3])}).holds == "6 in 1 tensors"
    assert "  fc.weight  float32 [2, 3]" in lines
    torch.save({"code": Path}, "hostile.pth")
    code, _, err = finished(capsys, "hostile.pth")
    assert code == 3
    assert "hostile.pth" in err


def test_ascii_where_the_terminal_has_no_blocks(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ltfix.cli.inspect._ascii_only", lambda: True)
    _, lines, _ = finished(capsys, "features/train")
    assert lines[-3].endswith("#" * 71)


def refused(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def test_json_has_no_number_that_json_has_not(project: Path, capsys: pytest.CaptureFixture[str]):
    """A head of ours is written with null, and one of others that says NaN is refused."""
    weight, bias = np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32)
    meta = {"score": float("nan"), "selection": {"scores": [float("inf"), 0.5]}}
    Head(weight, bias, "ce", meta=meta).save("odd.safetensors")
    code, lines, _ = finished(capsys, "odd.safetensors", "--format", "json")
    found = json.loads("\n".join(lines), parse_constant=refused)
    assert (code, found["meta"]) == (0, {"score": None, "selection": {"scores": [None, 0.5]}})
    save_file(
        {"weight": weight, "bias": bias},
        "theirs.safetensors",
        {"ltfix": '{"format": "ltfix-head/1", "x": NaN}'},
    )
    code, lines, err = finished(capsys, "theirs.safetensors", "--format", "json")
    assert (code, lines) == (3, [])
    assert err == "ltfix: error: not JSON: NaN is no number (theirs.safetensors)\n"
    np.savez("far.npz", features=np.full((3, 4), 3e38, np.float32), labels=[0, 1, 2])
    code, lines, _ = finished(capsys, "far.npz", "--format", "json")
    assert code == 0
    json.loads("\n".join(lines), parse_constant=refused)


@pytest.mark.parametrize(("to", "ending"), [("onnx", ".onnx"), ("torch-export", ".pt2")])
def test_an_export_of_a_head(project: Path, capsys: pytest.CaptureFixture[str], to: str, ending: str):
    import ltfix

    head = ltfix.load_head("heads/samn-freq.safetensors")
    head = dataclasses.replace(head, temperature=np.array([1.5, 2.0, 2.5]))
    head.save("heads/warm.safetensors")
    ltfix.export("heads/warm.safetensors", f"exports/warm{ending}", to=to, features=True)
    capsys.readouterr()
    code, lines, err = finished(capsys, f"exports/warm{ending}")
    assert (code, err, lines[0]) == (0, "", f"export  exports/warm{ending}")
    facts = dict(line.split(maxsplit=1) for line in lines[1:])
    assert (facts["format"], facts["method"], facts["input"]) == (to, "samn", "features")
    assert (facts["classes"], facts["temperature"]) == ("3 (apple … cup)", "1.5 to 2.5")
    assert facts["head"] == sha256_file(Path("heads/warm.safetensors"))
    assert any("samn for" in line for line in finished(capsys)[1])


def test_an_overview_where_a_head_is_torn(project: Path, capsys):
    Path("heads/torn.safetensors").write_bytes(b'{"format": "ltfix-report/1"}')
    code, lines, err = finished(capsys)
    assert (code, err) == (0, "")
    torn = next(line for line in lines if line.startswith("unread "))
    assert torn.split()[1:4] == ["heads/torn.safetensors", "torn", "or"]
    assert lines[-1].split()[:2] == ["run", "runs/ce"]
    Path("features/cut.safetensors").write_bytes(b"")
    lines = finished(capsys)[1]
    assert [line.split()[1] for line in lines if line.startswith("unread ")] == [
        "heads/torn.safetensors",
        "features/cut.safetensors",
    ]
    for argv in (["--verify"], ["heads/torn.safetensors"]):
        code, _, err = finished(capsys, *argv)
        assert (code, err.endswith(": it is JSON, as reports are\n")) == (3, True)


def test_an_overview_where_what_reads_an_export_is_not_installed(project: Path, monkeypatch, capsys):
    Path("exports").mkdir()
    Path("exports/x.onnx").write_bytes(b"anybody's")
    assert finished(capsys)[1][-1].split()[:2] == ["run", "runs/ce"]  # no export of ours
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, lines, err = finished(capsys)
    assert (code, err, lines[-1].split()[:2]) == (0, "", ["unread", "exports/x.onnx"])
    assert 'onnx is not installed: pip install "ltfix[onnx]"' in lines[-1]
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["cache", "features/train"],
        ["head", "heads/samn-freq.safetensors"],
        ["run", "runs/ce"],
    ]
    assert finished(capsys, "exports/x.onnx")[0] == 4


RECORD = {"method": "m", "created_by": "x", "format": "ltfix-export/1"}


def test_the_record_of_a_folder(project: Path, capsys: pytest.CaptureFixture[str]):
    for place in (Path("exports/h"), Path("features/train"), Path("runs/ce")):
        place.mkdir(exist_ok=True, parents=True)
        (place / "config.json").write_text('{"label_names": [], "ltfix": ' + json.dumps(RECORD) + "}")
    code, _, err = finished(capsys, "exports/h")
    assert (code, err.count("classes"), err.count("\n")) == (3, 1, 1)
    code, lines, _ = finished(capsys)  # which are what their own records say, whatever lies there
    assert (code, [line.split()[0] for line in lines[2:]]) == (0, ["cache", "head", "run"])
    for pixels, said in (({"crop": 1.0}, "pictures"), ({"image_size": 64}, "64 × 64 pixels")):
        found = {"label_names": ["a"], "ltfix": {**RECORD, "preprocess": pixels}}
        Path("exports/h/config.json").write_text(json.dumps(found))
        assert ["input", *said.split()] in [line.split() for line in finished(capsys, "exports/h")[1]]


def test_a_torn_record_is_said(project: Path, capsys: pytest.CaptureFixture[str]):
    onnx = pytest.importorskip("onnx")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    onnx.helper.set_model_props(model, {"ltfix": '{"method": '})
    onnx.save(model, "torn.onnx")
    code, _, err = finished(capsys, "torn.onnx")
    assert (code, "not JSON" in err) == (3, True)


def test_what_is_no_export_of_ours_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]):
    Path("x").mkdir()
    Path("x/config.json").write_text("{}")
    for name in ("a.onnx", "a.pt2"):
        Path(name).write_bytes(b"torn")
    for name in ("x", "a.onnx", "a.pt2"):
        code, lines, err = finished(capsys, name)
        assert (code, lines, len(err.splitlines())) == (3, [], 1)
