"""Own methods, own losses and other tools' arrays, as a user types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltfix import cli
from ltfix.heads.head import load_head

Error = Callable[..., tuple[int, str]]
LABELS = np.repeat([0, 1, 2], [40, 12, 4])
NAMES = np.array(["dog", "cat", "owl"])[LABELS]
FILE = """
import ltfix
from torch.nn import functional as F

def balanced(logits, labels, counts):
    return F.cross_entropy(logits + counts.log(), labels)

METHOD = ltfix.Method("mine", "balanced softmax", "our lab", loss=balanced, defaults={"epochs": 3})
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    features = np.eye(3, 8)[LABELS] + np.random.default_rng(0).normal(size=(56, 8)) / 4
    np.savez("usual.npz", X=features, y=NAMES)
    np.savez("odd.npz", feats=features, fine=NAMES)
    few = LABELS != 1
    np.savez("test.npz", feats=features[few], fine=NAMES[few])
    Path("my.py").write_text(FILE)
    return tmp_path


def test_a_method_and_a_loss_of_a_file(capsys):
    assert cli.run(["fit", "usual.npz", "--method", "my.py:METHOD"]) == 0
    assert capsys.readouterr().err.count("differentiated by autograd") == 1
    assert cli.run(["fit", "usual.npz", "--method", "ce", "--loss", "my.py:balanced", "--epochs", "3"]) == 0
    mine, same = load_head("heads/mine.safetensors"), load_head("heads/ce+balanced-epochs3.safetensors")
    assert np.array_equal(mine.weight, same.weight)
    assert mine.classes == ("cat", "dog", "owl")
    assert cli.run(["methods", "my.py:METHOD"]) == 0
    assert "loss: balanced (by autograd)" in capsys.readouterr().out


def test_what_a_file_lacks(error: Error):
    assert error("fit", "usual.npz", "--method", "my.py:METHD") == (
        2,
        "my.py has no 'METHD' (--method): did you mean METHOD?",
    )
    assert error("fit", "usual.npz", "--loss", "no.py:loss") == (
        3,
        "no such Python file: 'no.py' (--loss): did you mean my.py?",
    )


def test_arrays_under_other_names(error: Error, capsys):
    keys = ["--features-key", "feats", "--labels-key", "fine"]
    assert error("fit", "odd.npz")[0] == 3
    assert cli.run(["fit", "odd.npz", "--method", "ncm", *keys]) == 0
    capsys.readouterr()
    assert cli.run(["evaluate", "odd.npz", "heads/ncm.safetensors", "--cache", "test.npz", *keys]) == 0
    out = capsys.readouterr().out
    assert "test.npz: 44 samples, 3 classes" in out
    assert "No row of stage 1: odd.npz has no classifier; `ltfix import`" in out
    compared = ["compare", "--train", "odd.npz", "--test", "test.npz", "--methods", "ncm", *keys]
    assert cli.run([*compared, "--seeds", "1", "--format", "csv"]) == 0
    assert "ncm" in capsys.readouterr().out
    assert cli.run(["inspect", "odd.npz", *keys]) == 0
    assert capsys.readouterr().out.startswith("cache  odd.npz")
    assert cli.run(["calibrate", "heads/ncm.safetensors", "--val", "odd.npz", *keys]) == 0


def test_nothing_is_said_of_stage_1_where_it_is_a_row(capsys):
    features = np.eye(3, 8)[LABELS].astype(np.float32)
    stage1 = {"head.weight": np.eye(3, 8, dtype=np.float32), "head.bias": np.zeros(3, np.float32)}
    np.savez("whole.npz", features=features, labels=LABELS, **stage1)
    assert cli.run(["evaluate", "whole.npz", "--cache", "whole.npz"]) == 0
    assert "No row of stage 1" not in capsys.readouterr().out
