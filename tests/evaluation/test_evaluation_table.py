from __future__ import annotations

import csv
import io

import pytest

from ltfix.evaluation.formats import to_csv, to_markdown
from ltfix.evaluation.table import Column, Table, format_value

COLUMNS = (
    Column("name", "Head"),
    Column("path", "", csv_only=True),
    Column("all", "All", "percent", "max"),
    Column("ece", "ECE", "percent", "min"),
    Column("n", "n", "count"),
)
ROWS = [
    {"name": "a|b", "path": "heads/a.safetensors", "all": 0.12345, "ece": 0.2, "n": 3},
    {"name": "c", "path": None, "all": 0.12349, "ece": None, "n": 4},
    {"name": "d", "path": None, "all": 0.1, "ece": 0.3, "n": 5},
]
TABLE = Table(COLUMNS, ROWS, title="t", notes=("Few n < 20",))


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "percent", "–"),
        (0.12345, "percent", "12.3"),
        (1.0, "percent", "100.0"),
        (0.1234, "number", "0.123"),
        (-2.345, "number", "-2.35"),
        (12.04, "number", "12.0"),
        (1234.5, "number", "1234"),
        (7, "count", "7"),
        ("red\x1b[31m", "text", "red?[31m"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, kind: str, expected: str):
    assert format_value(value, kind) == expected


def test_more_digits_tell_what_is_best():
    columns = Column("all", "All", "spread", "max"), Column("against", "− a", "gain")
    rows = [
        {"all": {"mean": 0.70012, "std": 0.001}, "against": {"value": -0.00034, "p_holm": 0.2}},
        {"all": {"mean": 0.70046, "std": None}, "against": None},
    ]
    first = Table(columns, rows)
    assert (first.cells()[0], first.best()) == (["70.0 ± 0.1", "−0.0  "], set())
    finer = Table(columns, rows, digits=2)
    assert (finer.cells(), finer.best()) == ([["70.01 ± 0.10", "−0.03  "], ["70.05", "–"]], {(1, 0)})


def test_equal_as_printed_is_equally_best():
    assert TABLE.best() == {(0, 1), (1, 1), (0, 2)}


def test_nothing_is_best_alone_or_where_all_are_equal():
    assert Table(COLUMNS, ROWS[:1]).best() == set()
    assert Table(COLUMNS, [ROWS[0], ROWS[0]]).best() == set()


def test_csv_holds_raw_values():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == {"name": "a|b", "path": "heads/a.safetensors", "all": "0.12345", "ece": "0.2", "n": "3"}
    assert rows[1]["ece"] == rows[1]["path"] == ""


def test_a_spread_is_two_columns_of_the_csv():
    rows = [{"all": {"mean": 0.5, "std": 0.1}}, {"all": {"mean": 0.5, "std": None}}, {"all": None}]
    table = Table((Column("all", "All", "spread"),), rows)
    assert to_csv(table).splitlines() == ["all_mean,all_std", "0.5,0.1", "0.5,", ","]
    assert table.cells() == [["50.0 ± 10.0"], ["50.0"], ["–"]]


def test_markdown_escapes_and_marks():
    assert to_markdown([TABLE]).splitlines() == [
        "**t**",
        "",
        "| Head | All | ECE | n |",
        "| --- | ---: | ---: | ---: |",
        "| a\\|b | **12.3** | **20.0** | 3 |",
        "| c | **12.3** | – | 4 |",
        "| d | 10.0 | 30.0 | 5 |",
        "",
        "Few n < 20  ",
    ]
