"""ltfix.images.split: subsets, limits, digests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pictures import write_photos

from ltfix.images.pictures import FilePictures
from ltfix.images.source import open_source
from ltfix.images.split import Split


def make_split(labels: list[int], n_classes: int) -> Split:
    names = [f"{i}.png" for i in range(len(labels))]
    return Split(
        name="train",
        samples=names,
        labels=np.array(labels, np.int64),
        classes=tuple(map(str, range(n_classes))),
        sizes=np.arange(len(labels)),
        pictures=FilePictures(Path(), names),
        kind="list",
        root="here",
    )


@given(st.integers(1, 200), st.integers(1, 300))
def test_a_limit_is_spread_evenly(n: int, limit: int):
    kept = make_split([0] * n, 2).limit(limit)
    chosen = np.array([int(name.removesuffix(".png")) for name in kept.samples])
    assert len(kept) == min(n, limit)
    assert chosen[0] == 0
    gaps = np.diff([*chosen, n])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_the_digest_sees_names_sizes_labels_and_nothing_else(tmp_path: Path):
    split = open_source(write_photos(tmp_path)).split("train")
    (tmp_path / "train" / "ant" / "00.png").touch()
    assert open_source(tmp_path).split("train").digest == split.digest
    others = [
        dataclasses.replace(split, labels=split.labels[::-1]),
        dataclasses.replace(split, sizes=split.sizes + 1),
        dataclasses.replace(split, samples=split.samples[::-1]),
        split.subset(np.arange(5)),
    ]
    assert len({split.digest, *(other.digest for other in others)}) == 5
