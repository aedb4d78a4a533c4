"""Pictures that a later cache has under another label, as where one was corrected, or under another name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ltfix.features.cache import FeatureCache
from ltfix.filemap import release
from ltfix.importing.overlap import TOLERANCE, Share, alike, of_equal_features
from ltfix.progress import Progress

_BLOCK = 1024
_VALUES = 32  # of a picture's that are compared first: most other pictures differ there, too
_WIDE = 3 * TOLERANCE  # of a part of the values, since all are compared after it
_NEIGHBOURS = 16  # either side, by the sum of those, that one is held against: this bounds the time


def tell_moved(shares: Sequence[Share], progress: Progress) -> None:
    """Say how many pictures of each an earlier one has in another folder under another label, or by features
    that are equal under another name.

    They are taken, as data sets have one picture in two classes, on purpose or not.
    """
    for a, b in itertools.combinations(shares, 2):
        pairs, renamed = _candidates(a, b), of_equal_features(a, b)
        renamed = renamed[a.named[renamed[:, 0]] & b.named[renamed[:, 1]]]
        apart = a.labels[renamed[:, 0]] != b.labels[renamed[:, 1]]
        pairs = np.unique([*pairs[alike(a.cache, b.cache, pairs)], *renamed[apart]], axis=0).reshape(-1, 2)
        where = f"{a.cache.path} under another"
        if len(pairs):
            wrong = (
                "those whose labels are wrong" if len({*pairs[:, 1]}) > 1 else "the one whose label is wrong"
            )
            progress.note(f"{_told(a, b, pairs, f'{where} label')}: remove {wrong}, and make that cache anew")
        if not apart.all():
            progress.note(_told(a, b, renamed[~apart], f"{where} name"))


def _told(a: Share, b: Share, pairs: np.ndarray, where: str) -> str:
    n, (row, own) = len(np.unique(pairs[:, 1])), min((row, own) for own, row in pairs.tolist())
    first = f"{b.samples[row]}, there {a.samples[own]}"
    if n == 1:
        return f"1 picture of {b.cache.path} is in {where}: {first}; both are taken"
    return f"{n} pictures of {b.cache.path} are in {where}: {first}, …; all are taken"


def _candidates(a: Share, b: Share) -> np.ndarray:
    """Rows of both [m, 2], of one file name and of different labels, whose features may be alike."""
    (ours, first), (theirs, second) = _of_one_file(a, b)
    views = min(a.cache.tested_views, b.cache.tested_views)
    (x, x_size), (y, y_size) = _some(a.cache, ours, views), _some(b.cache, theirs, views)
    scale = 3 * max(x_size.max(initial=0), y_size.max(initial=0)) or 1  # of two names nothing is near
    keys = first + x_size / scale
    order = np.argsort(keys)
    keys, ours, x, x_size = (each[order] for each in (keys, ours, x, x_size))
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(theirs), _BLOCK):
        part = slice(start, start + _BLOCK)
        one, other = _neighbours(keys, second[part] + y_size[part] / scale, _WIDE * y_size[part] / scale)
        other += start
        apart = a.labels[ours[one]] != b.labels[theirs[other]]
        one, other = one[apart], other[apart]
        near = np.abs(x[one] - y[other]).sum(1) <= _WIDE * x_size[one]
        found.append(np.stack([ours[one[near]], theirs[other[near]]], 1))
    return np.concatenate(found)


def _of_one_file(a: Share, b: Share) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of both the rows whose names end as one of the other does, and a number for each such end."""
    rows = [np.flatnonzero(one.kept & one.named) for one in (a, b)]
    names = [itertools.compress(one.samples, one.kept & one.named) for one in (a, b)]
    ends = [[name.rpartition("/")[2] for name in own] for own in names]
    number = {end: at for at, end in enumerate(set(ends[0]).intersection(ends[1]))}
    numbers = [np.fromiter((number.get(end, -1) for end in own), np.int64, len(own)) for own in ends]
    return [(row[own >= 0], own[own >= 0]) for row, own in zip(rows, numbers, strict=True)]


def _some(cache: FeatureCache, rows: np.ndarray, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Some of the values of rows [m], evenly spaced, [m, S] float32, and the sum of their sizes, [m]."""
    step = -(-views * cache.dim // _VALUES)
    blocks = [np.empty((0, len(range(0, views * cache.dim, step))), np.float32)]
    for start in range(0, len(rows), _BLOCK):
        x = cache.rows(rows[start : start + _BLOCK])[:, :views]
        blocks.append(x.reshape(len(x), -1)[:, ::step].astype(np.float32))
        for shard in cache.shards:
            release(shard)
    values = np.concatenate(blocks)
    return values, np.abs(values).sum(1, dtype=np.float64)


def _neighbours(keys: np.ndarray, asked: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places in sorted keys and in those that are asked, not further apart than ``width``."""
    middle = np.searchsorted(keys, asked)
    low = np.maximum(np.searchsorted(keys, asked - width), middle - _NEIGHBOURS)
    many = np.minimum(np.searchsorted(keys, asked + width, side="right"), middle + _NEIGHBOURS) - low
    ends = np.cumsum(many)
    place = np.arange(ends[-1]) + np.repeat(low - (ends - many), many)
    return place, np.repeat(np.arange(len(asked)), many)
