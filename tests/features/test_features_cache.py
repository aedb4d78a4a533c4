"""ltfix.features.cache: what a reader of features can rely on."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make_features, make_head, make_plan, write_bare, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from ltfix.errors import InputError
from ltfix.features import cache as reading
from ltfix.features.arrays import first_not_finite, gather
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache


def in_memory(sizes: list[int], **values: Any) -> FeatureCache:
    """A cache of shards with these sizes; sample i has the features i, i + 0.5."""
    n = sum(sizes)
    whole = (np.arange(n)[:, None, None] + np.array([0, 0.5])[None, :, None]).astype(np.float32)
    shards = np.split(np.repeat(whole, 3, axis=2), np.cumsum(sizes)[:-1])
    return FeatureCache(Path("here"), shards, values.pop("labels", np.zeros(n, np.int64)), **values)


sizes = st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(sum)


@given(sizes, st.integers(1, 12))
def test_blocks_cover_every_sample_once_in_order(shard_sizes: list[int], rows: int) -> None:
    cache, ends = in_memory(shard_sizes), set(np.cumsum(shard_sizes))
    stop = 0
    for where, block in cache.blocks(rows):
        assert where.start == stop
        assert len(block) == where.stop - where.start <= rows
        assert not any(where.start < end < where.stop for end in ends)
        np.testing.assert_array_equal(block, cache.features[where])
        stop = where.stop
    assert stop == cache.n == len(cache)


@given(sizes, st.data())
def test_rows_are_fancy_indexing(shard_sizes: list[int], data: st.DataObject) -> None:
    cache = in_memory(shard_sizes)
    index = np.array(data.draw(st.lists(st.integers(0, cache.n - 1), max_size=20)), np.int64)
    np.testing.assert_array_equal(cache.rows(index), cache.features[index])


@given(sizes, st.data())
def test_rows_of_any_shape_and_one_view_of_each(shard_sizes: list[int], data: st.DataObject) -> None:
    cache = in_memory(shard_sizes)
    rows = np.array(data.draw(st.lists(st.integers(0, cache.n - 1), min_size=6, max_size=6))).reshape(2, 3)
    view = np.array(data.draw(st.lists(st.integers(0, 1), min_size=6, max_size=6))).reshape(2, 3)
    np.testing.assert_array_equal(gather(cache.shards, rows), cache.features[rows])
    np.testing.assert_array_equal(gather(cache.shards, rows, view), cache.features[rows, view])


@pytest.mark.parametrize("index", [[-1], [5], [0, 99]])
def test_rows_out_of_range(index: list[int]) -> None:
    with pytest.raises(IndexError, match="samples are 0 to 4"):
        in_memory([2, 3]).rows(np.array(index))


class TestFinite:
    @pytest.fixture
    def torn(self, tmp_path: Path) -> Path:
        """A cache of three shards; the value of row 14, view 1, dimension 2 is overwritten with NaN."""
        cache = write_cache(tmp_path / "c")
        path = cache.path / "shard-00001.safetensors"
        wanted = np.asarray(cache.features[14, 1], np.float16).tobytes()
        data = path.read_bytes()
        assert data.count(wanted) == 1
        path.write_bytes(data.replace(wanted, wanted[:4] + b"\xff\x7f" + wanted[6:]))
        return cache.path

    def test_row_and_sample_are_named(self, torn: Path) -> None:
        with pytest.raises(InputError, match=r"feature row 14, class-2/014.png, holds NaN or Inf \(.*c\)"):
            _ = open_cache(torn).features

    def test_only_what_is_read_is_checked(self, torn: Path) -> None:
        cache = open_cache(torn)
        assert cache.rows(np.array([0, 9, 20])).shape == (3, 2, 4)
        blocks = cache.blocks()
        next(blocks)
        for read in (lambda: next(blocks), lambda: cache.rows(np.array([10])), cache.verify):
            with pytest.raises(InputError, match="feature row 14"):
                read()

    def test_each_shard_is_checked_once(self, tmp_path: Path, monkeypatch) -> None:
        cache, checked = open_cache(write_cache(tmp_path).path), list[int]()
        monkeypatch.setattr(reading, "first_not_finite", lambda block: checked.append(len(block)))
        for read in (cache.check, cache.verify, lambda: list(cache.blocks()), lambda: cache.features):
            read()
        assert checked == [10, 10, 5]

    def test_blocks_are_checked_as_they_are_read(self, tmp_path: Path, monkeypatch) -> None:
        cache, checked = open_cache(write_cache(tmp_path).path), list[int]()
        monkeypatch.setattr(reading, "first_not_finite", lambda block: checked.append(len(block)))
        blocks = cache.blocks(4)
        next(blocks)
        assert checked == [4]
        collections.deque(blocks, maxlen=0)
        list(cache.blocks(4))
        assert checked == [4, 4, 2, 4, 4, 2, 4, 1]

    def test_without_sample_names(self, torn: Path) -> None:
        (torn / "samples.txt").unlink()
        with pytest.raises(InputError, match="feature row 14 holds"):
            _ = open_cache(torn).features

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    @pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_first_not_finite(self, dtype: type, value: float, order: Any) -> None:
        block = np.zeros((6, 2, 3), dtype, order=order)
        block[0, 0, 0], block[1, 0, 0] = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
        assert first_not_finite(block) is None
        block[4, 1, 2] = block[5] = value
        assert first_not_finite(block) == 4
        assert first_not_finite(block[:0]) is None


class TestClasses:
    """K: class names, manifest and classifier agree, else the largest label + 1."""

    @pytest.mark.parametrize(
        ("values", "n_classes"),
        [
            ({}, 3),
            ({"head": make_head(7, 3)}, 7),
            ({"classes": ("a", "b", "c", "d")}, 4),
            ({"classes": ("a", "b", "c"), "head": make_head(3, 3)}, 3),
        ],
    )
    def test_where_k_comes_from(self, values: dict[str, Any], n_classes: int) -> None:
        cache = in_memory([3, 2], labels=np.array([0, 2, 2, 0, 0]), **values)
        assert cache.n_classes == n_classes
        assert cache.counts.tolist() == [3, 0, 2, 0, 0, 0, 0][:n_classes]
        assert cache.counts.dtype == np.int64

    @pytest.mark.parametrize(
        ("labels", "values", "fragment"),
        [
            ([0, -1, 2], {}, "label -1 of row 1 is negative"),
            ([0, 1, 2], {"head": make_head(2, 3)}, "label 2 of row 2 is not below K = 2"),
            ([3, 1, 2], {"classes": ("a", "b", "c")}, "label 3 of row 0 is not below K = 3"),
            ([0, 1, 2**62], {}, "label 4611686018427387904 of row 2 is not below"),
            ([0, 1, 2], {"classes": ("a",), "head": make_head(4, 3)}, "class names K = 1, classifier K = 4"),
            ([0, 1, 2], {"head": make_head(3, 5)}, "classifier has D = 5, its features D = 3"),
        ],
    )
    def test_labels_and_parts_must_fit(
        self, labels: list[int], values: dict[str, Any], fragment: str
    ) -> None:
        with pytest.raises(InputError, match=f"{fragment}.*\\(here\\)"):
            in_memory([3], labels=np.array(labels), **values)

    def test_no_samples(self) -> None:
        with pytest.raises(InputError, match=r"no samples \(here\)"):
            in_memory([0, 0])


class TestVerify:
    def test_counts_the_hashes_it_compared(self, tmp_path: Path) -> None:
        assert write_cache(tmp_path / "c").verify() == 3
        assert open_cache(write_bare(tmp_path / "x.safetensors")).verify() == 0

    def test_one_changed_bit(self, tmp_path: Path) -> None:
        cache = write_cache(tmp_path)
        path = tmp_path / "shard-00002.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert open_cache(tmp_path).n == cache.n
        with pytest.raises(InputError, match=r"not those the manifest recorded \(.*shard-00002.*extract"):
            open_cache(tmp_path).verify()

    def test_lines_of_samples(self, tmp_path: Path) -> None:
        write_cache(tmp_path)
        (tmp_path / "samples.txt").write_text("a\nb\n")
        with pytest.raises(InputError, match="has 2 lines for 25 samples"):
            open_cache(tmp_path).verify()
        with pytest.raises(InputError, match="has 2 lines for 25 samples"):
            _ = open_cache(tmp_path).samples


def test_shards_are_mapped_and_one_shard_is_its_features(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "many")
    assert len(cache.shards) == 3
    assert not any(shard.flags.writeable for shard in cache.shards)
    one = write_cache(tmp_path / "one", shard_rows=100)
    assert one.features is one.shards[0]
    np.testing.assert_array_equal(one.features, cache.features)
    np.testing.assert_array_equal(one.features, make_features(make_plan()).astype(np.float16))


def test_repr(tmp_path: Path) -> None:
    assert "n=25, views=2, dim=4, K=3" in repr(write_cache(tmp_path))


@settings(max_examples=20)
@given(st.integers(1, 5))
def test_samples_only_in_a_folder(n: int) -> None:
    assert in_memory([n]).samples is None
