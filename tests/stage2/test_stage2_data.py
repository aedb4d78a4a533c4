"""Features for the engine: views, batches, shards, streaming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ltfix.errors import InputError, UsageError
from ltfix.features.read import FeatureCache
from ltfix.stage2.loop import data as module
from ltfix.stage2.loop.data import Features, Visits
from ltfix.stage2.loop.scaling import Scaling

PLAIN = Scaling(scale=1.0, typical=1.0)


def numbered(n: int = 11, views: int = 3, dtype=np.float32, shards: int = 1) -> FeatureCache:
    """Row i, view v holds (i, v), so that a batch tells what it was made of."""
    features = np.stack(np.meshgrid(np.arange(n), np.arange(views), indexing="ij"), -1).astype(dtype)
    labels = np.arange(n) % 2
    return FeatureCache(Path("memory"), np.array_split(features, shards), labels)


def epoch_of(data: Features, batch_size: int = 4, seeds=(0,), epoch: int = 0, dtype=torch.float32, **plan):
    like = torch.zeros((), dtype=dtype)
    how = Visits(plan.get("sampler", "instance"), batch_size, plan.get("epochs", 5))
    return list(data.batches(how, list(seeds), epoch, scaling=PLAIN, like=like))


def seen(batches: list[tuple[Tensor, Tensor]], row: int = 0) -> np.ndarray:
    """(sample, view) of every visit, in order."""
    return torch.cat([x[row] for x, _ in batches]).numpy().astype(int)


@pytest.mark.parametrize("stream", ["never", "always"])
def test_every_sample_once_and_the_last_partial_batch_is_kept(stream: str):
    batches = epoch_of(Features.of(numbered(11), stream=stream))
    assert [tuple(x.shape) for x, _ in batches] == [(1, 4, 2), (1, 4, 2), (1, 3, 2)]
    visits = seen(batches)
    assert sorted(visits[:, 0]) == list(range(11))
    labels = torch.cat([y[0] for _, y in batches]).numpy()
    assert np.array_equal(labels, visits[:, 0] % 2)


def test_random_views_differ_by_sample_epoch_and_seed():
    data = Features.of(numbered(300))
    one = seen(epoch_of(data))
    assert set(one[:, 1]) == {0, 1, 2}
    assert np.bincount(one[:, 1]).min() > 70
    by_sample = one[np.argsort(one[:, 0]), 1]
    for other in (epoch_of(data, epoch=1), epoch_of(data, seeds=(1,))):
        visits = seen(other)
        assert not np.array_equal(by_sample, visits[np.argsort(visits[:, 0]), 1])
    assert np.array_equal(one, seen(epoch_of(data)))


def test_more_views_than_a_byte_counts():
    drawn = seen(epoch_of(Features.of(numbered(100, 300))))[:, 1]
    assert 256 < drawn.max() < 300


@pytest.mark.parametrize("stream", ["never", "always"])
def test_first_and_all_views(stream: str):
    assert set(seen(epoch_of(Features.of(numbered(), "first", stream)))[:, 1]) == {0}
    visits = seen(epoch_of(Features.of(numbered(), "all", stream)))
    assert sorted(map(tuple, visits)) == [(i, v) for i in range(11) for v in range(3)]


@pytest.mark.parametrize("views", [2, 3, 5])
def test_every_view_of_every_row_once_whatever_the_blocks(monkeypatch, views: int):
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    monkeypatch.setattr(module, "BUFFER_BYTES", 4 * views * 2 * 4 * 3)  # three blocks
    visits = seen(epoch_of(Features.of(numbered(50, views), "all", "always")))
    assert sorted(map(tuple, visits)) == [(i, v) for i in range(50) for v in range(views)]


def test_seeds_in_one_batch_draw_as_alone():
    data = Features.of(numbered(50))
    together = epoch_of(data, seeds=(3, 8))
    for row, seed in enumerate((3, 8)):
        assert np.array_equal(seen(together, row), seen(epoch_of(data, seeds=(seed,))))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float64])
def test_batches_take_the_dtype_that_trains(dtype, wanted):
    for x, y in epoch_of(Features.of(numbered(dtype=dtype)), dtype=wanted):
        assert x.dtype == wanted
        assert y.dtype == torch.int64


@pytest.mark.parametrize("views_used", ["random", "first", "all"])
def test_shards_are_one_cache(views_used: str):
    whole, parts = (Features.of(numbered(13, shards=n), views_used) for n in (1, 4))
    assert np.array_equal(seen(epoch_of(whole)), seen(epoch_of(parts)))
    assert np.array_equal(whole.mean_view(), parts.mean_view())
    index = np.array([12, 0, 5])
    assert np.array_equal(whole.take(index, np.zeros(3, int)), parts.take(index, np.zeros(3, int)))
    subset = whole.subset(np.array([1, 4, 7]))
    assert np.array_equal(subset.mean_view(), parts.subset(np.array([1, 4, 7])).mean_view())


def test_small_chunks_and_buffers_change_nothing_but_the_order(monkeypatch):
    data, streamed = (Features.of(numbered(1500, 1), stream=s) for s in ("never", "always"))
    before = seen(epoch_of(data, 32))
    monkeypatch.setattr(module, "CHUNK_VALUES", 500)
    monkeypatch.setattr(module, "BUFFER_BYTES", 256 * 2 * 4 * 2)  # two blocks
    assert np.array_equal(seen(epoch_of(data, 32)), before)
    batches = epoch_of(streamed, 32)
    assert [len(y[0]) for _, y in batches] == [32] * 46 + [28]
    assert sorted(seen(batches)[:, 0]) == list(range(1500))
    assert not np.array_equal(seen(batches), seen(epoch_of(streamed, 32, epoch=1)))


def test_what_is_streamed_is_told_by_the_cache_alone(monkeypatch):
    """Order of reading decides the head, so that no machine may choose it."""
    cache = numbered(11)
    size = sum(shard.nbytes for shard in cache.shards)
    monkeypatch.setattr("os.sysconf", lambda name: 1)  # a machine without memory
    assert not Features.of(cache).streamed
    monkeypatch.setattr(module, "RESIDENT_BYTES", size)
    assert not Features.of(cache).streamed
    monkeypatch.setattr(module, "RESIDENT_BYTES", size - 1)
    assert Features.of(cache).streamed
    assert not Features.of(cache, stream="never").streamed


def test_streaming_visits_instances_only():
    with pytest.raises(UsageError, match="sampler=class-aware"):
        epoch_of(Features.of(numbered(), stream="always"), sampler="class-aware")


def test_mean_view_is_the_mean_over_the_views_used():
    cache = numbered(5)
    assert np.array_equal(Features.of(cache).mean_view(), cache.features.mean(1))
    assert np.array_equal(Features.of(cache, "first").mean_view(), cache.features[:, 0])
    assert np.array_equal(Features.of(cache, "all").mean_view(), cache.features.reshape(-1, 2))


def test_counts_are_samples_per_class_whatever_the_views():
    cache = numbered(11)
    for views_used in ("random", "first", "all"):
        data = Features.of(cache, views_used)
        assert data.counts.tolist() == [6, 5]
    assert Features.of(cache).subset(np.array([0, 1, 3])).counts.tolist() == [1, 2]


def test_a_feature_that_is_not_finite_is_named():
    cache = numbered()
    cache.shards[0][7, 1, 0] = np.nan
    with pytest.raises(InputError, match="feature row 7"):
        Features.of(cache)
