"""Options that are text: what is read, and what is refused."""

from __future__ import annotations

import pytest

from ltfix.cli import parsing as texts
from ltfix.errors import UsageError


def test_literals_are_numbers_lists_words_or_text() -> None:
    found = [texts.literal(text) for text in ("3", "0.5", "[1, 2]", "True", "none", "avg", "max-pool")]
    assert found == [3, 0.5, [1, 2], True, None, "avg", "max-pool"]
    for text in ("-" * 100_000 + "1", "[" * 10_000, "9" * 10_000, "a\0b"):
        assert texts.literal(text) == text


def test_pairs_by_key() -> None:
    assert texts.pairs(["drop-rate=0.1", "a=b=c", "x=1", "x=2"], "--set") == {
        "drop_rate": "0.1",
        "a": "b=c",
        "x": "2",
    }


def test_numbers_and_counts() -> None:
    assert texts.numbers("0.5,1", "--mean") == (0.5, 1.0)
    assert (texts.count("auto", "--workers"), texts.count("0", "--workers")) == (None, 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: texts.pairs(["lr"], "--set"), r"--set takes KEY=VALUE, found 'lr'"),
        (lambda: texts.pairs(["=1"], "--set"), "KEY=VALUE"),
        (lambda: texts.numbers("a,b", "--mean"), r"expected numbers .*\(--mean\)"),
        (lambda: texts.numbers("0.5,nan", "--mean"), r"expected numbers"),
        (lambda: texts.count("-1", "--workers"), "whole number or auto"),
        (lambda: texts.count("9" * 5000, "--workers"), "whole number or auto"),
    ],
)
def test_what_cannot_be_read_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
