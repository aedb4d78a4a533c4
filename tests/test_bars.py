from __future__ import annotations

import pytest

from ltfix.bars import NotebookBar, ProgressBar, ProgressLines, duration, rate
from ltfix.errors import UsageError
from ltfix.progress import SILENT, listener


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(seconds_per_step: float, steps: int, total: int) -> list[str]:
    said: list[str] = []
    clock = Clock()
    progress = ProgressLines(said.append, clock)
    progress.start("train", total, "images")
    for _ in range(steps):
        clock.now += seconds_per_step
        progress.advance(total // steps)
    progress.finish()
    return said


def test_a_short_task_says_nothing():
    assert lines(0.01, 100, 1000) == []


def test_a_middling_task_says_a_line_every_tenth_and_a_summary():
    said = lines(0.25, 100, 1000)
    assert said[0] == "train: 100/1000 images (10%), 40 images/s, 22 s left"
    assert said[-1] == "train: 1000 images in 25 s, 40 images/s"
    assert len(said) == 10


def test_a_long_task_says_a_line_every_ten_seconds():
    said = lines(1.0, 1000, 1000)
    assert len(said) == 100
    assert said[0] == "train: 10/1000 images (1%), 1 images/s, 16 min 30 s left"


def test_more_than_was_expected_is_counted_on_without_a_share():
    said: list[str] = []
    clock = Clock()
    progress = ProgressLines(said.append, clock)
    progress.start("linear probe", 10, "passes")
    for _ in range(40):
        clock.now += 1
        progress.advance()
    progress.finish()
    assert said[-5:] == [
        "linear probe: 8/10 passes (80%), 1 passes/s, 2 s left",
        "linear probe: 18 passes, 18 s so far",
        "linear probe: 28 passes, 28 s so far",
        "linear probe: 38 passes, 38 s so far",
        "linear probe: 40 passes in 40 s, 1 passes/s",
    ]


def test_a_total_that_nobody_knows_and_no_task():
    said: list[str] = []
    clock = Clock()
    progress = ProgressLines(said.append, clock)
    clock.now = 9999
    progress.advance(16)
    progress.finish()
    progress.start("predict", 0, "pictures")
    for _ in range(2):
        clock.now += 11
        progress.advance(16)
    progress.finish()
    assert said == [
        "predict: 16 pictures, 11 s so far",
        "predict: 32 pictures, 22 s so far",
        "predict: 32 pictures in 22 s, 1.45 pictures/s",
    ]


def test_a_total_of_zero_and_an_early_end():
    clock = Clock()
    said: list[str] = []
    progress = ProgressLines(said.append, clock)
    progress.start("x", 0, "rows")
    progress.advance(0)
    clock.now = 3
    progress.advance(0)
    progress.finish()
    progress.finish()
    assert said == ["x: 0 rows in 3 s, 0 rows/s"]


def test_a_task_that_describes_itself_leaves_logs_to_its_notes():
    said: list[str] = []
    clock = Clock()
    progress = ProgressLines(said.append, clock)
    progress.start("train", 100, "images")
    for _ in range(100):
        clock.now += 1
        progress.describe("loss 1.0")
        progress.advance()
    progress.note("epoch 1/1: loss 1.0")
    progress.finish()
    assert said == ["ltfix: epoch 1/1: loss 1.0", "train: 100 images in 1 min 40 s, 1 images/s"]


def test_the_bar_shows_words_beside_the_count(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    bar = ProgressBar()
    bar.describe("nothing runs yet")
    bar.start("train", 4, "images")
    bar.describe("epoch 1/2: loss 2.310")
    bar.advance(4)
    bar.finish()
    assert "epoch 1/2: loss 2.310" in capsys.readouterr().err


def test_notes_are_one_line():
    said: list[str] = []
    ProgressLines(said.append).note("a\nb")
    assert said == ["ltfix: a b"]


def test_the_bar_counts_notes_and_ends(capsys):
    bar = ProgressBar()
    bar.note("before")
    bar.start("train", 4, "images")
    bar.advance(3)
    bar.note("between")
    bar.start("test", 2, "images")
    bar.advance()
    bar.finish()
    bar.finish()
    err = capsys.readouterr().err
    assert "ltfix: before" in err
    assert "ltfix: between" in err


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (95, "1 min 35 s"), (3700, "1 h 1 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("done", "text"), [(1234, "1234 x/s"), (12.345, "12.3 x/s"), (0.5, "0.5 x/s")])
def test_rate(done, text):
    assert rate(done, 1.0, "x") == text
    assert rate(done, 0.0, "x") == "0 x/s"


def test_a_notebook_has_one_bar_and_the_notes_below_it():
    shown: list[str] = []
    bar = NotebookBar(shown.append)
    bar.start("probe <b>", 10, "passes")
    bar.advance(10)
    bar.note("a\x1b[2J & b")
    bar.start("fit", 4, "epochs")
    bar.describe("loss 1.0")
    bar.advance(3)
    bar.finish()
    assert "probe &lt;b&gt;" in shown[0]
    assert shown[-1].count("<progress") == 1
    assert 'value="3" max="4"' in shown[-1]
    assert "3/4 epochs loss 1.0" in shown[-1]
    assert "a?[2J &amp; b" in shown[-1]


def test_who_is_told():
    assert listener(False) is SILENT
    assert listener(SILENT) is SILENT
    assert isinstance(listener(True), ProgressLines)  # pytest's stderr is no terminal
    with pytest.raises(UsageError, match="progress is 3"):
        listener(3)  # type: ignore[arg-type]
