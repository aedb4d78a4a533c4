"""Arrays of features: rows of several shards, and values that are no numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GIVEN = "leave such rows out, or replace these values (numpy.nan_to_num)"
"""What to do about NaN where features were given and no backbone can be asked again."""


def gather(shards: Sequence[np.ndarray], rows: np.ndarray, view: np.ndarray | None = None) -> np.ndarray:
    """Rows [...] of a cache, counted through its shards, as stored; only their pages are read.

    Args:
        shards: [n_i, V, D] each.
        view: [...], which view of each row.

    Returns:
        [..., V, D], or [..., D] with ``view``.
    """
    if len(shards) == 1:
        found: np.ndarray = shards[0][rows] if view is None else shards[0][rows, view]
        return found
    starts = np.cumsum([0, *(len(shard) for shard in shards)])
    owner = np.searchsorted(starts, rows, side="right") - 1
    out = np.empty((*rows.shape, *shards[0].shape[1 if view is None else 2 :]), shards[0].dtype)
    for number in np.unique(owner):
        mine = owner == number
        local = rows[mine] - starts[number]
        out[mine] = shards[number][local] if view is None else shards[number][local, view[mine]]
    return out


def first_not_finite(block: np.ndarray) -> int | None:
    """The first row of [m, V, D] with a NaN or Inf, or None."""
    if block.dtype == np.float16:  # numpy's float16 arithmetic is slow; all exponent bits set says the same
        bad = (np.ascontiguousarray(block).view(np.uint16) & 0x7C00) == 0x7C00
    else:
        bad = ~np.isfinite(block)
    if not bad.any():
        return None
    return int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
