"""Own methods, own losses and other tools' arrays, as a user types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ltfix
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


def test_tuning_names_what_it_chose_and_what_it_did_not_search(capsys):
    loss = "def own(z, y, gamma=1.0, power=0.3):\n    return gamma * F.cross_entropy(z * (1 + power), y)\n"
    made = "METHOD = ltfix.Method('o', '', '', loss=own, defaults={'epochs': 2}, grid={'gamma': (1, 2)})\n"
    Path("own.py").write_text(f"import ltfix\nimport torch.nn.functional as F\n{loss}{made}")
    rows = "ce:loss=own.py:own:epochs=2,own.py:METHOD"
    pair = ["--train", "usual.npz", "--test", "usual.npz", "--seeds", "1"]
    assert cli.run(["compare", *pair, "--methods", rows, "--tune"]) == 0
    told = capsys.readouterr()
    assert "by seed 0: feature scale, gamma, lr, normalize; on " in " ".join(told.out.split())
    assert "ltfix: ce: gamma, power not searched, for want of a grid: that of a Method says" in told.err
    assert cli.run(["fit", "usual.npz", "--method", "own.py:METHOD", "--tune"]) == 0
    assert "o: power not searched, for want of a grid: that of a Method says what --tune" in (
        capsys.readouterr().err
    )
    assert cli.run(["fit", "usual.npz", "--method", "auto", "--methods", "own.py:METHOD,ncm"]) == 0
    assert "o: power not searched" in capsys.readouterr().err
    assert cli.run(["fit", "usual.npz", "--method", "own.py:METHOD", "--overwrite"]) == 0
    assert "not searched" not in capsys.readouterr().err


def test_what_a_file_lacks(error: Error):
    assert error("fit", "usual.npz", "--method", "my.py:METHD") == (
        2,
        "my.py has no 'METHD' (--method): did you mean METHOD?",
    )
    assert error("fit", "usual.npz", "--loss", "no.py:loss") == (
        3,
        "no such Python file: 'no.py' (--loss): did you mean my.py?",
    )
    Path("empty").mkdir()
    assert error("fit", "usual.npz", "--loss", "empty/my.py:own") == (
        3,
        f"no such Python file: 'empty/my.py' (--loss): no Python file is in {Path.cwd() / 'empty'}",
    )


def test_arrays_under_other_names(error: Error, capsys):
    keys = ["--features-key", "feats", "--labels-key", "fine"]
    assert error("fit", "odd.npz")[0] == 3
    assert "labels [n]; --labels-key … names what" in error("fit", "odd.npz", *keys[:2])[1]
    assert cli.run(["fit", "odd.npz", "--method", "ncm", *keys]) == 0
    capsys.readouterr()
    assert cli.run(["evaluate", "odd.npz", "heads/ncm.safetensors", "--cache", "test.npz", *keys]) == 0
    out = capsys.readouterr().out
    assert "test.npz: 44 samples, 3 classes" in out
    assert "No row of stage 1: odd.npz has no classifier; `ltfix import`" in out
    compared = ["compare", "--train", "odd.npz", "--test", "test.npz", "--methods", "ncm", *keys]
    assert cli.run([*compared, "--seeds", "1", "--format", "csv"]) == 0
    assert "ncm" in capsys.readouterr().out
    assert cli.run([*compared, "--seeds", "1", "--val", "test.npz"]) == 2
    assert "the test split" not in (told := capsys.readouterr().err) and "nothing may be chosen" in told
    assert cli.run(["inspect", "odd.npz", *keys]) == 0
    assert capsys.readouterr().out.startswith("cache  odd.npz")
    code, line = error("calibrate", "heads/ncm.safetensors", "--val", "odd.npz", *keys)
    assert (code, "the head was fitted on these samples" in line) == (3, True)


def test_nothing_is_said_of_stage_1_where_it_is_a_row(capsys):
    features = np.eye(3, 8)[LABELS].astype(np.float32)
    stage1 = {"head.weight": np.eye(3, 8, dtype=np.float32), "head.bias": np.zeros(3, np.float32)}
    np.savez("whole.npz", features=features, labels=LABELS, **stage1)
    assert cli.run(["evaluate", "whole.npz", "--cache", "whole.npz"]) == 0
    assert "No row of stage 1" not in capsys.readouterr().out
    head = ltfix.fit("whole.npz", "ncm")
    assert "No row of stage 1" in str(ltfix.evaluate(head, (features, LABELS)))
    assert "No row of stage 1" not in str(ltfix.evaluate(head.named("stage-1"), (features, LABELS)))


@pytest.mark.parametrize("command", [["fit", "usual.npz"], ["compare"], ["sweep"]])
def test_seeds_are_a_number_of_them(error: Error, command: list[str]):
    code, line = error(*command, "--seeds", "1,2,3")
    assert code == 2
    assert line.endswith(": say how many; --seed N is the first of them")


SCALED = """
def scaled(logits, labels, scale):
    return (scale * logits).logsumexp(1).mean()
"""


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            "fit usual.npz --loss my.py:METHOD",
            "my.py:METHOD is a Method, not a loss (--loss): it is named where a method is: "
            "--method my.py:METHOD, in a list of several my.py:METHOD",
        ),
        ("fit usual.npz --loss my.py", "my.py may hold several (--loss): say which: my.py:NAME"),
        ("fit usual.npz --method my.py", "my.py may hold several (--method): say which: my.py:NAME"),
        (
            "fit usual.npz --method los:delta=0.9:lr=0.1",
            "'los:delta=0.9:lr=0.1' has values, as a row of `ltfix compare` has (--method): --method los "
            "--set delta=0.9 --lr 0.1",
        ),
        (
            "fit usual.npz --method ce --loss scaled.py:scaled",
            "the loss scaled has a parameter without default: scale (--loss): write `scale=1.0` there: with "
            "a number as default it is a value, to be given and swept; the training counts are given to a "
            "parameter that is called `counts`",
        ),
        (
            "compare --train usual.npz --test usual.npz --methods los:init=probe",
            "init is no value of a method, but of the whole run (--methods): give it to each of two runs; "
            "`ltfix evaluate HEAD HEAD --cache TEST` has their heads in one table",
        ),
        (
            "compare --train usual.npz --test usual.npz --methods samn:threads=2",
            "threads is no value of a method, but of the whole run (--methods): give it to each of two runs; "
            "`ltfix evaluate HEAD HEAD --cache TEST` has their heads in one table",
        ),
        (
            "sweep --train usual.npz --method los --over feature-scale=1,2",
            "feature_scale is no value of a method, but of the whole run (--over): give it to each of "
            "two runs; `ltfix report` draws both, kept as JSON",
        ),
        (
            "sweep --train usual.npz --method los --over delta=0.5-0.9",
            "a sweep needs two different points or more (--over delta=0.5-0.9): a list has commas, "
            "delta=0.5,0.9, a range two dots, delta=1e-3..1e-1",
        ),
        (
            "sweep --train usual.npz --method ce --over lr=1e-5...1e-1",
            "not a range: '1e-5...1e-1' (--over lr=1e-5...1e-1): LOW..HIGH or LOW..HIGH:N, as 1e-5..0.1:9: "
            "two dots, a digit behind them",
        ),
        (
            "compare --train usual.npz --test usual.npz --methods ce --set loss=los",
            "no method here takes loss (--set): a row has its own: ce:loss=NAME, in Python "
            "`Method(…, loss=NAME)`",
        ),
        (
            "compare --train usual.npz --test usual.npz --methods ce, los",
            "got unexpected extra argument(s) (los) (ltfix compare): a list has no blanks (A,B); see "
            "`ltfix compare --help`",
        ),
        (
            "fit usual.npz --method ce --loss number.py:NUMBER",
            "number.py:NUMBER is of type int (--loss): a loss is a function of logits and labels",
        ),
        (
            "compare --train usual.npz --test usual.npz --methods samn:lr=x",
            "lr must be a number, found 'x' (samn:lr=x)",
        ),
        (
            "sweep --train usual.npz --method los --over delta=0.5,2",
            "delta = 2 is out of range (--over delta): it must be 0 to 1",
        ),
        (
            "methods auto",
            "auto is no method but a choice among them (ltfix methods NAME): "
            "`ltfix fit TRAIN --method auto` makes it",
        ),
        (
            "methods wrong.py:METHOD",
            "method o has no value 'epocs' (wrong.py:METHOD, defaults): did you mean epochs?",
        ),
        ("methods SAMN", "unknown method 'SAMN' (ltfix methods NAME): did you mean samn?"),
    ],
)
def test_what_is_written_otherwise_is_told_how(error: Error, argv: str, told: str):
    Path("scaled.py").write_text(SCALED)
    Path("number.py").write_text("NUMBER = 3")
    made = "METHOD = ltfix.Method('o', '', '', defaults={'epocs': 5})"
    Path("wrong.py").write_text(f"import ltfix\n{made}")
    assert error(*argv.split()) == (2, told)


def test_a_value_of_a_loss_of_ones_own_may_have_an_options_name(capsys):
    loss = "def loss(logits, labels, many=1.0):\n    return many * F.cross_entropy(logits, labels)\n"
    Path("mine.py").write_text(f"import torch.nn.functional as F\n{loss}")
    pair = ["--train", "usual.npz", "--test", "usual.npz", "--seeds", "1", "--set", "epochs=2"]
    argv = ["compare", *pair, "--methods", "ce:loss=mine.py:loss", "--set", "many=2"]
    code = cli.run(argv)
    assert "is an option" not in capsys.readouterr().err and code == 0
