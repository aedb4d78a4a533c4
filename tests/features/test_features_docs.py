"""docs/format.md: another tool that follows it writes files that ltfix reads."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from caches import make_head, make_plan, write_cache

from ltfix.features.manifest import Manifest, read_partial
from ltfix.features.read import open_cache
from ltfix.features.store import CacheWriter
from ltfix.heads.arrays import TRANSFORMS
from ltfix.heads.head import load_head

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
CACHE, HEAD = (PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0] for name in ("Feature cache", "Head"))


def run_example(section: str, folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, check=True)


def rows(section: str) -> set[str]:
    """Every name in the first column of the section's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_examples_write_what_ltfix_reads(tmp_path: Path) -> None:
    run_example(CACHE, tmp_path)
    run_example(HEAD, tmp_path)
    train, test = open_cache(tmp_path / "train.safetensors"), open_cache(tmp_path / "test.npz")
    assert (train.n, train.n_classes, test.n) == (500, 10, 50)
    head = load_head(tmp_path / "mine.safetensors")
    assert head.method == "mine"
    assert head.logits(np.asarray(test.features[:, 0])).shape == (50, 10)


def test_every_key_of_the_manifest_is_described() -> None:
    assert {field.name for field in dataclasses.fields(Manifest)} | {"format"} <= rows(CACHE)


def test_every_part_of_a_head_is_described() -> None:
    kinds = set(re.findall(r'"kind": "([^"]+)"', HEAD))
    assert kinds == set(TRANSFORMS)
    tensors = {name for names in TRANSFORMS.values() for name in names}
    assert {"weight", "bias"} | tensors | set(make_head().metadata()) <= rows(HEAD)


def test_the_files_of_a_folder_are_those_listed(tmp_path: Path) -> None:
    listed = re.findall(r"^  (\S+\.\w+) ", CACHE, re.MULTILINE)
    write_cache(tmp_path / "c", make_head(), n=12)
    for name in ("probe.safetensors", "samples.jsonl"):  # only a fit makes the one, only a table the other
        listed.remove(name)
    assert sorted({*listed, "shard-00001.safetensors"}) == sorted(p.name for p in (tmp_path / "c").iterdir())
    CacheWriter(tmp_path / "d", make_plan())
    keys = ["fingerprint", "decides", "run"]
    assert '`partial.json` is `{"fingerprint", "decides", "run"}`' in CACHE
    assert sorted(dataclasses.asdict(read_partial(tmp_path / "d"))) == sorted(keys)
