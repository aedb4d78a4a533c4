"""The run folder: what it refuses, and what it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head, load_head
from ltfix.stage1.run_folder import RunFolder
from ltfix.stage1.state import TrainingState

DECIDES = {"values": {"lr": 0.1, "epochs": 2}, "seed": 0}
INFO: dict[str, object] = {"model": "m", "model_args": {}, "preprocess": {}, "versions": {}, **DECIDES}
INFO |= {"dim": 3, "provenance": {"seconds": 2.0}}
MEASURED = {"lr": 0.1, "loss": 1.0, "train_accuracy": 0.5, "images_per_second": 10.0, "seconds": 1.0}
ONE, TWO = ({"epoch": epoch, **MEASURED} for epoch in (1, 2))


def folder(path: Path, *, overwrite: bool = False, resume: bool = False, **decides: object) -> RunFolder:
    return RunFolder(path, {**DECIDES, **decides}, overwrite=overwrite, resume=resume)


def state(epoch: int) -> TrainingState:
    return TrainingState(epoch, DECIDES, {"model/w": np.ones(3, np.float32)})


def finish(run: RunFolder) -> None:
    head = Head(np.ones((2, 3), np.float32), np.zeros(2, np.float32), "stage-1")
    heads = {"fc.weight": head.weight, "other.weight": 2 * head.weight}
    run.publish(INFO, {"w": np.ones(3, np.float32)}, head, heads)


def test_an_unfinished_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = folder(tmp_path / "a")
    run.begin(INFO)
    run.commit(ONE, state(1))
    again = folder(tmp_path / "a", resume=True)
    assert again.state is not None and again.state.epoch == 1
    assert again.metrics == [ONE]


def test_metrics_of_an_epoch_without_its_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit(ONE, state(1))
    for rest in ("", json.dumps(TWO) + "\n", json.dumps(TWO)[:9]):  # the last one torn
        (tmp_path / "metrics.jsonl").write_text(json.dumps(ONE) + "\n" + rest)
        assert folder(tmp_path).metrics == [ONE]


def test_an_unfinished_run_of_other_values_is_refused(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit(ONE, state(1))
    with pytest.raises(InputError, match=r"seed was 0, is 1 .*overwrite=True"):
        folder(tmp_path, seed=1)
    assert folder(tmp_path, seed=1, overwrite=True).state is None
    assert not (tmp_path / "checkpoint-last.safetensors").exists()


def test_a_finished_run_is_replaced_on_request_only(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit(ONE, state(1))
    run.commit(TWO, state(2))
    finish(run)
    for resume in (False, True):
        done = folder(tmp_path, resume=resume).done
        assert done is not None
        assert (done.path, done.metrics, done.info["finished"]) == (tmp_path, [ONE, TWO], True)
    with pytest.raises(
        UsageError, match=r"finished run of another request .*seed was 0, is 1 .*overwrite=True"
    ):
        folder(tmp_path, seed=1)
    said = json.loads((tmp_path / "run.json").read_text())
    for change, fault in (
        ({"dim": "3"}, "its dim: expected a whole number"),
        ({"dim": None}, "the run lacks dim"),
        ({"provenance": {}}, "its provenance lacks seconds"),
        ({"provenance": {"seconds": "2"}}, "its provenance.seconds: expected a number"),
    ):
        (tmp_path / "run.json").write_text(json.dumps(said | change))
        with pytest.raises(InputError, match=rf"{fault}.* \(.*run\.json\)"):
            folder(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(said))
    (tmp_path / "backbone.safetensors").rename(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no such file or folder \(.*backbone\.safetensors\)"):
        folder(tmp_path)
    (tmp_path / "gone").unlink()
    assert folder(tmp_path, overwrite=True).metrics == []
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="other files"):
            folder(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_resume_demands_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unfinished run"):
        folder(tmp_path / "none", resume=True)


def test_the_classifier_is_a_head_and_all_heads_ride_along(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    finish(folder(tmp_path))
    head = load_head(tmp_path / "classifier.safetensors")
    assert (head.method, head.weight.shape) == ("stage-1", (2, 3))
    assert load_file(tmp_path / "classifier.safetensors")["other.weight"].sum() == 12
    assert json.loads((tmp_path / "run.json").read_text())["finished"] is True


def test_what_a_writer_killed_at_its_first_rename_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".run.json.123-abcdef01.ltfix-tmp").write_text('{"finished"')
    assert folder(tmp_path).state is None
    assert list(tmp_path.iterdir()) == []


def test_an_overwrite_that_was_killed_half_way_can_be_repeated(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit(ONE, state(1))
    finish(run)
    for name in ("run.json", "metrics.jsonl", "backbone.safetensors", "classifier.safetensors"):
        (tmp_path / name).unlink()
        if (tmp_path / "classifier.safetensors").exists():
            (tmp_path / "checkpoint-last.safetensors").unlink(missing_ok=True)
        kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        if kept:
            assert folder(tmp_path, overwrite=True).state is None
            assert list(tmp_path.iterdir()) == []
        for left, data in kept.items():
            (tmp_path / left).write_bytes(data)


class TestWhatIsNotWhole:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        run = folder(tmp_path)
        run.begin(INFO)
        run.commit(ONE, state(1))
        return tmp_path

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null\n", '{"epoch": 1}\n', json.dumps(TWO), json.dumps(ONE)[:30], "[" * 5000, "\x00",
         json.dumps({**ONE, "val": 3}), json.dumps({**ONE, "loss": "low"}),
         json.dumps({**ONE, "seconds": float("nan")})],
    )  # fmt: skip
    def test_metrics(self, run: Path, text: str) -> None:
        (run / "metrics.jsonl").write_text(text)
        with pytest.raises(InputError, match=r"torn, or not the metrics of 1 epochs \(.*metrics\.jsonl\)"):
            folder(run)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "1", '{"format": "ltfix-run/1", "finished": true, "provenance": 3}', "[" * 10_000, "{}"],
    )  # fmt: skip
    def test_the_description(self, run: Path, text: str) -> None:
        (run / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json"):
            folder(run)

    @pytest.mark.parametrize("epoch", [10**9, 3, 0, -1, 1.0, "1", None, True, [1]])
    def test_epochs_that_are_none(self, run: Path, epoch: object) -> None:
        TrainingState(epoch, DECIDES, state(1).arrays).save(run)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"checkpoint-last\.safetensors.*overwrite=True"):
            folder(run)

    def test_pipes(self, run: Path) -> None:
        for name in ("metrics.jsonl", "run.json", "checkpoint-last.safetensors"):
            kept = (run / name).read_bytes()
            (run / name).unlink()
            os.mkfifo(run / name)
            with pytest.raises(InputError, match="a folder or a device"):
                folder(run)
            (run / name).unlink()
            (run / name).write_bytes(kept)
