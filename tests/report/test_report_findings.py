"""Results in files: found in a project, read where named, refused where they are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from subjects import compare_json, sweep_json, trace_lines

from ltfix.errors import InputError
from ltfix.report import findings


def write(path: Path, *values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, values)))
    return path


def test_a_project_s_results_are_found(tmp_path: Path):
    write(tmp_path / "b.json", sweep_json(lr=[1, 2]))
    write(tmp_path / "a.json", compare_json())
    write(tmp_path / "heads" / "samn.jsonl", *trace_lines())
    write(tmp_path / "other.json", {"format": "something/1"})
    write(tmp_path / "list.json", [1, 2])
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    found = findings.find(tmp_path)
    assert {kind: [f.name for f in getattr(found, kind)] for kind in ("sweeps", "comparisons", "traces")} == {
        "sweeps": ["b"],
        "comparisons": ["a"],
        "traces": ["samn"],
    }
    assert found == findings.read([tmp_path / "b.json", tmp_path / "a.json", tmp_path / "heads/samn.jsonl"])


def broken() -> list[object]:
    sweep = sweep_json(lr=[1, 2])
    return [
        {**sweep, "over": {}},
        {**sweep, "over": {"lr": [1, 2, 3]}},
        {**sweep, "over": {"lr": [1, {}]}},
        {**sweep, "points": 3},
        {**sweep, "points": [{"all": 1}, {"all": 2}]},
        {**sweep, "points": [{**point, "few": {"mean": 0.5, "std": "x"}} for point in sweep["points"]]},
        {**sweep, "method": None},
        {**compare_json(), "rows": []},
        {**compare_json(), "rows": [{"name": 3}]},
        {"format": "ltfix-trace/1"},
        {"format": "ltfix-report/1"},
        [],
        3,
    ]


@pytest.mark.parametrize("content", broken(), ids=lambda c: json.dumps(c)[:40])
def test_what_is_none_is_refused_by_name(content: object, tmp_path: Path):
    path = write(tmp_path / "x.json", content)
    with pytest.raises(InputError, match=r"x\.json"):
        findings.read([path])


@pytest.mark.parametrize("change", [{"loss": None}, {"epoch": True}, {"val": 3}, {"row_norm": {"few": "x"}}])
def test_a_torn_trace_is_refused(change: dict[str, object], tmp_path: Path):
    lines = trace_lines()
    path = write(tmp_path / "x.jsonl", lines[0], {**lines[1], **change})
    with pytest.raises(InputError, match=r"x\.jsonl"):
        findings.read([path])
