"""ltfix.features.shards: what an unfinished cache remembers, and what a resumed writer believes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import contents, fill, make_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from ltfix.errors import InputError
from ltfix.features.layout import CachePlan
from ltfix.features.read import open_cache
from ltfix.features.store import CacheWriter, cache_state

STAMPS = np.arange(25)
SKIP, STRICT = ({"precision": "fp32", "on_error": word} for word in ("skip", "error"))


def plan(**changes: Any) -> CachePlan:
    return make_plan(**{"stamps": STAMPS, "decides": STRICT, **changes})


def begun(
    folder: Path, shards: int = 2, skipped: frozenset[int] = frozenset(), **changes: Any
) -> CacheWriter:
    """A writer that stopped after some of three shards."""
    writer = CacheWriter(folder, plan(**changes))
    fill(writer, writer.pending()[:shards], skipped)
    return writer


def pending(folder: Path, **changes: Any) -> list[int]:
    return [shard.index for shard in CacheWriter(folder, plan(**changes)).pending()]


def test_records_are_there_until_the_cache_is_finished(tmp_path: Path) -> None:
    writer = begun(tmp_path, 3)
    assert {name for name in contents(tmp_path) if name.startswith("partial-")} == {
        f"partial-0000{i}.json" for i in range(3)
    }
    writer.publish(None)
    assert not [name for name in contents(tmp_path) if name.startswith("partial")]


@pytest.mark.parametrize("place", [-1, 9, 60])
def test_a_flipped_bit_is_found_on_resume_and_on_publishing(tmp_path: Path, place: int) -> None:
    begun(tmp_path / "whole", 3).publish(None)
    writer = begun(tmp_path / "c", 3)
    path = tmp_path / "c" / "shard-00001.safetensors"
    raw = bytearray(path.read_bytes())
    raw[place] ^= 4
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"shard-00001|not JSON"):
        writer.publish(None)
    assert cache_state(tmp_path / "c")[0] == "partial"
    again = CacheWriter(tmp_path / "c", plan())
    assert [shard.index for shard in again.pending()] == [1]
    assert again.doubted == 1
    fill(again)
    again.publish(None)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_only_the_shard_of_a_changed_image_is_made_again(tmp_path: Path) -> None:
    begun(tmp_path, 3)
    assert pending(tmp_path, stamps=np.where(STAMPS == 12, 99, STAMPS)) == [1]
    assert pending(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"decides": SKIP}, [2]),
        ({"source": {"kind": "folder", "digest": "2" * 64}}, [2]),
        ({"samples": [f"class-{i % 3}/{i:03}.png" for i in [*range(24), 30]]}, [2]),
        ({"samples": [f"class-{i % 3}/{i:03}.png" for i in [*range(11), *range(12, 25)]], "n": 24}, [1, 2]),
        ({"labels": np.where(np.arange(25) == 3, 0, np.arange(25) % 3), "stamps": STAMPS}, [2]),
        ({"labels": np.where(np.arange(25) == 4, 0, np.arange(25) % 3), "stamps": STAMPS}, [0, 2]),
    ],
)
def test_a_plan_that_differs_in_some_images_goes_on_with_the_others(
    tmp_path: Path, changes: dict[str, Any], expected: list[int]
) -> None:
    n = changes.pop("n", 25)
    values = {"labels": np.arange(n) % 3, "stamps": STAMPS[:n], **changes}
    begun(tmp_path / "c", run={"batch_size": 7})
    writer = CacheWriter(tmp_path / "c", plan(**values))
    assert writer.resumed
    assert writer.run == {"batch_size": 7}, "as at the first start"
    assert [shard.index for shard in writer.pending()] == expected
    fill(writer)
    writer.publish(None)
    afresh = CacheWriter(tmp_path / "afresh", plan(**values))
    fill(afresh)
    afresh.publish(None)
    assert contents(tmp_path / "c") == contents(tmp_path / "afresh")


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float32"},
        {"decides": {**STRICT, "precision": "bf16"}},
        {"backbone": {"name": "resnet18", "weights_sha256": "1" * 64}},
        {"source": {"kind": "folder", "digest": "1" * 64, "limit": 25}},
        {"samples": [f"other/{i}.png" for i in range(25)]},
    ],
)
def test_any_other_is_another_extraction(tmp_path: Path, changes: dict[str, Any]) -> None:
    begun(tmp_path)
    before = contents(tmp_path)
    told = "whose pictures have changed since" if "samples" in changes else "of another extraction"
    with pytest.raises(InputError, match=f"an unfinished cache .*{told}"):
        CacheWriter(tmp_path, plan(**changes))
    assert contents(tmp_path) == before


def test_a_shard_with_a_hole_is_kept_only_where_holes_may_be(tmp_path: Path) -> None:
    begun(tmp_path, skipped=frozenset({3}), decides=SKIP)
    assert pending(tmp_path, decides=SKIP) == [2]
    assert pending(tmp_path, decides=STRICT) == [0, 2]


def test_the_first_writer_of_a_taken_over_folder_stops(tmp_path: Path) -> None:
    old = begun(tmp_path)
    last = old.pending()
    new = CacheWriter(tmp_path, plan(decides=SKIP))
    with pytest.raises(InputError, match="another extraction has taken over"):
        fill(old, last)
    fill(new)
    assert new.publish(None).n == 25


@pytest.mark.parametrize("lost", [[], [0], [0, 1], [0, 1, 2]])
def test_stopped_while_the_records_were_removed(tmp_path: Path, lost: list[int]) -> None:
    writer = begun(tmp_path / "c", 3)
    kept = contents(tmp_path / "c")
    writer.publish(None)
    expected = contents(tmp_path / "c")
    for name, data in kept.items():
        if name == "partial.json" or name in [f"partial-0000{i}.json" for i in range(3) if i not in lost]:
            (tmp_path / "c" / name).write_bytes(data)
    again = CacheWriter(tmp_path / "c", plan())
    assert again.pending() == []
    again.publish(None)
    assert contents(tmp_path / "c") == expected
    assert open_cache(tmp_path / "c").verify() == 3


def test_remarks_are_those_of_all_shards_whoever_wrote_them(tmp_path: Path) -> None:
    writer = CacheWriter(tmp_path, plan())
    features = np.zeros((10, 2, 4), np.float32)
    writer.write_shard(writer.pending()[0], features, remarks={"deep"})
    last = CacheWriter(tmp_path, plan())
    fill(last)
    manifest = last.publish(None).manifest
    assert manifest is not None
    assert manifest.preprocess == {**last.plan.preprocess, "depths": ["deep"]}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sha256", "inputs", "remarks", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_any_other_record_is_none(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("c")
    begun(folder)
    (folder / "partial-00001.json").write_bytes(raw)
    assert pending(folder) == [1, 2]
