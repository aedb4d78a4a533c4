"""The examples in the docstrings of ltfix's public names run, each alone, in an empty folder."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import ltfix

WITH_IMAGES = {"extract", "train_backbone"}  # theirs would need a data set and minutes
ERRORS = {n for n in ltfix.__all__ if isinstance(v := getattr(ltfix, n), type) and issubclass(v, Exception)}
NAMES = sorted({*ltfix.__all__} - ERRORS - WITH_IMAGES - {"__version__"})


def failures(thing: Any, name: str) -> tuple[int, list[str]]:
    """How many examples the docstring of ``thing`` itself has, and what those say that go wrong."""
    runner, told = doctest.DocTestRunner(verbose=False), list[str]()
    (test,) = doctest.DocTestFinder(recurse=False, exclude_empty=False).find(thing, name, globs={})
    runner.run(test, out=told.append)
    return len(test.examples), told


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    examples, told = failures(getattr(ltfix, name), name)
    assert told == []
    assert examples >= 2, "an example that can be repeated: what to write, and what comes out"


@pytest.mark.parametrize("name", sorted(WITH_IMAGES))
def test_what_needs_images_shows_its_call(name: str):
    assert f"ltfix.{name}(" in getattr(ltfix, name).__doc__


def test_a_wrong_example_is_told():
    def wrong():
        """Two.

        >>> 1 + 1
        3
        """

    examples, told = failures(wrong, "wrong")
    assert examples == 1
    assert "Got:\n    2" in "".join(told)
