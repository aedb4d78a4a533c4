"""Pictures that several feature caches have: each is taken once, from the first that has it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence

import numpy as np

from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.features.manifest import JOINED, command_of
from ltfix.filemap import release
from ltfix.progress import Progress

_BLOCK = 1024
# How far two rows lie apart, all values together and each on average (Caltech-101, tf_efficientnet_lite0).
# One picture at another batch size, threads or dtype: up to 0.0002 and 0.0001; computed in float16 beside
# float32: 0.0075 and 0.028. Pictures of one class (143,617 pairs): 1.1 and 0.77 for half, 0.051 and 0.101 for
# the nearest but a photo that was saved anew, 0.0105 and 0.022. bfloat16 beside float32, 0.047 and 0.105 for
# half, is not known again, as similar pictures lie as near.
TOLERANCE = 0.01
_ON_AVERAGE = 0.05  # so that a large value alone does not decide
_PARTS, _VALUES = 4, 32
"""So many parts of a row, each of so many values, of which one must be equal for two rows to be compared."""
_LEAST, _MOST = 8, 1 << 22
_UNSURE = 2
"""Last bits of a float16 that may differ where one picture was in two batches."""
_MADE_UP = re.compile(r"[^/]+:\d+")


def made_up(file: str, row: int) -> str:
    """The name of a row of a file that names no samples, which says nothing of its picture."""
    return f"{file}:{row}"


@dataclasses.dataclass(frozen=True)
class Share:
    """What a cache gives to the joined one: of its ``samples`` and ``labels`` [n] those ``kept`` [n] bool."""

    cache: FeatureCache
    samples: Sequence[str]
    labels: np.ndarray
    kept: np.ndarray

    @functools.cached_property
    def named(self) -> np.ndarray:
        """Which samples [n] bool have a name of their own, not one that an import made up."""
        manifest, n = self.cache.manifest, self.cache.n
        if self.cache.samples is None:
            return np.zeros(n, bool)
        if manifest is None or command_of(manifest.source) != "import":
            return np.ones(n, bool)
        return np.fromiter((_MADE_UP.fullmatch(name) is None for name in self.samples), bool, n)

    @functools.cached_property
    def codes(self) -> np.ndarray:
        """What parts of each row hold, [n, P] uint64; 0 where that is nothing but zeros."""
        dim, blocks = self.cache.dim, list[np.ndarray]()
        parts = min(_PARTS, dim // 4)
        columns = np.linspace(0, dim - 1, min(dim, parts * _VALUES)).astype(np.int64)
        columns = columns[: len(columns) // parts * parts]
        factors = np.random.default_rng(0).integers(1 << 63, size=len(columns), dtype=np.uint64) | 1
        for shard in self.cache.shards:
            for start in range(0, len(shard), _BLOCK):
                with np.errstate(over="ignore"):
                    x = shard[start : start + _BLOCK, 0][:, columns].astype(np.float16)
                bits = (x.view(np.uint16) >> _UNSURE).astype(np.uint64) * factors
                blocks.append(bits.reshape(len(x), parts, -1).sum(2, dtype=np.uint64))
            release(shard)
        return np.concatenate(blocks)

    def shards(self) -> list[np.ndarray | KeptRows]:
        """The kept rows; a shard of which all are stays what it is."""
        starts = np.cumsum([len(shard) for shard in self.cache.shards])[:-1]
        parts = zip(self.cache.shards, np.split(self.kept, starts), strict=True)
        return [shard if own.all() else KeptRows(shard, np.flatnonzero(own)) for shard, own in parts]


class KeptRows:
    """Some rows [m] of a shard [n, V, D], read when a slice of them is taken."""

    def __init__(self, shard: np.ndarray, rows: np.ndarray) -> None:
        self._shard, self._rows = shard, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: slice) -> np.ndarray:
        found: np.ndarray = self._shard[self._rows[index]]
        release(self._shard)
        return found


def leave_out(shares: Sequence[Share], classes: Sequence[str], progress: Progress) -> None:
    """Keep of each what no earlier one has, and say how many that leaves out.

    A picture is the same where its name and its features are; other pictures of one name are told, too. One
    without a name of its own is kept.

    Args:
        classes: names of the numbers that labels are.

    Raises:
        InputError: a picture has another label in a later one.
    """
    nameless = [str(one.cache.path) for one in shares if not one.named.any()]
    if nameless and len(shares) > 1:
        told = f"pictures without names cannot be known as those of another: all of {', '.join(nameless)}"
        progress.note(f"{told} are taken")
    for a, b in itertools.combinations(shares, 2):
        pairs = _of_one_name(a, b)
        same = pairs[alike(a.cache, b.cache, pairs)]
        twice = np.unique(same[:, 1])
        _demand_labels(a, b, same, classes)
        b.kept[twice] = False
        if len(twice):
            n, first = len(twice), b.samples[twice[0]]
            told = f"{n} pictures of {b.cache.path} are in {a.cache.path} too and are taken once: {first}, …"
            once = f"1 picture of {b.cache.path} is in {a.cache.path} too and is taken once: {first}"
            progress.note(told if n > 1 else once)
        others = np.setdiff1d(pairs[:, 1], twice)
        if len(others):
            told, first = f"names in both {a.cache.path} and {b.cache.path}", b.samples[others[0]]
            progress.note(f"{told}, of other pictures or another precision: {len(others)} ({first}, …)")


def tell_tested(shares: Sequence[Share], test: FeatureCache, progress: Progress) -> None:
    """Say how many of the pictures are test samples, too, by name and features or by equal features.

    Not where a cache that was joined of the test's own is among them.
    """
    manifests = [one.cache.manifest for one in shares]
    joined = [part["fingerprint"] for own in manifests if own for part in own.source.get(JOINED, ())]
    if test.dim != shares[0].cache.dim or test.samples is None or test.fingerprint in joined:
        return
    tested, found = Share(test, test.samples, test.labels, np.ones(test.n, bool)), list[np.ndarray]()
    for one in shares:
        pairs = _of_one_name(one, tested)
        found += [pairs[alike(one.cache, test, pairs), 1], of_equal_features(one, tested)[:, 1]]
    rows = np.unique(np.concatenate(found))
    if len(rows):
        those = f"pictures of {test.path} are" if len(rows) > 1 else f"picture of {test.path} is"
        told = f"{len(rows)} {those} among these ({test.samples[rows[0]]}{', …' if len(rows) > 1 else ''})"
        progress.note(f"{told}: what is fitted on these does too well there")


def _of_one_name(a: Share, b: Share) -> np.ndarray:
    """Rows of both that have one name, [m, 2], in the order of ``b``, of which the kept are asked."""
    asked = b.kept & b.named
    names = set(itertools.compress(b.samples, asked))
    place: dict[str, list[int]] = {}  # a joined cache may have different pictures of one name
    for row, name in itertools.compress(enumerate(a.samples), a.named):
        if name in names:
            place.setdefault(name, []).append(row)
    rows = itertools.compress(enumerate(b.samples), asked)
    found = [(own, row) for row, name in rows for own in place.get(name, ())]
    return np.array(found, np.int64).reshape(-1, 2)


def of_equal_features(a: Share, b: Share) -> np.ndarray:
    """Rows of both, [m, 2], that are one picture by their features, whatever they are called.

    Of the kept ones, those that have a part in common to the bit; of several such in ``a`` the first. Rows of
    few values say too little, and of more than ``_MOST`` none is compared.
    """
    ours, theirs, found = np.flatnonzero(a.kept), np.flatnonzero(b.kept), [np.empty((0, 2), np.int64)]
    if a.cache.dim >= _LEAST and min(len(ours), len(theirs)) > 0 and max(len(ours), len(theirs)) <= _MOST:
        for part in range(a.codes.shape[1]):
            x, y = a.codes[ours, part], b.codes[theirs, part]
            known, first = np.unique(x, return_index=True)
            order = np.argsort(y)  # for the cache: places are then found in their order
            place = np.searchsorted(known, y[order]).clip(max=len(known) - 1)
            hit = (y[order] != 0) & (known[place] == y[order])
            found.append(np.stack([ours[first[place[hit]]], theirs[order[hit]]], 1))
    pairs = np.unique(np.concatenate(found), axis=0)
    same: np.ndarray = pairs[alike(a.cache, b.cache, pairs)]
    return same


def alike(a: FeatureCache, b: FeatureCache, pairs: np.ndarray) -> np.ndarray:
    """Which pairs of rows have the same features, [m] bool, by the views that are not random: those are drawn
    by the row."""
    views, found = min(a.tested_views, b.tested_views), np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _BLOCK):
        rows = pairs[start : start + _BLOCK]
        x, y = (c.rows(own)[:, :views].astype(np.float32) for c, own in zip((a, b), rows.T, strict=True))
        apart, size = np.abs(x - y), np.abs(x) + np.abs(y)
        near = apart.sum((1, 2)) <= TOLERANCE * np.abs(x).sum((1, 2))
        each = np.divide(apart, size, out=np.zeros_like(apart), where=size > 0).sum((1, 2))
        found[start : start + _BLOCK] = near & (each <= _ON_AVERAGE * (size > 0).sum((1, 2)))
        for shard in (*a.shards, *b.shards):
            release(shard)
    return found


def _demand_labels(a: Share, b: Share, same: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse pictures (InputError), rows [m, 2] of both, that have another label in ``b`` than in ``a``."""
    ours, theirs = a.labels[same[:, 0]], b.labels[same[:, 1]]
    at_odds = np.setdiff1d(same[:, 1], same[ours == theirs, 1])
    if not len(at_odds):
        return
    first, n = (same[:, 1] == at_odds[0]).argmax(), len(at_odds)
    many = f"{n} pictures of {b.cache.path} have" if n > 1 else f"a picture of {b.cache.path} has"
    names = f"{b.samples[at_odds[0]]} is {classes[theirs[first]]!r}, there {classes[ours[first]]!r}"
    what = f"{many} another label in {a.cache.path}: {names}"
    raise InputError(what, hint="correct the labels of one of them and make its features anew")
