"""What heads began with, which nobody named: the row of stage 1 or the probe, and the counts behind it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ltfix.cli import console
from ltfix.cli.caches import USUAL_NAMES, cache_of, known_caches, open_named, project_of, usual

if TYPE_CHECKING:
    from ltfix.cli.options import ArrayNames
    from ltfix.evaluation.given import HeadOrPath
    from ltfix.evaluation.measure import Evaluation
    from ltfix.features.cache import FeatureCache
    from ltfix.heads.head import Head


def told_of_gone(heads: Evaluation, work: Path) -> Evaluation:
    """Where a head of the project is of features that are not in it, that is why it has no start."""
    untold = usual(work, "train") is None or any((work / "features").glob("*.npz"))  # which tell nothing
    if not heads.no_start or untold:
        return heads
    known = [row for row in heads.rows if row.path and row.head.meta.get("cache")]
    ours = [row for row in known if project_of(Path(row.path or "")).resolve() == work.resolve()]
    there = known_caches(work) if ours else {}
    gone = [row.name for row in ours if str(row.head.meta["cache"]) not in there]
    if not gone:
        return heads
    why = f"{gone[0]} was fitted on features that are not, or no longer, in features/"
    return dataclasses.replace(heads, no_start=f"{why}: fit it again, or name them first")


def with_start(
    chosen: Sequence[HeadOrPath], cache: FeatureCache, work: Path, names: ArrayNames
) -> Sequence[HeadOrPath]:
    """What was chosen, behind the classifier in the features of the project that a head was fitted on, in
    features/train before others, or the probe that is kept there (or the cache, to say that it has neither).

    Where heads in heads/ come from several training counts, features/train itself, whose counts decide; of
    heads of another number of classes, the largest of the caches that they were fitted on.
    """
    from ltfix.evaluation.given import open_given
    from ltfix.heads.head import BEFORE, Head

    opened, place = list(map(open_given, chosen)), usual(work, "train")
    heads = [head for head in opened if isinstance(head, Head) and head.method not in BEFORE]
    several = len({tuple(head.counts) for head in heads if head.counts is not None}) > 1
    if len(heads) < len(opened) or not (several or cache.head is None):
        return opened
    folder = (work / "heads").resolve()
    if several and any(head.path is None or head.path.parent.resolve() != folder for head in heads):
        return opened
    train = None if place is None else _unnamed(place, names)
    if several:
        counts = train is not None and _counts_for(train, heads, cache)
        counting = train if counts else _largest(heads, cache, work, names)
        return [counting, *opened] if counting else opened
    if train is None or not any(_is_of(head, train) for head in heads):
        each = {(str(head.meta.get("cache")), head.path and head.path.parent): head for head in heads}
        place = next(filter(None, (cache_of(head, work) for head in each.values())), None)
        train = None if place is None else _unnamed(place, names)
    return [train.head or train.kept_probe() or train, *opened] if train else opened


def _counts_for(it: FeatureCache, heads: Sequence[Head], cache: FeatureCache) -> bool:
    return (it.dim, it.n_classes) == (cache.dim, heads[0].n_classes)


def _largest(
    heads: Sequence[Head], cache: FeatureCache, work: Path, names: ArrayNames
) -> FeatureCache | None:
    """The largest of the caches that heads were fitted on, but for damaged ones, which nobody named."""
    from ltfix.errors import LtfixError

    found: list[FeatureCache] = []
    for path in dict.fromkeys(filter(None, (cache_of(head, work) for head in heads))):
        with contextlib.suppress(LtfixError):
            found.append(open_named(path, names))
    return max((it for it in found if _counts_for(it, heads, cache)), key=lambda it: it.n, default=None)


def _unnamed(place: Path, names: ArrayNames) -> FeatureCache | None:
    """The training cache, which nobody named; a file that cannot be read is left out.

    It may have the test file's names of arrays, or the usual ones.
    """
    from ltfix.errors import InputError

    if place.is_dir():
        return open_named(place, names)
    for tried in dict.fromkeys((names, USUAL_NAMES)):
        try:
            return open_named(place, tried)
        except InputError as err:
            why = err
    console.note(f"{place} is left out, which nobody named: {why.what}")
    return None


def _is_of(head: Head, train: FeatureCache) -> bool:
    """Whether it was fitted on this cache; where its file does not say, D and counts tell."""
    known, counts = head.meta.get("cache"), head.counts
    alike = head.dim == train.dim and counts is not None and counts.tolist() == train.counts.tolist()
    return known == train.identity or (known is None and train.fingerprint is None and alike)
