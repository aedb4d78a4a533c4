"""Processes that torchrun started: what the others do when the first has ended."""

from __future__ import annotations

import pytest

from ltfix import ranks
from ltfix.progress import SILENT
from ltfix.ranks import OneProgress, Ranks


class Ended:
    """The table of a first process that is gone."""

    def add(self, key: str, n: int) -> int:
        raise RuntimeError("Connection was likely closed")


def test_only_the_first_needs_the_table_for_its_progress(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ranks, "store", Ended)
    for rank in (1, 0):
        monkeypatch.setattr(ranks, "ranks", lambda rank=rank: Ranks(rank, 2))
        progress = OneProgress(SILENT)
        progress.start("extract", 10, "images")
        if rank:
            progress.advance(3)
        else:
            with pytest.raises(RuntimeError):
                progress.advance(3)
