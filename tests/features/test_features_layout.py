"""ltfix.features.layout: what decides a cache's bytes, and how a difference is told."""

from __future__ import annotations

import numpy as np
import pytest
from caches import make_plan

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.layout import differences


def fingerprint(**changes: object) -> str:
    return files.sha256_json(make_plan(**changes).decisions)


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": [f"other/{i}" for i in range(25)]},
        {"labels": np.zeros(25, np.int64)},
        {"classes": ["x", "y", "z"]},
        {"dim": 5},
        {"views": 1},
        {"dtype": "float32"},
        {"shard_rows": 11},
        {"backbone": {"name": "resnet34"}},
        {"preprocess": {"size": 64}},
        {"source": {}},
        {"decides": {"precision": "bf16"}},
    ],
)
def test_all_that_decides_the_bytes_changes_the_fingerprint(changes: dict[str, object]) -> None:
    assert fingerprint(**changes) != fingerprint()


def test_nothing_else_does() -> None:
    assert fingerprint(run={"batch_size": 999}) == fingerprint()
    assert fingerprint(labels=np.arange(25, dtype=np.int32) % 3) == fingerprint()
    assert fingerprint(preprocess={"mean": (0.5, 0.5, 0.5), "size": np.int64(32)}) == fingerprint()


def test_shards_cover_every_sample_once() -> None:
    spans = [(shard.index, shard.start, shard.stop) for shard in make_plan().shards()]
    assert spans == [(0, 0, 10), (1, 10, 20), (2, 20, 25)]
    assert [shard.file for shard in make_plan().shards()][2] == "shard-00002.safetensors"
    assert len(make_plan(n=20).shards()) == 2


def test_differences_are_told_by_name_and_value() -> None:
    before = make_plan(preprocess={"size": 32, "mean": [0.5] * 3}, decides={"limit": 5}).decisions
    now = make_plan(preprocess={"size": 64, "mean": (0.5,) * 3}, samples=["a"] * 25).decisions
    assert differences(before, now) == (
        'limit was 5, is null, precision was null, is "fp32", preprocess.size was 32, is 64, samples differs'
    )
    before = make_plan(shard_rows=128).decisions
    assert differences(before, make_plan().decisions) == "shard_rows was 128, is 10"
    assert differences({"values": {"lr": 0.1}, "seed": 1}, {"values": {"lr": 0.2}, "seed": 1}) == (
        "values.lr was 0.1, is 0.2"
    )
    assert differences({str(i): i for i in range(9)}, {}).endswith("and 5 more")
    assert differences(before, before) == ""


def test_a_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"line break .*b.n\.png"):
        make_plan(n=2, samples=["a", "b\n.png"]).check()
