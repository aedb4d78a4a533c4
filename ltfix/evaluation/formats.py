"""How results are written. A format is one function of JSON document and tables, and one line here."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from ltfix import files
from ltfix.errors import UsageError, readable
from ltfix.evaluation.gate import told
from ltfix.evaluation.table import PARTS, Table


def encodable(text: str) -> str:
    """``text`` with lone surrogates, which no encoder takes, written as JSON escapes them."""
    return text.encode("utf-8", "backslashreplace").decode()


def json_text(value: Any) -> str:
    """A result as JSON that every reader takes: null for a number that is not finite, no half of a pair.

    A list of numbers is one line: no text holds the line break that it is known by.
    """
    text = files.to_json(value, indent=1, sort=False) + "\n"
    return re.sub(r"\[\n([-+\d.eEnul,\s]+)\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text)


def to_csv(table: Table) -> str:
    """The raw values under a header of column keys: fractions, full precision, empty where there is none.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header, rows = raw_values(table)
    writer.writerow(header)
    writer.writerows([_unquestioned(value) for value in row] for row in rows)  # None is left empty
    return out.getvalue()


def raw_values(table: Table) -> tuple[list[str], list[list[Any]]]:
    """Column keys and raw values row by row, the parts of a value apart: ``all_mean``, ``all_std``."""
    cells = [(c.key, part) for c in table.columns for part in (PARTS.get(c.kind, ("",)))]
    rows = [[(row.get(k) or {}).get(part) if part else row.get(k) for k, part in cells] for row in table.rows]
    return [f"{key}_{part}" if part else key for key, part in cells], rows


def _unquestioned(value: Any) -> Any:
    """A value that a spreadsheet takes as it is; numbers are numbers, also those in text."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # csv's writer leaves it bare, and its reader ends the line there
    if not value.startswith(("=", "+", "-", "@", "\t")):
        return value
    return value if re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", value) else f"'{value}"


def to_markdown(tables: Iterable[Table]) -> str:
    """The tables one after the other as GitHub markdown, the best per column in bold."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    best = table.best()
    lines = [f"**{_escape(table.title)}**", ""] if table.title else []
    lines.append("| " + " | ".join(column.title for column in table.shown) + " |")
    lines.append("| " + " | ".join("---" if c.kind == "text" else "---:" for c in table.shown) + " |")
    for i, row in enumerate(table.cells()):
        cells = [f"**{cell}**" if (i, j) in best else _escape(cell) for j, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"{_escape(note)}  " for note in table.below)] if table.below else []
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return re.sub(r"([\\|*`\[]|<(?=[a-zA-Z/!?]))", r"\\\1", text)


def to_latex(tables: Iterable[Table]) -> str:
    """The tables as LaTeX (package booktabs), the best per column in bold; no columns that stand aside."""
    return "\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    table = dataclasses.replace(table, columns=tuple(c for c in table.shown if not c.aside))
    best = table.best()
    lines = [
        *(f"% {line}" for line in (table.title, *table.below) if line and not line.startswith("†")),
        r"\begin{tabular}{" + "".join("l" if c.kind == "text" else "r" for c in table.shown) + "}",
        r"\toprule",
        " & ".join(_tex(column.title) for column in table.shown) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.cells()):
        minus = [re.sub(r"(?<![\w.-])-(?=\d)", "−", cell.strip()) for cell in row]
        cells = [_tex(cell.replace(" †", "†")) for cell in minus]
        lines.append(
            " & ".join(rf"\textbf{{{c}}}" if (i, j) in best else c for j, c in enumerate(cells)) + r" \\"
        )
    marked = [_tex(note).replace(_TEX["†"], _DAGGER) for note in table.below if note.startswith("†")]
    below = [rf"\par\smallskip{{\footnotesize {note}}}" for note in marked]  # what the marks in it mean
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *below]) + "\n"


_TEX = {c: f"\\{c}" for c in "&%$#_{}"}
_TEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
_TEX |= {c: f"${tex}$" for c, tex in (("±", r"\pm"), ("−", "-"), ("<", "<"), (">", ">"), ("→", r"\to"))}
_DAGGER = r"$\dagger$"
_TEX |= {"≤": r"$\le$", "≥": r"$\ge$", "†": rf"\rlap{{\,{_DAGGER}}}"}  # beside its column, flush right


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)


def to_github(document: Mapping[str, Any], tables: Iterable[Table]) -> str:
    """A step summary for GitHub Actions: the gates, each with what came of it, and the tables."""
    gates = document.get("gates", ())
    missed = sum(not gate["passed"] for gate in gates)
    one = len(gates) == 1
    held = "The gate held" if one else f"All {len(gates)} gates held"
    heading = ("The gate was missed" if one else f"{missed} of {len(gates)} gates missed") if missed else held
    listed = [f"- {'✅ held:' if gate['passed'] else '❌ missed:'} {_escape(told(gate))}" for gate in gates]
    return "\n".join([*([f"### {heading}", "", *listed, ""] if gates else []), to_markdown(tables)])


def to_junit(document: Mapping[str, Any]) -> str:
    """The gates as JUnit XML, which CI systems show as tests, one a gate, by head (UsageError: no gate)."""
    gates = document.get("gates", ())
    demand_gates("junit", there=bool(gates))
    missed = str(sum(not gate["passed"] for gate in gates))
    suite = ElementTree.Element("testsuite", name="ltfix", tests=str(len(gates)), failures=missed, errors="0")
    for gate in gates:
        below = "max_drop" if "baseline" in gate else "fail_under"
        case = ElementTree.SubElement(
            suite, "testcase", classname=readable(f"ltfix.{gate['head']}"), name=f"{below} {gate['name']}"
        )
        if gate["passed"]:
            ElementTree.SubElement(case, "system-out").text = readable(told(gate))
        else:
            ElementTree.SubElement(case, "failure", message=readable(told(gate)))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def demand_gates(form: str, *, there: bool) -> None:
    """Refuse a format of gates without any (UsageError); before the work, where it is known by then."""
    if form == "junit" and not there:
        hint = "give fail_under=few=20 (evaluate and compare hold heads to gates)"
        raise UsageError("junit shows gates, and there is none", where="format=junit", hint=hint)


FORMATS: dict[str, Callable[[dict[str, Any], Sequence[Table]], str]] = {
    "json": lambda document, tables: json_text(document),
    "csv": lambda document, tables: encodable(to_csv(tables[0].tidy or tables[0])),
    "markdown": lambda document, tables: to_markdown(tables),
    "latex": lambda document, tables: to_latex(tables),
    "github": to_github,
    "junit": lambda document, tables: to_junit(document),
}
