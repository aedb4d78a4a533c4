"""ltfix.features.manifest: what a manifest must say, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from caches import make_plan, write_cache

from ltfix import files
from ltfix.errors import InputError
from ltfix.features.manifest import Manifest, read_manifest

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
    assert Manifest.from_dict(VALID, "x").to_dict() == VALID


def test_unknown_keys_and_no_skipped_are_fine() -> None:
    value = {key: entry for key, entry in VALID.items() if key != "skipped"}
    assert Manifest.from_dict({**value, "later": 1}, "x").skipped == []


@pytest.mark.parametrize("name", [key for key in VALID if key not in ("format", "skipped")])
def test_each_key_is_needed(name: str) -> None:
    with pytest.raises(InputError, match=f"lacks {name}"):
        Manifest.from_dict({key: entry for key, entry in VALID.items() if key != name}, "x")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(key, wrong) for key in VALID if key != "format" for wrong in (None, True, 1.5) if key != "classes"]
    + [("classes", "ab"), ("n", "5"), ("counts", {"a": 3}), ("skipped", "none")],
)
def test_each_key_has_its_kind(name: str, wrong: object) -> None:
    with pytest.raises(InputError, match=f"{name} is of the wrong kind"):
        Manifest.from_dict({**VALID, name: wrong}, "x")


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
        ({"dtype": "bfloat16"}, "neither float16 nor float32"),
        ({"n": 0, "counts": [0, 0], "shards": []}, "must be positive"),
        ({"dim": 0}, "must be positive"),
        ({"views": -1}, "must be positive"),
        ({"counts": [3, 3]}, "counts do not add up"),
        ({"counts": [6, -1]}, "counts do not add up"),
        ({"counts": [3, 2.0]}, "counts do not add up"),
        ({"counts": [3, "2"]}, "counts do not add up"),
        ({"classes": ["a"]}, "classes and counts differ"),
        ({"classes": ["a", 2]}, "not text"),
        ({"skipped": [None]}, "not text"),
        ({"shards": shard(n=4)}, "shards do not add up"),
        ({"shards": shard(n=-5)}, "lacks its file, n or sha256"),
        ({"shards": shard(n=True)}, "lacks its file"),
        ({"shards": shard(sha256=None)}, "lacks its file"),
        ({"shards": shard(file=None)}, "lacks its file"),
        ({"shards": ["shard-00000.safetensors"]}, "lacks its file"),
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
        Manifest.from_dict({**VALID, **changes}, "here/manifest.json")
    assert "(here/manifest.json)" in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_not_an_object(value: object) -> None:
    with pytest.raises(InputError, match="not a JSON object"):
        Manifest.from_dict(value, "x")


def test_folders_without_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a feature cache: it has no manifest.json"):
        read_manifest(tmp_path)
    write_cache(tmp_path / "train")
    write_cache(tmp_path / "test")
    with pytest.raises(InputError, match="one of the folders in it\\? test, train"):
        read_manifest(tmp_path)
    files.write_json(tmp_path / "partial.json", {})
    with pytest.raises(InputError, match=r"unfinished .*: run the same `ltfix extract` again"):
        read_manifest(tmp_path)


def test_what_a_writer_writes(tmp_path: Path) -> None:
    plan = make_plan()
    write_cache(tmp_path / "c")
    manifest = read_manifest(tmp_path / "c")
    assert (manifest.n, manifest.views, manifest.dim, manifest.dtype) == (25, 2, 4, "float16")
    assert manifest.counts == [9, 8, 8]
    assert manifest.classes == list(plan.classes)
    assert [entry["n"] for entry in manifest.shards] == [10, 10, 5]
    assert manifest.fingerprint == files.sha256_json(plan.decisions())
    assert manifest.created_by.startswith("ltfix ")
