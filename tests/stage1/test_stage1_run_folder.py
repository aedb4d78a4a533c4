"""The run folder: what it refuses, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head, load_head
from ltfix.stage1.run_folder import RunFolder
from ltfix.stage1.state import TrainingState

DECIDES = {"values": {"lr": 0.1}, "seed": 0}
INFO = {"model": "m", "model_args": {}, "preprocess": {}, "versions": {}}


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
    run.commit({"epoch": 1}, state(1))
    again = folder(tmp_path / "a", resume=True)
    assert again.state is not None and again.state.epoch == 1
    assert again.metrics == [{"epoch": 1}]


def test_metrics_of_an_epoch_without_its_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit({"epoch": 1}, state(1))
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert folder(tmp_path).metrics == [{"epoch": 1}]


def test_an_unfinished_run_of_other_values_is_refused(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit({"epoch": 1}, state(1))
    with pytest.raises(InputError, match=r"seed was 0, is 1 .*overwrite=True"):
        folder(tmp_path, seed=1)
    assert folder(tmp_path, seed=1, overwrite=True).state is None
    assert not (tmp_path / "checkpoint-last.safetensors").exists()


def test_a_finished_run_is_replaced_on_request_only(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.begin(INFO)
    run.commit({"epoch": 1}, state(1))
    finish(run)
    with pytest.raises(UsageError, match=r"finished run .*overwrite=True"):
        folder(tmp_path)
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
