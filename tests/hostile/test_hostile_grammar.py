"""Every command over files of a grammar: an exit code that is documented, one line, nothing half-written.

``HOSTILE_EXAMPLES=300`` makes so many files a case, other ones every time; by default a few, always the same.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grammar
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import write_photos

from ltfix import cli
from ltfix.features.store import CacheWriter
from ltfix.stage1.run_folder import RunFolder

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "0"))
FEW = 8
SECONDS = 10  # of processor time, so that a busy machine fails nothing
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not show."""
CPU = "--device cpu --threads 1 --quiet"
SMALL = f"--batch-size 4 --workers 1 {CPU}"
NET = "--backbone cifar_resnet32 --no-pretrained"


class Outcome(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str
    warned: list[str]
    seconds: float


def call(line: str) -> Outcome:
    """Run a command line in this process, as a terminal that takes UTF-8 alone would see it."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
    began = time.process_time()
    with (
        warnings.catch_warnings(record=True) as told,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("always")
        code = cli.run(line.split())
    shown = [str(w.message) for w in told if not issubclass(w.category, HIDDEN)]
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return Outcome(code, *texts, shown, time.process_time() - began)


def held(line: str) -> None:
    """A command ends as docs/cli.md says, whatever it was given."""
    found = call(line)
    assert found.code in {0, 1, 2, 3, 4}, found
    assert found.warned == [], found
    assert found.seconds < SECONDS, found
    assert "Traceback" not in found.err
    errors = [text for text in found.err.splitlines() if text.startswith("ltfix: error: ")]
    assert len(errors) == (found.code > 1), found
    if errors:
        assert found.err.splitlines() == errors, found
        assert not Path("new.safetensors").exists()
    elif "--format json" in line:
        json.loads(found.out, parse_constant=pytest.fail)
    assert not list(Path().rglob("*.ltfix-tmp"))


def interrupted(monkeypatch: pytest.MonkeyPatch, kind: type, line: str) -> None:
    """A command stopped before the last step of the writer ``kind``."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kind, "publish", stop)
        assert call(line).code == 130


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole project of good files, which no test changes."""
    folder, patch = tmp_path_factory.mktemp("grammar") / "good", pytest.MonkeyPatch()
    write_photos(folder / "photos")
    patch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("LTFIX_") and name != "LTFIX_EXTENSION"]:
        patch.delenv(name)
    interrupted(patch, CacheWriter, f"extract {NET} --data photos --out part {SMALL}")
    interrupted(patch, RunFolder, f"{TRAIN} --out half")
    for line in (
        f"{TRAIN} --out run",
        f"extract --backbone run --data photos --out features {SMALL}",
        f"fit features/train --method cosine --epochs 1 --out cosine.safetensors {CPU}",
        f"extract {NET} --data photos --out bare {SMALL}",
        f"fit bare/train --method ce --epochs 1 --out bare.safetensors {CPU}",
        f"fit features/train --method ce --epochs 1 --out ce.safetensors {CPU}",
        KEEP,
        "evaluate ce.safetensors --cache features/test --format json --output report.json",
    ):
        found = call(line)
        assert found.code == 0, (line, found)
    yield folder
    patch.undo()


TRAIN = f"train-backbone --model cifar_resnet32 --data photos --epochs 1 {SMALL}"
PAIR = "--train features/train --test features/test"
EVALUATE = "evaluate ce.safetensors --cache features/test --format json"
BASELINE = f"{EVALUATE} --baseline report.json --max-drop all=1.0"
KEEP = f"compare {PAIR} --methods ncm --seeds 1 --format json --save-heads heads {CPU}"
FIT = f"fit {{cache}} --method ce --epochs 1 --out new.safetensors {CPU}"
EXTRACT = f"extract {NET} --data photos {SMALL}"
RUN = f"extract --backbone run --data photos --out new {SMALL}"
Content = Callable[[bytes], st.SearchStrategy[bytes]]


class Case(NamedTuple):
    """A file of the project, what it is changed to, and the commands that read it."""

    file: str
    content: Content
    lines: tuple[str, ...]


def inspect(path: str, more: str = "") -> str:
    return f"inspect {path} --format json {more}"


def fit(cache: str) -> str:
    return FIT.format(cache=cache)


JSON, LINES, TENSORS = grammar.json_file, grammar.json_lines, grammar.safetensors_file
CASES = {
    "manifest": Case(
        "features/train/manifest.json",
        JSON,
        (
            inspect("features/train", "--verify"),
            fit("features/train"),
            f"extract --backbone run --data photos {SMALL}",
        ),
    ),
    "test manifest": Case(
        "features/test/manifest.json", JSON, (EVALUATE, f"compare {PAIR} --methods ncm {CPU}")
    ),
    "shard": Case(
        "features/train/shard-00000.safetensors", TENSORS, (inspect("features/train"), fit("features/train"))
    ),
    "stage-1 head": Case("features/test/head.safetensors", TENSORS, (inspect("features/test"), EVALUATE)),
    "probe": Case(
        "bare/train/probe.safetensors", TENSORS, (fit("bare/train"), inspect("bare/train/probe.safetensors"))
    ),
    "partial": Case("part/train/partial.json", JSON, (inspect("part/train"), f"{EXTRACT} --out part")),
    "shard record": Case("part/train/partial-00000.json", JSON, (f"{EXTRACT} --out part",)),
    "unfinished shard": Case("part/train/shard-00000.safetensors", TENSORS, (f"{EXTRACT} --out part",)),
    "head": Case("ce.safetensors", TENSORS, (inspect("ce.safetensors"), EVALUATE)),
    "cosine head": Case(
        "cosine.safetensors",
        TENSORS,
        (inspect("cosine.safetensors"), "evaluate cosine.safetensors --cache features/test"),
    ),
    "run": Case("run/run.json", JSON, (inspect("run"), RUN, f"{TRAIN} --out run")),
    "metrics": Case("run/metrics.jsonl", LINES, (f"{TRAIN} --out run",)),
    "backbone": Case("run/backbone.safetensors", TENSORS, (RUN, inspect("run/backbone.safetensors"))),
    "classifier": Case("run/classifier.safetensors", TENSORS, (RUN, inspect("run"))),
    "unfinished run": Case("half/run.json", JSON, (inspect("half"), f"{TRAIN} --out half")),
    "unfinished metrics": Case("half/metrics.jsonl", LINES, (f"{TRAIN} --out half",)),
    "checkpoint": Case("half/checkpoint-last.safetensors", TENSORS, (f"{TRAIN} --out half",)),
    "compare's record": Case(
        "heads/ncm-s0.json",
        JSON,
        (KEEP,),
    ),
    "compare's head": Case(
        "heads/ncm-s0.safetensors",
        TENSORS,
        (KEEP,),
    ),
    "baseline": Case("report.json", JSON, (BASELINE,)),
    "image": Case(
        "photos/train/ant/00.png",
        grammar.broken,
        (f"{EXTRACT} --out new", f"{EXTRACT} --out new --on-error skip"),
    ),
    "npz": Case(
        "table.npz",
        lambda _: grammar.npz_file(),
        (inspect("table.npz"), fit("table.npz"), "evaluate ce.safetensors --cache table.npz --format json"),
    ),
    "toml": Case(
        "ltfix.toml",
        lambda _: grammar.toml_file(
            ["method", "epochs", "lr", "cache", "set", "x", "format", "mean", "a.b", "'é'"]
        ),
        (f"fit features/train --out new.safetensors {CPU}", "evaluate ce.safetensors", "methods"),
    ),
    "list": Case(
        "list.txt",
        lambda _: grammar.list_file(IMAGES, [" ", "\t", "", ",", "  "]),
        (f"extract {NET} --data list:list.txt --root photos --out new {SMALL}",),
    ),
    "csv": Case(
        "list.csv",
        lambda _: grammar.list_file(IMAGES, [",", ";", "", '"', ",,"]),
        (f"extract {NET} --data csv:list.csv --root photos --out new {SMALL}",),
    ),
    "jsonl": Case(
        "list.jsonl",
        lambda _: grammar.json_lines(b"".join(b'{"path": "%s", "label": 1}\n' % p.encode() for p in IMAGES)),
        (f"extract {NET} --data jsonl:list.jsonl --root photos --out new {SMALL}",),
    ),
    "pickle": Case(
        "weights.pth",
        lambda _: grammar.pickle_file(weights()),
        (
            f"extract --backbone cifar_resnet32 --checkpoint weights.pth --data photos --out new {SMALL}",
            inspect("weights.pth"),
        ),
    ),
}
IMAGES = [f"train/{name}/0{i}.png" for name in ("Zebra", "ant", "bee") for i in range(2)]


def weights() -> dict[str, Any]:
    """A state dict of the network, its classifier with three classes."""
    import timm
    import torch

    torch.manual_seed(0)
    return timm.create_model("cifar_resnet32", num_classes=3).state_dict()


def enter_copy(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own to work in: links, as a writer replaces files."""
    work = project.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(project, work, copy_function=os.link)
    monkeypatch.chdir(work)
    return work


def test_a_project_of_good_files_passes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what the cases refuse is refused for what was changed."""
    enter_copy(project, monkeypatch)
    np.savez("table.npz", features=np.ones((6, 64), np.float32), labels=np.arange(6) % 3)
    lines = (EVALUATE, BASELINE, inspect("run"), inspect("part/train"), inspect("table.npz"), KEEP)
    for line in (*lines, f"{TRAIN} --out run", f"{TRAIN} --out half", f"{EXTRACT} --out part"):
        assert call(line).code == 0, line


@pytest.mark.parametrize("name", CASES)
@settings(
    max_examples=EXAMPLES or FEW,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_whatever_a_file_says(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: st.DataObject
) -> None:
    case, work = CASES[name], enter_copy(project, monkeypatch)
    file = work / case.file
    good = file.read_bytes() if file.exists() else b""
    content, line = data.draw(case.content(good)), data.draw(st.sampled_from(case.lines))
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    held(line)
