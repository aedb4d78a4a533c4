"""The rows of one split as a source lists them; which pictures are there twice, or in two splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from ltfix.errors import InputError
from ltfix.images.labels import Labels, whole_number
from ltfix.images.pictures import Pictures


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The rows of one split, before it is known which classes its labels are.

    Attributes:
        place: what messages call it.
        samples: N names.
        labels: of the rows.
        pictures: of the rows.
        sizes, stamps: as a :class:`Split` has them.
        notes: what the user should know of how it was read.
        by_class: whether its samples stand by class, in whatever order classes are in.
        kept: N JSON objects of the columns that the cache is to keep, if there are any.
    """

    place: str
    samples: Sequence[str]
    labels: Labels
    pictures: Pictures
    sizes: np.ndarray
    stamps: np.ndarray | None
    notes: tuple[str, ...] = ()
    by_class: bool = False
    kept: Sequence[str] | None = None


def told_repeats(table: Listing) -> str | None:
    """A note where a listing has pictures more than once.

    Raises:
        InputError: one has two labels.
    """
    hashes = _hashes(table.samples)
    order = np.argsort(hashes, kind="stable")
    again = np.flatnonzero(np.diff(hashes[order]) == 0)
    rows = sorted({*order[again].tolist(), *order[again + 1].tolist()})
    n = _compare(table, rows, table, rows)
    return f"{n:,} picture{'s are' if n > 1 else ' is'} there more than once ({table.place})" if n else None


def told_overlap(name: str, ours: Listing, train: Listing) -> str | None:
    """A note where a split has pictures of the training split.

    Raises:
        InputError: one has another label there.
    """
    bases = {(type(each.pictures), getattr(each.pictures, "root", each.place)) for each in (ours, train)}
    if len(bases) > 1:  # the same names are other pictures
        return None
    here, there = _hashes(ours.samples), _hashes(train.samples)
    rows, others = np.flatnonzero(np.isin(here, there)), np.flatnonzero(np.isin(there, here))
    n = _compare(ours, rows.tolist(), train, others.tolist())
    return f"{n:,} picture{'s' * (n > 1)} of {name} {'are' if n > 1 else 'is'} in train too" if n else None


def _hashes(samples: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(hash, samples), np.int64, len(samples))


def _compare(ours: Listing, rows: Iterable[int], theirs: Listing, others: Iterable[int]) -> int:
    """How many of ``rows`` have the name of an earlier one of ``others``, or of any in another listing."""
    known = dict[str, int]()
    for row in others:
        known.setdefault(theirs.samples[row], row)
    found = 0
    for row in rows:
        other = known.get(ours.samples[row])
        if other is None or (ours is theirs and other == row):
            continue
        found += 1
        texts = ours.labels.text(row), theirs.labels.text(other)
        if texts[0] != texts[1] and (
            whole_number(texts[0]) is None or len(set(map(whole_number, texts))) > 1
        ):
            what = f"{ours.samples[row]!r} has two labels, {texts[1]!r} and {texts[0]!r}"
            raise InputError(what, where=ours.labels.row_where(row))
    return found
