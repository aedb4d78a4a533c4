"""Several fits at once: all done or none left running, and one progress for all."""

from __future__ import annotations

import threading

import pytest
import torch

from ltfix.progress import SILENT
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tuning.parallel import Crew, Stopped, Teller


class Count:
    def __init__(self) -> None:
        self.done, self.said, self.open = 0, [], 0

    def start(self, what: str, total: int, unit: str) -> None:
        self.open += 1

    def advance(self, n: int = 1) -> None:
        self.done += n

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.said.append(text)

    def finish(self) -> None:
        self.open -= 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_is_done_once_and_counted(jobs: int):
    count, done = Count(), []
    teller = Teller(count)
    with teller.task("work", 20, "items"):
        Crew(jobs).each(done.append, list(range(20)), teller)
    assert sorted(done) == list(range(20))
    assert (count.done, count.open) == (20, 0)


def test_threads_share_torch_and_give_it_back():
    before, seen = torch.get_num_threads(), []
    Crew(2).each(lambda _: seen.append(torch.get_num_threads()), [1, 2, 3], Teller(SILENT))
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_error_stops_the_others_at_their_next_epoch(jobs: int):
    teller, stopped, started = Teller(SILENT), [], threading.Event()

    def work(item: int) -> None:
        if item == 0:
            if jobs > 1:
                assert started.wait(10)
            raise RuntimeError("broken")
        started.set()
        try:
            while True:
                teller.within("other").advance()
        except Stopped:
            stopped.append(item)
            raise

    with pytest.raises(RuntimeError, match="broken"):
        Crew(jobs).each(work, [0, 1, 2, 3], teller)
    assert len(stopped) <= 2  # those that had begun


def test_notes_name_their_method_and_are_said_once():
    count = Count()
    teller = Teller(count)
    teller.within("los").note("2 of 4 classes have no training sample")
    teller.within("los").note("2 of 4 classes have no training sample")
    teller.within("ce").note("ce is worse on the validation samples")
    teller.within(None).note("of all")
    teller.within("quiet", quiet=True).note("nothing")
    assert count.said == [
        "los: 2 of 4 classes have no training sample",
        "ce is worse on the validation samples",
        "of all",
    ]


def test_large_heads_and_streams_go_one_by_one(draw_cache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    small = Material(draw_cache([6, 4]), None, Options(), 0)
    assert Crew.of(small).jobs == 4
    assert Crew.of(Material(draw_cache([6, 4]), None, Options(stream="always"), 0)).jobs == 1
    monkeypatch.setattr("ltfix.stage2.tuning.parallel.SMALL", 15)
    assert Crew.of(small).jobs == 1
