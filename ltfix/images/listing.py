"""What folders, lists, tables and archives share: rows of a name, a label and a picture, as a source."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ltfix.errors import InputError
from ltfix.images import labels as label_rules
from ltfix.images.labels import Labels
from ltfix.images.pictures import Pictures
from ltfix.images.places import is_remote
from ltfix.images.source import no_such_split, order_splits
from ltfix.images.split import Split, check_classes, check_name
from ltfix.numerals import whole_number

# rows and classes of the published long-tailed training lists
BENCHMARKS = {
    "ImageNet-LT": (115_846, 1_000),
    "Places-LT": (62_500, 365),
    "iNaturalist 2018": (437_513, 8_142),
}
_NEARLY = 0.02
_BLOCK = 1 << 14  # names looked through together


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
        once: whether no name can be there twice, so that nobody need look.
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
    once: bool = False


class ListingSource:
    """A source of tables.

    Args:
        kind: the prefix that opens it.
        root: the name of its root, no path.
        tables: the listing of each split, or what reads it when it is first asked for.
        where: what messages call it; default: its prefix.
    """

    def __init__(
        self,
        kind: str,
        root: str,
        tables: Mapping[str, Listing | Callable[[], Listing]],
        where: object = None,
    ) -> None:
        self.kind, self.root, self._where = kind, root, where or f"{kind}:"
        self._open, self._read = tables, dict[str, Listing]()

    def splits(self) -> tuple[str, ...]:
        """The splits that have a table."""
        return order_splits(list(self._open))

    def classes(self, split: str) -> tuple[str, ...]:
        """The names that the source declares; else the labels in code-point order, or the numbers up to
        the largest where they are indices."""
        table = self._table(split)
        labels = table.labels
        if labels.classes is not None:
            return check_classes(labels.classes, table.place)
        if not self._indexed(labels):
            return check_classes(sorted(labels.texts), table.place)
        return check_classes(
            [str(index) for index in range(label_rules.largest_index(labels) + 1)], table.place
        )

    def split(self, name: str, classes: Sequence[str] | None = None) -> Split:
        """One split in the order of its rows.

        Raises:
            InputError: no such split, no rows, a row without label, an index that is negative
                or not below K, a class name that is not in ``classes``, a number that may be both, two
                labels for one picture; the row is named.
        """
        table = self._table(name)
        names = self.classes(name) if classes is None else tuple(classes)
        told = (
            label_rules.told_as_names(table.labels),
            label_rules.told_as_several(table.labels),
            told_benchmark(len(table.samples), len(names)) if name == "train" else None,
            told_overlap(name, table, self._table("train"))
            if name != "train"
            and "train" in self._open
            and not table.by_class  # whose names are other pictures
            else None,
        )
        found = Split(
            name=name,
            samples=table.samples,
            labels=self._indices(table.labels, names),
            classes=names,
            sizes=table.sizes,
            pictures=table.pictures,
            kind=self.kind,
            root=self.root,
            stamps=table.stamps,
            notes=(*table.notes, *filter(None, told)),
            kept=table.kept,
        )
        if table.by_class and (np.diff(found.labels) < 0).any():
            return found.subset(np.argsort(found.labels, kind="stable"))
        return found

    def _indices(self, labels: Labels, classes: tuple[str, ...]) -> np.ndarray:
        numbers, names = self._indexed(labels, classes), set(classes)
        known = numbers and all(
            str(whole_number(text)) in names
            for split in self._open
            for text in self._table(split).labels.texts
        )
        return label_rules.indices(labels, classes, numbers=numbers, known=known)

    def _indexed(self, labels: Labels, named: Sequence[str] = ()) -> bool:
        """Whether they are class indices, which all lists decide together, unless these are names anyhow."""
        return not labels.names and label_rules.are_indices(
            {split: self._table(split).labels for split in self._open}, named
        )

    def _table(self, split: str) -> Listing:
        if split not in self._open:
            raise no_such_split(split, self.splits(), self._where)
        if split not in self._read:
            found = self._open[split]
            self._read[split] = _checked(found if isinstance(found, Listing) else found())
        return self._read[split]


def keep_inside(paths: list[str], base: str, bounded: bool, where: Callable[[int], str]) -> None:
    """Make absolute paths relative to a base, in place; ``where`` tells a row's place.

    Raises:
        InputError: a path leads out of a bounded base.
    """
    whole = os.path.realpath(base)
    for row, path in enumerate(paths):
        if os.path.isabs(path) and not is_remote(base):  # noqa: PTH117 - a million of them
            paths[row] = os.path.relpath(path, whole).replace(os.sep, "/")
        if bounded and _leads_out(paths[row], base):
            what = f"the path {path!r} leads out of root"
            raise InputError(what, where=where(row), hint="root=DIR holds them all")


def _leads_out(path: str, base: str) -> bool:
    if "://" in path:
        inside = path.removeprefix(f"{base.rstrip('/')}/")
        return inside == path or _leads_out(inside, base)
    return ".." in path and Path(os.path.normpath(path)).parts[:1] == ("..",)


def _checked(table: Listing) -> Listing:
    """The table with a note where pictures are there twice; InputError where there are no rows,
    a name holds a line break or a NUL, or a picture has two labels."""
    if not table.samples:
        raise InputError("it has no rows", where=table.place)
    for start in range(0, len(table.samples), _BLOCK):
        block = table.samples[start : start + _BLOCK]
        joined = "".join(block)  # a look at each would take longer
        if any(strange in joined for strange in "\n\r\0"):
            for row, name in enumerate(block, start):
                check_name(name, table.labels.row_where(row))
    told = None if table.once else told_repeats(table)
    return table if told is None else dataclasses.replace(table, notes=(*table.notes, told))


def told_benchmark(rows: int, classes: int) -> str | None:
    """A note where a training list has the counts of a published one, or nearly, and then what is missing."""
    for name, (n, k) in BENCHMARKS.items():
        if (rows, classes) == (n, k):
            return f"{name} by its counts: {n:,} pictures of {k:,} classes"
        if abs(rows - n) <= _NEARLY * n and abs(classes - k) <= _NEARLY * k:
            gaps = ((n - rows, "picture", "s"), (k - classes, "class", "es"))
            told = [
                f"{abs(gap):,} {one}{many * (abs(gap) > 1)} {'missing' if gap > 0 else 'too many'}"
                for gap, one, many in gaps
                if gap
            ]
            return f"nearly {name} ({n:,} pictures of {k:,} classes): {', '.join(told)}"
    return None


def told_repeats(table: Listing) -> str | None:
    """A note where a listing has pictures more than once (InputError: one has two labels)."""
    hashes = _hashes(table.samples)
    if np.diff(np.sort(hashes)).all():
        return None
    order = np.argsort(hashes, kind="stable")
    again = np.flatnonzero(np.diff(hashes[order]) == 0)
    rows = sorted({*order[again].tolist(), *order[again + 1].tolist()})
    n = _compare(table, rows, table, rows)
    return f"{n:,} picture{'s are' if n > 1 else ' is'} there more than once ({table.place})" if n else None


def told_overlap(name: str, ours: Listing, train: Listing) -> str | None:
    """A note where a split has pictures of the training split (InputError: one has another label there)."""
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
