"""ltfix.runfile: one reader for all that read ``run.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltfix.backbones.load import load_backbone
from ltfix.errors import InputError, UsageError
from ltfix.evaluation.describe import describe
from ltfix.runfile import FORMAT, read_run
from ltfix.stage1.run_folder import RunFolder


def write(folder: Path, **content: Any) -> Path:
    (folder / "run.json").write_text(json.dumps({"format": FORMAT, **content}))
    return folder


@pytest.mark.parametrize("said", [{"finished": False}, {}])
def test_a_run_that_does_not_say_finished_is_unfinished_to_all(tmp_path: Path, said: dict[str, Any]):
    write(tmp_path, model="cifar_resnet32", **said)
    assert read_run(tmp_path).finished is False
    assert describe(tmp_path).to_dict()["finished"] is False
    with pytest.raises(InputError, match="the training run is unfinished"):
        load_backbone(str(tmp_path))
    assert RunFolder(tmp_path, {}, overwrite=False, resume=False).state is None


def test_a_finished_run_is_finished_to_all(tmp_path: Path):
    write(tmp_path, finished=True)
    assert read_run(tmp_path).finished and describe(tmp_path).to_dict()["finished"]
    with pytest.raises(UsageError, match="a finished run of another request"):
        RunFolder(tmp_path, {"seed": 1}, overwrite=False, resume=False)
    with pytest.raises(InputError, match=r"the run lacks model \(.*run\.json\)"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds no JSON object"),
        ({"finished": True}, "its format is None"),
        ({"format": "ltfix-run/2"}, "newer than this ltfix reads"),
        ({"format": FORMAT, "finished": "yes"}, "its finished: expected true or false, got a text"),
        ({"format": FORMAT, "model": 3}, "its model: expected a text or null, got a whole number"),
        ({"format": FORMAT, "model_args": []}, "its model_args: expected an object or null, got a list"),
        ({"format": FORMAT, "preprocess": "x"}, "its preprocess: expected an object or null, got a text"),
        ({"format": FORMAT, "classes": "ab"}, "its classes: expected a list or null, got a text"),
        ({"format": FORMAT, "classes": [1, 2]}, r"its classes\[0\]: expected a text, got a whole number"),
        (
            {"format": FORMAT, "counts": [True]},
            r"its counts\[0\]: expected a whole number, got true or false",
        ),
    ],
)
def test_wrong_keys_are_one_line_with_file_and_key_for_all(tmp_path: Path, content: Any, message: str):
    (tmp_path / "run.json").write_text(json.dumps(content))
    for read in (
        read_run,
        describe,
        lambda folder: load_backbone(str(folder)),
        lambda folder: RunFolder(folder, {}, overwrite=False, resume=False),
    ):
        with pytest.raises(InputError, match=rf"{message}.*\(.*run\.json\)"):
            read(tmp_path)


def test_no_run_is_told_from_no_folder(tmp_path: Path):
    with pytest.raises(InputError, match=r"not a run folder: it has no run\.json"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / "none")
