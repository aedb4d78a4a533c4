"""ltfix.extraction.extract: the public function."""

from __future__ import annotations

from pathlib import Path

import pytest

import ltfix


def test_one_split_is_a_cache_and_several_are_a_dictionary(photos: Path, tmp_path: Path):
    cache = ltfix.extract(photos / "train", backbone="cifar_resnet32", pretrained=False, out=tmp_path / "one")
    assert isinstance(cache, ltfix.FeatureCache)
    assert (cache.path, cache.n, cache.dim) == (tmp_path / "one" / "train", 9, 64)
    caches = ltfix.extract(photos, backbone="cifar_resnet32", pretrained=False, out=tmp_path / "two")
    assert isinstance(caches, dict)
    assert {name: len(found) for name, found in caches.items()} == {"train": 9, "test": 6}


def test_an_unknown_option_is_an_error(photos: Path, tmp_path: Path):
    with pytest.raises(ltfix.UsageError, match=r"batchsize.*did you mean batch_size"):
        ltfix.extract(photos, backbone="cifar_resnet32", out=tmp_path, batchsize=3)
