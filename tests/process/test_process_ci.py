"""The scripts of docs/ci.md, as jobs run them: with a baseline and without, and after a kill."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caches import fill, make_head, make_plan

import ltfix
from ltfix.features.store import CacheWriter

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")


def block(kind: str, holding: str = "") -> str:
    """The page's block of code of a kind, of several the one that holds a text."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(text for text in found if holding in text)


def tool(folder: Path, name: str, *lines: str) -> None:
    """A command of the job."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)


def run(job: Path, script: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{job / 'bin'}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": "summary.md"}
    env["GITHUB_OUTPUT"] = "outputs"
    argv = ["sh", "-e", "-c", script]
    return subprocess.run(argv, cwd=job, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A project whose features are there, and an ``ltfix`` that neither extracts nor checks them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16)) * 0.6
    for split, counts in (("train", [150, 60, 25, 8]), ("test", [60] * 4)):
        labels = np.repeat(np.arange(4), counts)
        features = centres[labels] + rng.normal(size=(len(labels), 16))
        path = tmp_path / f"{split}.npz"
        np.savez(path, features=features.astype(np.float32), labels=labels)
    (tmp_path / "real").mkdir()
    (tmp_path / "photos").symlink_to("real")
    (tmp_path / "photos" / "1.bmp").write_bytes(b"one")
    (tmp_path / "ltfix.toml").write_text('[evaluate]\ncache = "test.npz"\n', encoding="utf-8")
    tool(
        tmp_path,
        "bin/ltfix",
        'case "$1 "$(echo heads/*) in',
        '  extract*) mkdir -p features; echo "$*" >> extracted',
        "    [ ! -e dies ] && exit 0 || exit 3 ;;",
        "  inspect* | fit*ci.safetensors) exit 0 ;;  # a second fit would give the same bytes",
        "esac",
        '[ "$1" = fit ] && set -- "$@" train.npz',
        f'exec "{sys.executable}" -m ltfix "$@"',
    )
    return tmp_path


def test_the_shell_script_holds_a_build_to_the_last_one(job: Path):
    script, killed, running = block("sh"), job / "photos.sha256.123", job / "photos.sha256.124"
    running.touch()
    killed.touch()
    os.utime(killed, (killed.stat().st_mtime - 2 * 86400,) * 2)
    first = run(job, script)
    assert first.returncode == 0, first.stderr
    assert (killed.exists(), running.exists(), (job / "photos.sha256").exists()) == (False, True, True)
    running.unlink()
    last = json.loads((job / "last.json").read_text())
    better = [{**row, "few": min(1.0, row["few"] + 0.3), "correct": None} for row in last["heads"]]
    (job / "last.json").write_text(json.dumps(last | {"heads": better}))
    (job / "photos" / "1.bmp").write_bytes(b"two")  # of the same size: a hash tells
    worse = run(job, script)
    assert worse.returncode == 1
    run(job, script)
    (job / "dies").touch()
    (job / "photos" / "1.bmp").write_bytes(b"six")
    assert run(job, script).returncode == 3
    (job / "dies").unlink()
    (job / "photos" / "1.bmp").write_bytes(b"two")  # as the features were before that run began anew
    run(job, script)
    (job / "photos" / "1.bmp").rename(job / "1.bmp")
    assert run(job, script).returncode == 3, "nothing is hashed"
    (job / "1.bmp").rename(job / "photos" / "1.bmp")
    assert not [*job.glob("new.*"), *job.glob("photos.sha256.*")], "whatever ends a run"
    extracted = [line.split() for line in (job / "extracted").read_text().splitlines()]
    assert ["--overwrite" in argv for argv in extracted] == [True, True, False, True, True]
    assert re.search(r"gate missed \(ci: few fell by \d+\.\d points to", worse.stderr)
    assert json.loads((job / "last.json").read_text())["heads"] == better, (
        "a build that misses is no baseline"
    )
    assert ltfix.load_head(job / "heads" / "ci.safetensors").method == "samn"

    (job / "last.json").unlink()
    with (job / "ltfix.toml").open("a") as handle:
        handle.write("fail-under = { few = 100 }\n")
    first = run(job, script[script.index("gates=") :])
    assert first.returncode == 1
    assert "gate missed (ci: few " in first.stderr
    assert not list(job.glob("*.json")), "nor is a first build that misses a floor of the file"


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_job_after_one_that_was_killed_ends_green(tmp_path: Path, system: str):
    """Of two caches one is unfinished, as a kill leaves it: pictures are fetched, both are made."""
    yaml = pytest.importorskip("yaml")
    plan = make_plan()
    for split in ("train", "test"):
        writer = CacheWriter(tmp_path / "whole" / split, plan)
        for shard in writer.pending():
            rows = np.eye(3, 4, dtype=np.float16)[plan.labels[shard.start : shard.stop]]
            writer.write_shard(shard, np.repeat(rows[:, None], 2, axis=1))
        writer.publish(None)
    fill(killed := CacheWriter(tmp_path / "features" / "test", plan), killed.pending()[:2])
    (tmp_path / "features" / "train").symlink_to(tmp_path / "whole" / "train")
    weight, counts = np.eye(3, 4, dtype=np.float32), np.bincount(plan.labels)
    head = make_head(weight=weight, method="samn", counts=counts, classes=tuple(plan.classes))
    head.save(tmp_path / "made.safetensors")
    tool(tmp_path, "bin/pip")
    tool(tmp_path, "fetch-photos.sh", "touch fetched")
    tool(
        tmp_path,
        "bin/ltfix",
        'case "$*" in',
        '  "extract --overwrite") rm -r features && cp -r whole features ;;',
        "  fit*) mkdir -p heads && cp made.safetensors heads/ci.safetensors ;;",
        f'  *) exec "{sys.executable}" -m ltfix "$@" ;;',
        "esac",
    )
    if system == "github":
        steps = yaml.safe_load(block("yaml", "runs-on"))["jobs"]["head"]["steps"]
        script = "\n".join(f"(set -e\n{step['run']}\n)" for step in steps if "run" in step)
        (kept,) = [s["if"] for s in steps if s.get("with", {}).get("path") == "features" and "if" in s]
        assert kept == "steps.made.outputs.anew == 'true'"
    else:
        script = "\n".join(yaml.safe_load(block("yaml", "image:"))["head"]["script"])
    done = run(tmp_path, script)
    assert done.returncode == 0, done.stderr
    assert "ltfix: error: an unfinished feature cache (features/test)" in done.stderr
    assert done.stdout == "", "the results are in files"
    assert (tmp_path / "fetched").exists()
    assert system == "gitlab" or (tmp_path / "outputs").read_text() == "anew=true\n"
    assert json.loads((tmp_path / "last.json").read_text())["heads"][0]["few"] == 1
    shown = (tmp_path / {"github": "summary.md", "gitlab": "gates.xml"}[system]).read_text()
    assert ("The gate held" if system == "github" else 'failures="0"') in shown
    ltfix.open_cache(tmp_path / "features" / "test").verify()
    for path in ("fetched", "outputs"):
        (tmp_path / path).unlink(missing_ok=True)
    again = run(tmp_path, script)
    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.glob("fetched")) + list(tmp_path.glob("outputs")), "what is whole stays"
