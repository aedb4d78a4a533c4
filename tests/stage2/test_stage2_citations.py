"""Every built-in method has its papers, and they are those that its source and docs/methods.md name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ltfix.stage2.methods.citations import bibtex, papers
from ltfix.stage2.methods.registry import Method, find_method, methods

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


def cited(method: Method) -> list[str]:
    return re.findall(r"^@\w+\{(\w+),$", bibtex(method), re.MULTILINE)


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_every_method_names_its_papers(method: Method):
    years = {re.findall(r"\d{4}", key)[0] for key in cited(method)}
    assert years >= set(re.findall(r"\b20\d\d\b", method.source))
    assert years


@pytest.mark.parametrize("key", papers())
def test_a_paper_is_whole_and_the_one_that_the_docs_describe(key: str):
    entry = papers()[key]
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    assert len(fields) == entry.count("\n") - 1
    assert entry.count("{") == entry.count("}")
    surname, year = fields["author"].partition(",")[0], fields["year"]
    assert key.startswith(f"{surname.lower()}{year}")
    assert surname in PAGE or key == "zhang2026not"  # SAMN goes by its name there
    assert year in PAGE
    assert key in {found for method in methods() for found in cited(method)}


def test_a_method_of_two_papers_cites_both():
    assert cited(find_method("samn+los")) == ["zhang2026not", "sun2025rethinking"]
    assert cited(find_method("samn+las")) == ["zhang2026not", "zhong2021improving"]


def test_a_method_of_ones_own_cites_the_papers_that_its_source_names():
    own = Method("half-los", "LOS, by half", "our lab, 2026, after Kang et al., ICLR 2020", loss="los")
    assert cited(own) == ["kang2020decoupling"]
