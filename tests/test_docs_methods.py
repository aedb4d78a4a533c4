"""docs/methods.md names every method, every value with its default, and measured rows that make sense."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_docs import script

import ltfix
from ltfix.stage2.methods.catalog import LOSSES, SAMPLERS, TRAINING
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "methods.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
NAMES = [method.name for method in ltfix.methods()]
MEASURED = re.compile(r"^\| `([^`|]+)` \|((?: -?[\d.]+ ± [\d.]+ \|){4})$", re.MULTILINE)


def rows(text: str) -> dict[str, list[float]]:
    """Row name -> mean All, Many, Medium, Few in percent."""
    return {
        name: [float(mean) for mean in re.findall(r"([\d.]+) ±", cells)]
        for name, cells in MEASURED.findall(text)
    }


def test_tables_are_current():
    made = script(DOCS / "make_methods.py").with_values(PAGE)
    assert made == PAGE, "run `python docs/make_methods.py --values`"


def test_methods_come_in_the_order_of_the_table():
    assert [name for name in SECTIONS if name in NAMES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_value_stands_with_its_default(name: str):
    shown = script(DOCS / "make_methods.py").shown
    for key, value in find_method(name).values().items():
        default = re.escape(shown(value.default))
        pattern = rf"`{key}` (?:\| )?{default}(?:[,.]| \|)"
        assert re.search(pattern, SECTIONS[name]), f"{name}: `{key}` {shown(value.default)}"
        for choice in () if key in TRAINING else value.choices:
            assert choice in SECTIONS[name], f"{name}: {key}={choice}"


@pytest.mark.parametrize("name", NAMES)
def test_every_method_has_a_formula_or_points_to_one_and_a_source(name: str):
    text = SECTIONS[name]
    related = [other for other in NAMES if other != name and f"`{other}`" in text]
    assert "```" in text or related, "no formula"
    assert re.search(r"Sources?:|[Pp]aper|publishe[sd]", text), "no source"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "etf"])
def test_every_method_has_a_measured_row(name: str):
    found = rows(SECTIONS[name])
    assert name in found
    overview = rows(PAGE.split("\n## Measured\n")[1])
    for row, (all_, many, medium, few) in found.items():
        assert overview[row] == [all_, many, medium, few], row
        # 35, 35 and 30 classes of 100 test samples each
        assert all_ == pytest.approx(0.35 * many + 0.35 * medium + 0.3 * few, abs=0.02), row


def test_measured_rows_are_values_that_exist():
    from ltfix.stage2.fit import Options

    names = rows(PAGE)
    assert len(names) > len(NAMES)
    for row in set(names) - {"stage-1"}:
        method, *pairs = row.split()
        given = dict(pair.split("=") for pair in pairs)
        options = {key: given.pop(key) for key in list(given) if key in Options.__dataclass_fields__}
        Options(**options)
        resolve(find_method(method), given)


def test_stage1_row_is_the_known_one():
    assert rows(PAGE)["stage-1"] == pytest.approx([38.39, 71.23, 37.20, 1.47], abs=0.011)


def test_known_facts_of_the_page_hold_in_its_rows():
    few = {name: row[3] for name, row in rows(PAGE).items()}
    overall = {name: row[0] for name, row in rows(PAGE).items()}
    assert abs(overall["ce"] - overall["stage-1"]) < 1.2
    for name in ("samn", "los", "tau-norm", "logit-adjust", "balanced-softmax", "crt", "lws"):
        assert overall[name] > overall["stage-1"] + 2, name
        assert few[name] > few["stage-1"] + 4, name
    assert overall["samn part=weight"] > overall["samn part=bias"] + 1
    assert abs(overall["samn"] - overall["samn metric=norm"]) < 1


def test_every_part_is_named():
    missing = [word for word in (*LOSSES, *SAMPLERS) if f"`{word}`" not in PAGE]
    assert missing == []
