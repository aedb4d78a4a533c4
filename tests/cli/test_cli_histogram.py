from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ltfix.cli import histogram


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=200),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_lines_fit_80_columns_and_a_screen(counts: list[int], by_count: bool, every: bool, ascii_only: bool):
    lines = histogram.draw(counts, by_count=by_count, every=every, ascii_only=ascii_only)
    assert max(map(len, lines)) <= 80
    assert len(lines) == (len(counts) if every else min(len(counts), histogram.LINES))
    assert not ascii_only or all("█" not in line for line in lines)


def test_few_classes_are_named_most_first_ties_by_index():
    lines = histogram.draw([5, 20, 5, 0], ["a", "b", "c", "d"], width=21)
    assert lines == ["b 20 ████████████████", "a  5 ████", "c  5 ████", "d  0"]


def test_eighths_show_what_is_less_than_a_block():
    lines = histogram.draw([1600, 150, 1], width=23)
    assert [line.split()[2] for line in lines] == ["█" * 16, "█▌", "▏"]


def test_a_long_tail_is_summed_up_by_ranks():
    counts = [int(500 * 100 ** (-k / 99)) for k in np.random.default_rng(0).permutation(100)]
    lines = histogram.draw(counts)
    assert len(lines) == 24
    assert lines[0].startswith("rank 1–4 ")
    assert "500–434" in lines[0]
    assert lines[-1].startswith("rank 96–100")
    assert histogram.draw(sorted(counts), by_count=False)[0].startswith("class 0–3 ")


def test_long_and_hostile_names_are_tamed():
    (line,) = histogram.draw([3], ["x" * 50 + "\x1b[2J"])
    assert line.startswith("x" * 29 + "… 3 █")
    assert histogram.draw([3], ["\x1b[2J"])[0].startswith("?[2J 3 █")
