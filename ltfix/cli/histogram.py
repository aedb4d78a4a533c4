"""Class counts as a histogram in text, for any number of classes in a screenful."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ltfix.errors import readable

WIDTH = 80
LINES = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def draw(
    counts: Sequence[int],
    names: Sequence[str] | None = None,
    *,
    by_count: bool = True,
    every: bool = False,
    ascii_only: bool = False,
    width: int = WIDTH,
) -> list[str]:
    """One line a class; of more than 24 classes, one line for each of 24 groups of neighbours.

    A group shows its mean as the bar and its largest and smallest count as numbers.

    Args:
        counts: samples per class, in index order.
        names: class names; default: the indices.
        by_count: most first (ties by index) instead of index order.
        every: one line a class however many there are.
        ascii_only: draw with ``#``.
        width: columns to fill.
    """
    order = sorted(range(len(counts)), key=lambda k: -counts[k]) if by_count else list(range(len(counts)))
    groups = [[k] for k in order] if every or len(order) <= LINES else _neighbours(order)
    labels = [_label(group, groups, names, by_count) for group in groups]
    figures = [_figure([counts[k] for k in group]) for group in groups]
    wide, numbers = min(max(map(len, labels)), 30), max(map(len, figures))
    room, most = width - wide - numbers - 2, max(*counts, 1)
    means = [sum(counts[k] for k in group) / len(group) for group in groups]
    return [
        f"{cut(label, wide):<{wide}} {figure:>{numbers}} {_bar(mean / most, room, ascii_only)}".rstrip()
        for label, figure, mean in zip(labels, figures, means, strict=True)
    ]


def _neighbours(order: list[int]) -> list[list[int]]:
    """``LINES`` runs of nearly equal length."""
    edges = [len(order) * i // LINES for i in range(LINES + 1)]
    return [order[a:b] for a, b in itertools.pairwise(edges)]


def _label(group: list[int], groups: list[list[int]], names: Sequence[str] | None, by_count: bool) -> str:
    if len(groups) == sum(map(len, groups)):
        return readable(str(group[0]) if names is None else names[group[0]])
    if by_count:
        first = sum(len(g) for g in groups[: groups.index(group)]) + 1
        return f"rank {first}" + (f"–{first + len(group) - 1}" if len(group) > 1 else "")
    return f"class {group[0]}" + (f"–{group[-1]}" if len(group) > 1 else "")


def _figure(counts: list[int]) -> str:
    high, low = max(counts), min(counts)
    return str(high) if high == low else f"{high}–{low}"


def cut(text: str, width: int) -> str:
    """Text of at most ``width`` characters; ``…`` stands for what is left out."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(share: float, room: int, ascii_only: bool) -> str:
    """A bar of ``share`` of the room; anything above zero is seen."""
    if share <= 0:
        return ""
    if ascii_only:
        return "#" * max(1, round(share * room))
    eighths = max(1, round(share * room * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
