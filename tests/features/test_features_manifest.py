"""ltfix.features.manifest: what a manifest must say, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from caches import make_plan, write_cache

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.manifest import FORMAT, Manifest, read_manifest
from ltfix.records import record_of

VALID: dict[str, Any] = {
    "format": "ltfix-features/1",
    "n": 5,
    "dim": 4,
    "views": 2,
    "dtype": "float16",
    "classes": ["a", "b"],
    "counts": [3, 2],
    "shards": [
        {"file": "shard-00000.safetensors", "n": 3, "sha256": "0" * 64},
        {"file": "shard-00001.safetensors", "n": 2, "sha256": "1" * 64},
    ],
    "backbone": {},
    "preprocess": {},
    "source": {},
    "fingerprint": "f" * 64,
    "created_by": "ltfix 0",
    "skipped": [],
}


def shard(**changes: Any) -> list[dict[str, Any]]:
    return [{"file": "shard-00000.safetensors", "n": 5, "sha256": "0" * 64, **changes}]


def test_round_trip() -> None:
    assert record_of(Manifest, VALID, "x", FORMAT).to_dict() == VALID


def test_unknown_keys_and_no_skipped_are_fine() -> None:
    value = {key: entry for key, entry in VALID.items() if key != "skipped"}
    assert record_of(Manifest, {**value, "later": 1}, "x", FORMAT).skipped == []


@pytest.mark.parametrize("name", [key for key in VALID if key not in ("format", "skipped")])
def test_each_key_is_needed(name: str) -> None:
    with pytest.raises(InputError, match=f"lacks {name}"):
        record_of(Manifest, {key: entry for key, entry in VALID.items() if key != name}, "x", FORMAT)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(key, wrong) for key in VALID if key != "format" for wrong in (None, True, 1.5) if key != "classes"]
    + [("classes", "ab"), ("n", "5"), ("counts", {"a": 3}), ("skipped", "none")],
)
def test_each_key_has_its_kind(name: str, wrong: object) -> None:
    with pytest.raises(InputError, match=rf"its {name}: expected .*, got "):
        record_of(Manifest, {**VALID, name: wrong}, "x", FORMAT)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"format": "ltfix-features/2"}, "newer than this ltfix reads"),
        ({"format": "ltfix-features/999999999"}, "newer"),
        ({"format": "ltfix-features/0"}, "expected 'ltfix-features/1'"),
        ({"format": "ltfix-features/²"}, "expected"),
        ({"format": "ltfix-features/" + "9" * 5000}, "expected"),
        ({"format": "ltfix-head/1"}, "expected"),
        ({"format": 1}, "expected"),
        ({"format": None}, "expected"),
        ({"dtype": "bfloat16"}, r"its dtype: .*float\(16\|32\)"),
        ({"n": 0, "counts": [0, 0], "shards": []}, "its n: expected a whole number >= 1"),
        ({"dim": 0}, "its dim: expected a whole number >= 1"),
        ({"views": -1}, "its views: expected a whole number >= 1"),
        ({"counts": [3, 3]}, "counts do not add up"),
        ({"counts": [6, -1]}, r"its counts\[1\]: expected a whole number >= 0"),
        ({"counts": [3, 2.0]}, "whole number, got a number"),
        ({"counts": [3, "2"]}, "whole number, got a text"),
        ({"classes": ["a"]}, "classes and counts differ"),
        ({"classes": ["a", 2]}, "its classes.*a text, got a whole number"),
        ({"skipped": [None]}, "its skipped.*a text, got null"),
        ({"shards": shard(n=4)}, "shards do not add up"),
        ({"shards": shard(n=-5)}, "its shards.*n: expected a whole number >= 0"),
        ({"shards": shard(n=True)}, "n: expected a whole number, got true or false"),
        ({"shards": shard(sha256=None)}, "sha256: expected a text, got null"),
        ({"shards": shard(file=None)}, "file: expected a text, got null"),
        ({"shards": ["shard-00000.safetensors"]}, "expected an object, got a text"),
        ({"shards": [{"file": "a.safetensors", "n": 5}]}, r"its shards\[0\] lacks sha256"),
        *(
            ({"shards": shard(file=name)}, "outside its folder")
            for name in (
                "../secret.safetensors",
                "/etc/passwd",
                "..",
                ".hidden.safetensors",
                "a/b.safetensors",
                "a\\b.safetensors",
                "C:x.safetensors",
                "a\0.safetensors",
                "shard.safetensors\n",
                "",
                "manifest.json",
            )
        ),
    ],
)
def test_wrong_values(changes: dict[str, Any], fragment: str) -> None:
    with pytest.raises(InputError, match=fragment) as caught:
        record_of(Manifest, {**VALID, **changes}, "here/manifest.json", FORMAT)
    assert "(here/manifest.json)" in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_not_an_object(value: object) -> None:
    with pytest.raises(InputError, match="holds no JSON object"):
        record_of(Manifest, value, "x", FORMAT)


def test_folders_without_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a feature cache: it has no manifest.json"):
        read_manifest(tmp_path)
    write_cache(tmp_path / "train")
    write_cache(tmp_path / "test")
    with pytest.raises(InputError, match=r"did you mean .*/test, .*/train\?"):
        read_manifest(tmp_path)
    for kind, command in (("folder", "extract"), ("import", "import"), ("joined", "import")):
        begun = {"fingerprint": "0", "decides": {"source": {"kind": kind}}, "run": {}}
        files.write_json(tmp_path / "partial.json", begun)
        with pytest.raises(InputError, match=rf"unfinished .*: run the same `ltfix {command}` again"):
            read_manifest(tmp_path)


def test_what_a_writer_writes(tmp_path: Path) -> None:
    plan = make_plan()
    write_cache(tmp_path / "c")
    manifest = read_manifest(tmp_path / "c")
    assert (manifest.n, manifest.views, manifest.dim, manifest.dtype) == (25, 2, 4, "float16")
    assert manifest.counts == [9, 8, 8]
    assert manifest.classes == list(plan.classes)
    assert [entry.n for entry in manifest.shards] == [10, 10, 5]
    assert manifest.fingerprint == files.sha256_json(plan.decisions)
    assert manifest.created_by.startswith("ltfix ")
