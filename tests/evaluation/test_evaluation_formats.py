"""Formats of results, and that the command line offers each of them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from evaluation_samples import COUNTS, one_hot_cache
from test_evaluation_table import TABLE

from ltfix.cli.options import TABLE_FORMATS
from ltfix.errors import UsageError
from ltfix.evaluation.formats import FORMATS, json_text, to_latex
from ltfix.evaluation.measure import evaluate


def gated(fail_under: str | None = "all=60,many=99"):
    cache, head = one_hot_cache(
        [0, 1, 1, 1, 2, 3, 4], [0, 0, 1, 1, 2, 3, 4], 7, counts=COUNTS, method="<b>&\x1b"
    )
    return evaluate(head, cache, fail_under=fail_under)


def test_the_command_line_offers_every_format():
    assert ("table", *FORMATS) == TABLE_FORMATS


def test_an_unknown_format_is_named():
    with pytest.raises(UsageError, match="no such text format: 'xml': known: json, csv, markdown, latex"):
        gated().render("xml")


def test_a_list_of_numbers_is_one_line_of_json():
    found = {"counts": [3, -1, 2.5e-07, float("nan")], "text": "[\n1]", "names": ["1", "2"], "of": [[1, 2]]}
    text = json_text(found)
    assert json.loads(text) == {**found, "counts": [3, -1, 2.5e-07, None]}
    assert text.splitlines()[1] == ' "counts": [3, -1, 2.5e-07, null],'
    assert "  [1, 2]\n" in text


def test_latex_is_escaped_and_bold():
    assert to_latex([TABLE]).splitlines() == [
        "% t",
        "% Few n < 20",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"Head & All & ECE & n \\",
        r"\midrule",
        r"a|b & \textbf{12.3} & \textbf{20.0} & 3 \\",
        r"c & \textbf{12.3} & -- & 4 \\",
        r"d & 10.0 & 30.0 & 5 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    hostile = TABLE.rows[0] | {"name": "a_b & 100 % \\ {x} ~^ #$"}
    assert r"a\_b \& 100 \% \textbackslash{} \{x\} \textasciitilde{}\textasciicircum{} \#\$" in to_latex(
        [type(TABLE)(TABLE.columns, [hostile])]
    )
    lower = TABLE.rows[0] | {"name": "los-s0", "ece": -0.03}
    assert r"los-s0 & 12.3 & $-$3.0" in to_latex([type(TABLE)(TABLE.columns, [lower])])


def test_a_step_summary_tells_the_gates_before_the_table():
    lines = gated().render("github").splitlines()
    assert lines[0] == "### 1 of 2 gates missed"
    assert gated("many=99").render("github").startswith("### The gate was missed\n")
    assert lines[2].startswith("- ✅ ")
    assert lines[3].startswith("- ❌ ")
    assert any(line.startswith("| Head |") for line in lines)
    assert gated(None).render("github").startswith("**test.npz")


def test_junit_has_a_case_for_each_gate():
    suite = ElementTree.fromstring(gated().render("junit"))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    passed, failed = suite.findall("testcase")
    assert (passed.get("classname"), passed.get("name")) == ("ltfix.<b>&?", "fail_under all")
    assert passed.find("failure") is None
    assert "all " in passed.find("system-out").text
    assert "many 75.0 < 99" in failed.find("failure").get("message")
    with pytest.raises(UsageError, match="junit shows gates"):
        gated(None).render("junit")
