"""What stood in the way of engineers, researchers, CI jobs and terminals: commands as typed, and their words.

`users.py` runs the commands below one after another in one project; each test looks at what some of them say.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pictures import make_image, write_photos

from ltfix import cli, open_cache

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
TREE = {"train": {"Zebra": 12, "ant": 8, "bee": 5}, "test": {"Zebra": 3, "ant": 3, "bee": 3}}
DOCS = Path(__file__).parents[2] / "docs"
FILES = {
    "ltfix.toml": """
device = "cpu"
threads = 1
[extract]
backbone = "cifar_resnet32"
pretrained = false
data = "photos"
""",
    "weights.toml": """
[extract]
backbone = "cifar_resnet32"
checkpoint = "weights.safetensors"
data = "photos"
""",
    "new.txt": "".join(f"photos/test/{name}/00.png {name}\n" for name in ("bee", "ant")),
    "commas.txt": "".join(
        f"photos/train/{name}/0{i}.png\t{label}\n"
        for i, name, label in ((0, "ant", "ant"), (0, "bee", "bee"), (1, "ant", "ant,bee"))
    ),
    "my.py": """
import ltfix
from torch.nn import functional as F


def margin(logits, labels, counts):
    return F.cross_entropy(logits + counts.log(), labels)


METHOD = ltfix.Method("mine", "a loss of mine", "our lab", loss=margin, defaults={"epochs": 2})
""",
    "arrays.py": """
import numpy as np
import pandas as pd
import torch
from my import METHOD, margin

import ltfix

tables = {}
for name, n in (("train", [200, 40, 10]), ("test", [30, 30, 30])):
    y = np.repeat(["ant", "bee", "cow"], n)
    X = 1.2 * np.eye(3, 8)[np.repeat(range(3), n)] + np.random.default_rng(len(y)).normal(size=(len(y), 8))
    np.savez(f"{name}.npz", X=X, y=y)
    np.savez(f"{name}-odd.npz", feats=X, fine=y)
    tables[name] = X, y
X, y = tables["train"]
heads = [ltfix.fit((kind(X), y), "ce", epochs=2) for kind in (np.asarray, torch.from_numpy, pd.DataFrame)]
print("equal:", [np.array_equal(head.weight, heads[0].weight) for head in heads])
found = ltfix.evaluate(heads[:1], tables["test"]).to_dict()["heads"][-1]["all"]
print("right:", found == (heads[0].predict(tables["test"][0], names=True) == tables["test"][1]).mean())
print("own:", ltfix.fit((X, y), METHOD).method, ltfix.fit((X, y), "ce", loss=margin, epochs=2).method)
print("rows:", len(ltfix.compare((X, y), tables["test"], ["ncm", METHOD], seeds=2).to_dict()["rows"]))
swept = ltfix.sweep((X, y), "los", {"delta": [0.5, 0.9]}, epochs=2, progress=True)
print("points:", len(swept.points))
for wrong in ({"epoks": 1}, {"epochs": "many"}, {"loss": 3}):
    try:
        ltfix.fit((X, y), "ce", **wrong)
    except ltfix.LtfixError as err:
        print(type(err).__name__, err)
""",
}
LINES = {
    "extract": "extract --quiet",
    "fit": "fit --method ce --epochs 2 --out heads/ce.safetensors",
    "probe": "evaluate",
    "flat": "extract --data new --unlabelled --split new",
    "unseen": "extract --data others --unlabelled --split others",
    "what is there": "inspect",
    "fit without labels": "fit features/new",
    "evaluate without labels": "evaluate --cache features/others",
    "predict without labels": "predict heads/ce.safetensors --data features/others --format csv",
    "list": "extract --data list:new.txt --split new --out scored",
    "train": "train-backbone --data photos --model cifar_resnet32 --epochs 1 --batch-size 8 --name tiny",
    "after training": "extract --backbone runs/tiny --data photos --config weights.toml --out of-run",
    "weights typed": "extract --backbone runs/tiny --checkpoint weights.safetensors --out typed",
    "commas": "extract --data list:commas.txt --out commas",
    "commas seen": "tty extract --data list:commas.txt --out commas-seen",
    "compare": "compare --methods ce,los,ncm --seeds 2 --set epochs=2",
    "compared": "inspect",
    "compared heads": "evaluate compare --format json",
    "one of them": "evaluate compare/ncm-s0",
    "per class": "evaluate compare --report per-class --sort gain",
    "by count": "evaluate compare/ncm-s0 --report per-class --sort count",
    "confusion": "evaluate heads/ce.safetensors --report confusion --format json",
    "head": "inspect heads/ce.safetensors",
    "arrays": "python arrays.py",
    "own method": "fit --method my.py:METHOD",
    "own loss": "fit --method samn --loss my.py:margin --epochs 2",
    "npz": "fit train.npz --method ce --epochs 2 --out ce.safetensors",
    "odd npz": "fit train-odd.npz --method ncm --features-key feats --labels-key fine --out odd.safetensors",
    "auto": "fit train.npz --method auto --methods ncm,logit-adjust --out auto.safetensors",
    "auto again": "fit train.npz --method auto --methods ncm,logit-adjust --out again.safetensors",
    "table": "compare --train train.npz --test test.npz --methods ce,ncm --seeds 2 --save-heads kept",
    "table json": "compare --train train.npz --test test.npz --methods ce,ncm --seeds 2 --save-heads kept "
    "--format json --fail-under few=99",
    "table csv": "compare --train train.npz --test test.npz --methods ce,ncm --seeds 2 --save-heads kept "
    "--format csv",
    "narrow": "tty compare --train train.npz --test test.npz --methods ce,ncm --seeds 2 --save-heads kept",
    "against": "evaluate ce.safetensors odd.safetensors --cache test.npz --against ce.safetensors "
    "--format csv",
    "alone": "evaluate ce.safetensors --cache test.npz",
    "delta": "fit --method los --delta 0.9",
    "delta of compare": "compare --methods los --delta 0.9",
    "delta of sweep": "sweep --method los --delta 0.9",
    "delta as told": "fit --method los --set delta=0.9 --epochs 2 --out los.safetensors",
    "gates": "evaluate ce.safetensors --cache test.npz --fail-under all=5,few=99 --format json",
    "offline": "HF_HUB_OFFLINE=1 extract --backbone resnet18 --pretrained --out offline",
    "methods": "methods",
    "methods seen": "tty methods",
    "recipes": "recipes",
    "recipes seen": "tty recipes",
    "unknown model": "extract --backbone zzzzzzzzzz --out unknown",
}
TOLD = {  # in docs: a page, and its words
    "test_engineer_before": (
        "cli.md",
        "is the first row, else the classifier in the features",
    ),
    "test_engineer_unlabelled": ("extract.md", "`--unlabelled` takes pictures whose labels are not known"),
    "test_engineer_classes": ("extract.md", "Every split uses one list: that of `--classes`"),
    "test_engineer_checkpoint_of_the_file": ("extract.md", "A run folder brings its own weights"),
    "test_process_shared.py": ("extract.md", "given the same command share the work"),
    "test_engineer_commas": ("extract.md", "`multi-label?`"),
    "test_engineer_auto": ("cli.md", "Of method auto: keep tuned methods here."),
    "test_engineer_compared_heads": ("cli.md", "a folder of them (compare)"),
    "test_engineer_classes_side_by_side": ("cli.md", "`--sort"),
    "test_researcher_own": ("python.md", "## A method or a loss of your own"),
    "test_researcher_arrays": ("python.md", "## Arrays"),
    "test_researcher_statistics": ("cli.md", "`--against ROW`"),
    "test_ci_gates": ("ci.md", "each with `head`, `name`, `bar`, `value` and `passed`"),
    "test_ci_offline": ("install.md", "Set `HF_HUB_OFFLINE=1` there"),
    "test_terminal": ("cli.md", "Tables are plain when piped"),
}


class End(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("users")
    write_photos(folder / "photos", TREE, size=(32, 32))
    for i, place in enumerate(("new/0.png", "new/1.png", "others/bear/0.png", "others/cow/0.png")):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        make_image(100 + i, (32, 32)).save(folder / place)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def ends(project: Path) -> dict[str, End]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LTFIX_") or k == "LTFIX_EXTENSION"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "users.py")],
        input=json.dumps([(name, shlex.split(line)) for name, line in LINES.items()]),
        cwd=project,
        env={**clean, "COLUMNS": "80", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return {name: End(**end) for name, end in json.loads(done.stdout).items()}


@pytest.fixture
def out(ends: dict[str, End]):
    """``out("evaluate")``: what a command that succeeds prints."""

    def found(name: str, code: int = 0) -> str:
        assert ends[name].code == code, ends[name]
        return ends[name].out

    return found


@pytest.fixture
def err(ends: dict[str, End]):
    """``err("fit", 2)``: the one line of a command that ends so."""

    def found(name: str, code: int = 0) -> str:
        end = ends[name]
        assert (end.code, end.err.count("\n")) == (code, 1), end
        return end.err.removeprefix("ltfix: ").removeprefix("error: ").rstrip("\n")

    return found


def first_column(table: str) -> list[str]:
    """The first words of a table's rows."""
    lines = table.splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith("──"))
    return [line.split()[0] for line in lines[rule + 1 :] if line.strip()]


def test_everything_else_succeeds(ends):
    refused = ("without labels", "typed", "delta", "unknown", "offline", "gates", "table json")
    for name, end in ends.items():
        if name == "delta as told" or not (name.startswith(refused) or name.endswith(refused)):
            assert end.code == 0, (name, end)


@pytest.mark.parametrize("name", TOLD)
def test_docs_say_it(name: str):
    page, words = TOLD[name]
    assert words in (DOCS / page).read_text(encoding="utf-8")


def test_engineer_before(out):
    assert first_column(out("probe"))[:2] == ["probe", "ce"]


def test_engineer_unlabelled(out, err):
    assert re.search(r"features/new +2 samples, V 1, D 64, no labels", out("what is there"))
    for name in ("fit", "evaluate"):
        assert "its samples have no labels" in err(f"{name} without labels", 3)
    lines = out("predict without labels").splitlines()
    assert [line.split(",")[0] for line in lines] == ["sample", "bear/0.png", "cow/0.png"]


def test_engineer_classes(out, project: Path):
    """A list alone is numbered as features/train is, though --out leads elsewhere."""
    out("list")
    cache = open_cache(project / "scored" / "new")
    assert cache.classes == ("Zebra", "ant", "bee")
    assert cache.labels.tolist() == [2, 1]


def test_engineer_checkpoint_of_the_file(out, err):
    assert "next: ltfix extract --backbone runs/tiny" in out("train")
    assert err("after training") == (
        "--checkpoint from weights.toml is not used: the run folder runs/tiny has no use for it"
    )
    assert "the run folder runs/tiny has no use for it (--checkpoint)" in err("weights typed", 2)


def test_engineer_commas(out, err):
    assert err("commas").startswith("multi-label? 'ant,bee' (commas.txt, line 3)")


def test_engineer_auto(out, ends, project: Path):
    """An estimate first, and what was tuned is kept; tests/test_bars.py holds the line every ten seconds."""
    assert ends["auto"].err.startswith("ltfix: 2 methods to tune: about ")
    assert "ltfix: 2 tuned methods are taken from auto\n" in ends["auto again"].err
    tried = [out(name).partition("taken: ")[0] for name in ("auto", "auto again")]
    assert tried[0] == tried[1] and "behind the best" in tried[0]
    heads = [(project / name).read_bytes() for name in ("auto.safetensors", "again.safetensors")]
    assert heads[0] == heads[1]


def test_engineer_compared_heads(out):
    names = ["ce-epochs2-s0", "ce-epochs2-s1", "los-epochs2-s0", "los-epochs2-s1", "ncm-s0"]
    assert [f"compare/{name}.safetensors" in out("compared") for name in names] == [True] * 5
    assert [row["name"] for row in json.loads(out("compared heads"))["heads"]] == ["probe", *names]
    assert first_column(out("one of them"))[:2] == ["probe", "ncm-s0"]


def test_engineer_classes_side_by_side(out):
    table = out("per class").splitlines()
    heads = ["probe", "ce-epochs2-s0", "ce-epochs2-s1", "los-epochs2-s0", "los-epochs2-s1", "ncm-s0"]
    assert table[1].split() == ["Class", "Shot", "Train", "Test", *heads]
    gains = [float(line.split()[-1]) - float(line.split()[4]) for line in table[3:6]]
    assert gains == sorted(gains, reverse=True)
    assert [line.split()[2] for line in out("by count").splitlines()[3:6]] == ["12", "8", "5"]


def test_engineer_worst_class_matrix_and_defaults(out):
    lines = out("one of them").splitlines()
    assert re.search(r"Worst class +Which", lines[1])
    assert all(set(line.split()) & set(TREE["train"]) for line in lines[3:5])
    for row in json.loads(out("confusion"))["heads"]:
        assert sum(count for _, _, count in row["matrix"]) == 9
    assert "epochs 2 (option)" in " ".join(out("head").split())
    assert "lr 0.0005 (default)" in " ".join(out("head").split())


def test_researcher_own(out, ends):
    for name, told in (("own method", "mine: K = 3"), ("own loss", "samn: K = 3")):
        assert out(name).startswith(told)
        assert ends[name].err.count("differentiated by autograd, slower") == 1
    assert "own: mine ce\n" in out("arrays")


def test_researcher_arrays(out):
    lines = out("arrays").splitlines()
    assert lines[:2] == ["equal: [True, True, True]", "right: True"]
    assert lines[3:5] == ["rows: 3", "points: 2"]
    wrong = ["no value 'epoks'", "epochs must be a whole number, found 'many'", "loss"]
    for line, words in zip(lines[5:], wrong, strict=True):
        assert line.startswith("UsageError ") and words in line
    assert "ce: K = 3, D = 8" in out("npz")
    assert "ncm: K = 3, D = 8" in out("odd npz")


def test_researcher_statistics(out, ends):
    rows = {row["name"]: row for row in json.loads(out("table json", 1))["rows"]}
    scores = [run["all"] for run in rows["ce"]["runs"]]
    assert rows["ce"]["all"]["mean"] == pytest.approx(np.mean(scores))
    assert len(scores) == 2
    lines = out("table csv").splitlines()
    cells = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert [float(row["all_s1"]) for row in cells if row["name"] == "ce"] == scores[1:]
    of = {line.split()[0]: line for line in out("table").splitlines() if line}
    assert "±" in of["ce"]
    assert "±" not in of["ncm"] and "±" not in of["probe"]
    assert re.search(r"\d+\.\d to \d+\.\d +1 ", of["ncm"]), "no interval of the test sample"
    assert "without ± one fit serves them all" in out("table")
    best = [re.findall(r"[\d.]+(?: ± [\d.]+)?\*?", of[name])[:2] for name in ("ce", "probe")]
    for ours, theirs in zip(*best, strict=True):  # ties at the printed digit
        if ours.split()[0].rstrip("*") == theirs.split()[0].rstrip("*"):
            assert ours.endswith("*") == theirs.endswith("*")


def test_researcher_against_and_alone(out):
    lines = out("against").splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    difference = float(rows[1]["all"]) - float(rows[0]["all"])
    assert float(rows[1]["difference_all_value"]) == pytest.approx(difference)
    assert "No row of stage 1: no cache here has its classifier" in out("alone")


def test_researcher_delta(err, out):
    for name in ("delta", "delta of compare", "delta of sweep"):
        assert err(name, 2).endswith("write --set delta=…")
    assert "delta 0.9" in out("delta as told")


def test_ci_gates(out, ends):
    gates = json.loads(out("gates", 1))["gates"]
    assert [(gate["name"], gate["bar"], gate["passed"]) for gate in gates] == [
        ("all", 0.05, True),
        ("few", 0.99, False),
    ]
    assert "gate missed (ce: few" in ends["gates"].err
    held = json.loads(out("table json", 1))["gates"]
    assert [(gate["head"], gate["name"], gate["passed"]) for gate in held] == [
        (name, "few", False) for name in ("ncm", "ce")
    ]


def test_ci_offline(err):
    assert "they are not in the local cache (resnet18): give --checkpoint FILE" in err("offline", 4)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


def test_terminal_notes_hang(out):
    note = [line for line in plain(out("commas seen")).splitlines() if "extract" not in line][:2]
    assert note[0].startswith("ltfix: multi-label?")
    assert note[1].startswith(" " * len("ltfix: ")) and note[1][7] != " "
    assert max(map(len, note)) <= 80


@pytest.mark.parametrize("name", ["methods", "recipes"])
def test_terminal_words_are_whole(out, name: str):
    seen = plain(out(f"{name} seen"))
    assert max(map(len, seen.splitlines())) <= 80
    assert set(seen.split()) - set(re.findall(r"─+", seen)) <= set(out(name).split())


def test_terminal_footnotes_are_of_columns_shown(out):
    seen = plain(out("narrow"))
    assert "Fit s: wall seconds" in out("table")
    assert "Fit s" in seen.partition("Left out for want of width:")[2]
    assert "Fit s: wall seconds" not in seen


def test_terminal_known_names_are_cut(err):
    told = re.search(r"known: (.*) and (\d+) more", err("unknown model", 2))
    assert len(told[1].split(", ")) == 10
    assert int(told[2]) > 1000


def test_terminal_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for group in ("What:", "How:", "Validation:", "Output:", "Project:"):
        assert f"\n{group}\n" in text
    assert len(text.partition("Examples:\n")[2].strip().splitlines()) == 3
    assert not re.search(r"[╭│]|\[/?bold", text)
