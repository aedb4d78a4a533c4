"""What is to be evaluated: heads from files or memory, the stage-1 classifier, the training counts."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix.errors import InputError
from ltfix.features.foreign import ask_from_1
from ltfix.features.manifest import is_cache
from ltfix.features.provenance import demand_alike
from ltfix.features.read import CacheLike, FeatureCache, open_cache
from ltfix.files import completed
from ltfix.heads.head import BEFORE, EXPORTS, STAGE1, Head, load_head
from ltfix.tensorfile import load_tensors

HeadOrPath = Head | CacheLike
_ALONE = (
    "evaluate heads of each number of classes in a command of their own, since they know their counts; "
    "a report of the one is a baseline for the other"
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NamedHead:
    """One row of a report.

    Attributes:
        name: the head's own (``Head.named``), else the file's stem, "stage-1" or "probe", behind the folder's
            where files share it: "heads/ci", "other/ci"; of a head in memory its method, numbered from the
            second of that name on: "samn", "samn-2".
        head: the classifier.
    """

    name: str
    head: Head

    @property
    def path(self) -> str | None:
        """The head's file, None for a head in memory and for a cache's own classifier."""
        return None if self.head.path is None else str(self.head.path)

    @property
    def where(self) -> str:
        """What an error calls it: its file, else its name."""
        return self.path or self.name

    @property
    def is_start(self) -> bool:
        """Whether it is what stage 2 started from: the stage-1 classifier, or the probe in its place."""
        return self.head.method in BEFORE

    def to_dict(self) -> dict[str, str | None]:
        """Name, path and method, as every report begins a row."""
        return {"name": self.name, "path": self.path, "method": self.head.method}


def open_given(path: HeadOrPath) -> Head | FeatureCache:
    """Open a head file, or a feature cache in its place (else InputError); what is open stays."""
    if isinstance(path, Head):
        return path
    if not isinstance(path, str | Path):
        return open_cache(path)
    path = completed(path)
    if path.is_dir() or path.suffix == ".npz":
        return open_cache(path)
    tensors = {} if path.suffix in EXPORTS else load_tensors(path)[0]
    return open_cache(path) if "features" in tensors else load_head(path)


def heads_in(item: HeadOrPath) -> Sequence[HeadOrPath]:
    """The heads of a folder that is no cache, as `compare` keeps them, by name; of anything else none."""
    if not item or not isinstance(item, str | Path) or not Path(item).is_dir() or is_cache(Path(item)):
        return []
    return sorted(Path(item).glob("*.safetensors"), key=lambda path: path.stem)


def open_together(
    heads: HeadOrPath | Sequence[HeadOrPath] | None, cache: CacheLike
) -> tuple[list[Head | FeatureCache], FeatureCache]:
    """What is to be evaluated, and the cache; all labels numbered as the class names of heads are.

    Raises:
        InputError: one is neither, or torn; one knows names where another, bare one knows numbers alone.
    """
    given = [heads] if isinstance(heads, Head | FeatureCache | str | Path) else heads or []
    opened = [open_given(one) for item in given for one in (heads_in(item) or [item])]
    tested = open_cache(cache)
    if any(isinstance(item, Head) and not item.classes for item in opened):
        for one in (*opened, tested):
            if isinstance(one, FeatureCache):
                one.numbered(())  # which refuses names that may count otherwise than such a head's rows
    named = [item for item in opened if item.classes]
    named.sort(key=lambda item: isinstance(item, FeatureCache) and item.own_order)  # whose order may change
    known = named[0].classes if named else () if opened else None
    if known:
        opened = [item.numbered(known) if isinstance(item, FeatureCache) else item for item in opened]
    return opened, open_cache(tested, known)


def each_once(given: Sequence[Head | FeatureCache]) -> tuple[list[Head | FeatureCache], tuple[str, ...]]:
    """Each of what was opened once, however its path was spelled, and a line where one is left out.

    A link is another name of its own; a head that was changed in memory is another head.
    """
    kept, left = list[Head | FeatureCache](), list[str]()
    for item in given:
        if any(_is_again(item, before) for before in kept):
            left.append(item.name if isinstance(item, Head) and item.path is None else str(item.path))
        else:
            kept.append(item)
    return kept, (f"Named more than once, taken once: {', '.join(dict.fromkeys(left))}.",) if left else ()


def _is_again(one: Head | FeatureCache, other: Head | FeatureCache) -> bool:
    if one is other or one.path is None or other.path is None:
        return one is other
    ours, theirs = (path.parent.resolve() / path.name for path in (one.path, other.path))
    if isinstance(one, Head) and isinstance(other, Head):
        return ours == theirs and one.label == other.label and one.pack(ours) == other.pack(theirs)
    if not (isinstance(one, FeatureCache) and isinstance(other, FeatureCache)):
        return False
    same = ours == theirs and ours.exists()  # arrays in memory have no place
    return same and one.identity == other.identity  # a file may be read by other keys


def collect(
    heads: HeadOrPath | Sequence[HeadOrPath] | None, cache: FeatureCache
) -> tuple[list[NamedHead], np.ndarray]:
    """The rows of a report, stage 1 first, and the training counts that decide the shots.

    A cache among ``heads`` stands for its stage-1 classifier, else for the probe that was
    kept beside it, and for its counts; without one the stage-1 row is the evaluated cache's own. The counts
    are those of a cache among ``heads``, else of the fitted heads, else of the evaluated cache's classifier.

    Raises:
        InputError: nothing to evaluate; unknown or contradicting counts; a head that differs from the
            cache in class names.
    """
    cache.demand_labels()
    opened, _ = open_together(heads, cache)
    caches = [item for item in opened if isinstance(item, FeatureCache)]
    rows = [
        NamedHead(item.method if item.method in BEFORE and not item.label else item.name, item)
        for item in opened
        if isinstance(item, Head)
    ]
    starts = [item.head or item.kept_probe() for item in caches]
    baselines = [NamedHead(start.method, start) for start in starts if start is not None]
    if not baselines and not any(row.is_start for row in rows) and cache.head is not None:
        baselines = [NamedHead(STAGE1, cache.head)]
    rows = _distinct([*baselines, *sorted(rows, key=lambda row: not row.is_start)])
    if not rows:
        what = "no head to evaluate: the cache has no stage-1 classifier"
        makes = '`ltfix.fit(..., method="ce")` makes the first, of a linear probe'
        hint = f"give a head, or a training cache with its classifier; {makes}"
        raise InputError(what, where=cache.path, hint=hint)
    check_names(rows, [cache, *caches])
    return rows, _counts(caches, rows, cache)


def in_folder(name: str, path: str) -> str:
    """A head's name behind that of its file's folder; in the current folder, which has none here, alone."""
    folder = Path(path).parent.name
    return f"{folder}/{name}" if folder else name


def told_apart(heads: Sequence[tuple[str, str | None]]) -> list[str]:
    """The names of ``(name, path)``: those that several files share are `in_folder`, else as the path."""
    files = {(name, path) for name, path in heads if path}
    plain, longer = [name for name, _ in files], [in_folder(*file) for file in files]
    found = []
    for name, path in heads:
        short = in_folder(name, path) if path and plain.count(name) > 1 else name
        twice = short != name and longer.count(short) > 1
        found.append(str(Path(path).with_suffix("")) if path and twice else short)
    return found


def _distinct(rows: list[NamedHead]) -> list[NamedHead]:
    """The rows under names that no other has; a start's in memory yields to no other head."""
    told = told_apart([(row.name, row.path) for row in rows])
    rows = [dataclasses.replace(row, name=name) for row, name in zip(rows, told, strict=True)]
    found = list[NamedHead]()
    for row in rows:
        taken = {it.name for it in rows if it.path is not None and it.is_start >= row.is_start}
        taken |= {it.name for it in found}
        numbered = (row.name if i == 1 else f"{row.name}-{i}" for i in itertools.count(1))
        name = row.name if row.path is not None else next(name for name in numbered if name not in taken)
        found.append(dataclasses.replace(row, name=name))
    return found


def _counts(caches: list[FeatureCache], rows: list[NamedHead], cache: FeatureCache) -> np.ndarray:
    """[K] training samples per class, of the first group that knows them; within it all must agree."""
    given = [(str(item.path), training_counts(item)) for item in caches]
    fitted = [(row.where, row.head.counts) for row in rows if not row.is_start]
    for item, (name, counts) in zip(caches, given, strict=True):
        others = [where for where, c in fitted if c is not None and not np.array_equal(c, counts)]
        if others and is_same(item, cache):  # a gate on its shots would hold, or not, for other classes
            what = "it is what is scored, and its class counts are not those that heads were trained on"
            hint = f"leave it out, since {others[0]} knows its own, or name the training cache instead"
            raise InputError(what, where=name, hint=hint)
    first = [(row.where, row.head.counts) for row in rows if row.is_start]
    own = [(str(cache.path), None if cache.head is None else cache.head.counts)]
    for group in (given, fitted, first, own):
        known = [(name, counts) for name, counts in group if counts is not None]
        for name, counts in known[1:]:
            if not np.array_equal(counts, known[0][1]):
                k, other = len(known[0][1]), len(counts)
                hint = "give the training cache whose counts shall decide the shots before the heads: "
                hint += "`ltfix.evaluate([TRAIN, HEAD], cache=TEST)`"
                raise InputError(
                    f"{known[0][0]} and {name} come from different training counts"
                    + (f", of {k} and of {other} classes" if k != other else ""),
                    hint=hint if k == other else _ALONE,
                )
        if known:  # a bare file without its last classes does not know of them: they have no sample
            counts = known[0][1]
            return np.pad(counts, (0, max(rows[0].head.n_classes - len(counts), 0)))
    what = "the training counts are unknown, so no class has a shot"
    hint = "give the training cache before the heads: `ltfix.evaluate([TRAIN, HEAD], cache=TEST)`"
    raise InputError(what, where=rows[0].path or cache.path, hint=hint)


def training_counts(cache: FeatureCache) -> np.ndarray:
    """[K] samples per class of a training cache: those its classifier records, else its own."""
    return cache.counts if cache.head is None or cache.head.counts is None else cache.head.counts


def is_same(one: FeatureCache | None, other: FeatureCache | None) -> bool:
    """Whether two caches are the same samples: one object, one place on the disk, or a copy, by its labels
    and its first and last features."""
    if one is None or other is None:
        return False
    place = one.path.resolve()
    if one is other or (place.exists() and other.path.resolve() == place):
        return True
    if one.dim != other.dim or one.views != other.views or not np.array_equal(one.labels, other.labels):
        return False
    with np.errstate(over="ignore"):  # an imported copy may be of half precision
        ours, theirs = (np.asarray([c.shards[0][0], c.shards[-1][-1]], np.float16) for c in (one, other))
    return np.array_equal(ours, theirs)


def check_fit(row: NamedHead, cache: FeatureCache, n_classes: int) -> tuple[str, ...]:
    """Refuse a head that cannot be measured on this cache (InputError: K differs, or as `check_features`).

    Returns:
        A line where its pictures were prepared otherwise.
    """
    head, where, lines = row.head, row.where, check_features(row, cache)
    if cache.n_classes > head.n_classes:
        raise InputError(
            f"the head {where} has K = {head.n_classes} classes, the cache {cache.path} has "
            f"K = {cache.n_classes}",
            hint=(ask_from_1(cache.counts, cache.classes) if cache.n_classes == head.n_classes + 1 else None)
            or "a test cache may hold fewer classes than the head, never more; `ltfix predict` takes such",
        )
    if head.n_classes != n_classes:
        told = (
            f"the head {where} has K = {head.n_classes} classes, the training counts are of K = {n_classes}"
        )
        raise InputError(told, hint=_ALONE)
    return lines


def check_features(row: NamedHead, cache: FeatureCache) -> tuple[str, ...]:
    """Refuse a head of other features (InputError), with a line where pictures were prepared otherwise."""
    if row.head.dim != cache.dim:
        what = f"the head {row.where} has D = {row.head.dim}, the cache {cache.path} has D = {cache.dim}"
        raise InputError(what, hint="evaluate a head on features of the backbone it was fitted on")
    return demand_alike(row.head, cache, row.where)


def check_names(rows: list[NamedHead], caches: list[FeatureCache]) -> None:
    """Refuse heads and caches that number the same classes otherwise (InputError)."""
    named = [(row.where, row.head.classes) for row in rows] + [(str(it.path), it.classes) for it in caches]
    known = [(name, classes) for name, classes in named if classes]
    for name, classes in known[1:]:
        for index, (ours, theirs) in enumerate(zip(known[0][1], classes, strict=False)):
            if ours != theirs:
                what = f"class {index} is {ours!r} in {known[0][0]} and {theirs!r} in {name}"
                hint = "labels and heads must number the same classes alike"
                if set(known[0][1]) == set(classes):  # as names, or as the head began with, numbers them
                    hint += (
                        ": classes=FILE of `ltfix import` numbers them, `ltfix.open_cache` too; fit on that"
                    )
                raise InputError(what, hint=hint)


def class_names(rows: list[NamedHead], cache: FeatureCache) -> tuple[str, ...] | None:
    """The K class names where any head knows them, else the cache's."""
    return next((row.head.classes for row in rows if row.head.classes), cache.classes)
