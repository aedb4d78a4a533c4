"""The papers that methods come from, as BibTeX. ``papers.bib`` leaves out what is uncertain."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from ltfix.stage2.methods.method import Method

_SHORT = {"SAMN": "zhang2026not", "LOS": "sun2025rethinking", "MiSLAS": "zhong2021improving"}


@functools.cache
def papers() -> dict[str, str]:
    """The entries by key, which is the first author's name, the year and a word of the title."""
    text = Path(__file__).with_name("papers.bib").read_text(encoding="utf-8")
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in text.strip().split("\n\n")}


def bibtex(method: Method) -> str:
    """The papers that a method's source names by author and year, or by their short name; "" of none."""

    def named(key: str) -> bool:
        author, year = re.findall(r"[a-z]+|\d+", key)[:2]
        in_full = re.search(rf"\b{author}\b.* {year}\b", method.source, re.IGNORECASE)
        return bool(in_full) or any(word in method.source for word, its in _SHORT.items() if its == key)

    return "\n\n".join(entry for key, entry in papers().items() if named(key))
