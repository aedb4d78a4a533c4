"""Every built-in method has its papers, and they are those that its source and docs/methods.md name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ltfix.stage2.methods.citations import PAPERS, bibtex
from ltfix.stage2.methods.registry import find_method, methods

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_every_method_names_its_papers(method):
    entries = bibtex(method)
    years = re.findall(r"year = \{(\d{4})\}", entries)
    assert years
    for year in re.findall(r"\b20\d\d\b", method.source):
        assert year in years


@pytest.mark.parametrize("key", PAPERS)
def test_a_paper_is_the_one_that_the_docs_describe(key: str):
    paper = PAPERS[key]
    surname = paper.authors.partition(",")[0] or "SAMN"
    assert surname in PAGE
    assert str(paper.year) in PAGE
    entry = paper.bibtex(key)
    assert entry.count("{") == entry.count("}")
    assert key in {
        found for m in methods() for found in re.findall(r"^@\w+\{(\w+),", bibtex(m), re.MULTILINE)
    }


def test_a_method_of_two_papers_cites_both():
    assert re.findall(r"@inproceedings\{(\w+),", bibtex(find_method("samn+los"))) == [
        "samn2026",
        "sun2025los",
    ]
