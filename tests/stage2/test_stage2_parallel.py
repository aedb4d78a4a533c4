"""Several fits at once: all done or none left running, and one progress for all."""

from __future__ import annotations

import contextvars
import threading

import pytest
import torch

from ltfix.errors import InputError, UsageError
from ltfix.progress import SILENT
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tuning.parallel import SharedProgress, Stopped, run_each, threads_for


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


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_done_once_and_counted(threads: int):
    count = Count()
    found = run_each(lambda i: 2 * i, list(range(20)), SharedProgress(count), "work", threads)
    assert found == list(range(0, 40, 2))
    assert (count.done, count.open) == (20, 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_what_cannot_run_is_answered_by_its_error(threads: int):
    def work(item: int) -> int:
        if item == 1:
            raise InputError("no simplex")
        if item == 2:
            raise UsageError("no such part")
        return item

    count = Count()
    found = run_each(work, [0, 1, 2, 3], SharedProgress(count), "work", threads)
    assert (found[0], found[3]) == (0, 3)
    assert [str(error) for error in found[1:3]] == ["no simplex", "no such part"]
    assert (count.done, count.open) == (4, 0)


def test_threads_share_torch_and_give_it_back():
    before = torch.get_num_threads()
    seen = run_each(lambda _: torch.get_num_threads(), [1, 2, 3], SharedProgress(SILENT), "work", 2)
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_error_stops_the_others_at_their_next_epoch(threads: int):
    count, stopped, started = Count(), [], threading.Event()
    shared = SharedProgress(count)

    def work(item: int) -> None:
        if item == 0:
            if threads > 1:
                assert started.wait(10)
            raise RuntimeError("broken")
        started.set()
        try:
            while True:
                shared.within("other").advance()
        except Stopped:
            stopped.append(item)
            raise

    with pytest.raises(RuntimeError, match="broken"):
        run_each(work, [0, 1, 2, 3], shared, "work", threads)
    assert threads - 1 <= len(stopped) <= threads  # those that had begun
    assert count.open == 0


def test_notes_name_their_method_and_are_said_once():
    count = Count()
    shared = SharedProgress(count)
    shared.within("los").note("2 of 4 classes have no training sample")
    shared.within("los").note("2 of 4 classes have no training sample")
    shared.within("ce").note("ce is worse on the validation samples")
    shared.within("samn+los-freq").note("samn+los: the fit unlearned much")
    shared.within(None).note("of all")
    shared.within("quiet", quiet=True).note("nothing")
    assert count.said == [
        "los: 2 of 4 classes have no training sample",
        "ce is worse on the validation samples",
        "samn+los-freq: the fit unlearned much",
        "of all",
    ]


def test_large_heads_and_streams_go_one_by_one(draw_cache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    small = Material.of(draw_cache([6, 4]), None, Options(), 0)
    assert threads_for(small) == 4
    assert threads_for(Material.of(draw_cache([6, 4]), None, Options(stream="always"), 0)) == 1
    monkeypatch.setattr("ltfix.stage2.tuning.parallel.SMALL", 15)
    assert threads_for(small) == 1


def test_what_fits_share_shows_itself_until_they_are_counted():
    count = Count()
    shared = SharedProgress(count)

    def task(name: str | None) -> None:
        own = shared.within(name, quiet=name == "quiet")
        own.start("linear probe", 5, "passes")
        assert count.open == 1 - (name == "quiet")
        own.advance(5)
        own.finish()

    task(None)
    assert (count.done, count.open) == (5, 0)
    task("quiet")
    run_each(task, ["ce"], shared, "work")
    assert (count.done, count.open) == (6, 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_know_what_the_caller_knew(threads: int):
    asked = contextvars.ContextVar("asked", default="nothing")
    token = asked.set("tune")
    try:
        assert (
            run_each(lambda _: asked.get(), [1, 2], SharedProgress(Count()), "work", threads) == ["tune"] * 2
        )
    finally:
        asked.reset(token)


def test_a_note_names_its_row_once():
    count = Count()
    for text in ("samn+los: unlearned", "samn+los-freq: diverged", "2 classes: none"):
        SharedProgress(count).within("samn+los-freq").note(text)
    assert count.said == [
        "samn+los-freq: unlearned",
        "samn+los-freq: diverged",
        "samn+los-freq: 2 classes: none",
    ]
