"""Many, Medium and Few: the classes grouped by how many training samples they have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ltfix.errors import UsageError

SHOTS = ("many", "medium", "few")
MANY, FEW = 100, 20
_NAMED = 5


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """Which shot each class belongs to, and by what rule.

    Attributes:
        counts: [K] int64 training samples per class.
        many, few: Many is n > many, Few is n < few, Medium the rest.
        of: [K] 0, 1 or 2, the index into ``SHOTS``.
    """

    counts: np.ndarray
    many: int
    few: int
    of: np.ndarray

    @property
    def n_classes(self) -> dict[str, int]:
        """Classes per shot."""
        sizes = np.bincount(self.of, minlength=len(SHOTS))
        return {shot: int(size) for shot, size in zip(SHOTS, sizes, strict=True)}

    def rule(self) -> str:
        """The boundaries and the classes per shot in one line, and how many of Few have no sample at all."""
        size, empty = self.n_classes, int((self.counts == 0).sum())
        without = f" ({empty} without a training sample)" if empty else ""
        return (
            f"Many n > {self.many}: {size['many']} classes, Medium {self.few} ≤ n ≤ {self.many}: "
            f"{size['medium']}, Few n < {self.few}: {size['few']}{without}"
        )

    def to_dict(self) -> dict[str, object]:
        """The boundaries and the classes per shot as JSON."""
        return {"many": self.many, "few": self.few, "n_classes": self.n_classes}


def demand_bounds(many: int, few: int) -> None:
    """Refuse boundaries by which a class could be Many and Few, or a negative one (UsageError)."""
    if few > many + 1 or few < 0:
        hint = "Many is n > many, Few is n < few: few may be at most many + 1"
        raise UsageError(f"the shot boundaries many = {many} and few = {few} overlap", hint=hint)


def told_absent(
    held: np.ndarray, counts: np.ndarray, names: Sequence[str] | None, where: object
) -> list[str]:
    """A line where validation samples have none of some classes with training samples.

    Args:
        held: [N] their labels. counts: [K] training samples per class. names: of the K classes.
        where: what to call the validation samples.
    """
    k = len(counts)
    absent = np.flatnonzero((counts > 0) & (np.bincount(held, minlength=k)[:k] == 0))
    if not len(absent):
        return []
    known = dict(enumerate(names or ()))
    first = ", ".join(known.get(index, str(index)) for index in absent[:_NAMED].tolist())
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    have = "has" if len(absent) == 1 else "have"
    told = f"{len(absent)} of {k} classes {have} no sample in {where}"
    return [f"{told}, and no part in what is chosen or scored there: {first}{more}"]


def group(counts: np.ndarray, many: int = MANY, few: int = FEW) -> Shots:
    """The classes grouped by their training samples n: Many is n > ``many``, Few is n < ``few``.

    The defaults are those of the decoupling paper (Kang et al., 2020) and of most published code; the
    code of SAMN and GLMC counts n = 20 as Few, which is ``few=21``.

    Args:
        counts: [K] training samples per class; a class with none is Few.
        many, few: the boundaries.

    Raises:
        UsageError: the boundaries overlap (a class could be Many and Few), or one is negative.
    """
    demand_bounds(many, few)
    counts = np.asarray(counts, np.int64)
    return Shots(counts, many, few, np.where(counts > many, 0, np.where(counts < few, 2, 1)))
