from __future__ import annotations

import json

import pytest

import ltfix
from ltfix import cli


def test_the_list_has_a_row_a_method(capsys):
    assert cli.run(["methods"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == [m.name for m in ltfix.methods()]


def test_json_is_as_documented(capsys):
    assert cli.run(["methods", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"methods"}
    for row in found["methods"]:
        assert set(row) == {"name", "summary", "source", "defaults", "grid", "parts"}
    assert {row["name"]: row["defaults"] for row in found["methods"]}["samn"]["epochs"] == 20


def test_one_method_with_how_its_values_are_set(capsys):
    assert cli.run(["methods", "samn"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("samn: ")
    assert "--metric" in out
    assert "--set variant=" in out
    assert "docs/methods.md of ltfix's sources, section samn\n" in out
    assert "\nits papers: ltfix methods samn --bibtex\n" in out
    assert "\n--tune tries: lr × 0.01, 0.1, 0.3, 1, 3, 10, 30, 100; feature-scale; normalize\n" in out
    assert cli.run(["methods", "los,ncm"]) == 0
    out = capsys.readouterr().out
    assert "--tune tries: delta 0.5, 0.9, 0.98; lr × 0.01, 0.1, 0.3, 1, 3, 10, 30, 100; feature-scale" in out
    assert out.count("--tune") == 1
    assert cli.run(["methods", "samn", "--format", "json"]) == 0
    assert [m["name"] for m in json.loads(capsys.readouterr().out)["methods"]] == ["samn"]


@pytest.mark.parametrize(
    ("name", "gives"),
    [
        ("samn", "a linear layer (export --to timm)"),
        ("disalign", "a layer of its own (export --to onnx or torch-export)"),
        (
            "ncm",
            "a layer of its own (export --to onnx or torch-export); with transform=un a linear layer",
        ),
    ],
)
def test_what_comes_of_a_method_is_said(name, gives, capsys):
    assert cli.run(["methods", name]) == 0
    assert f"\ngives: {gives}\n\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", [m.name for m in ltfix.methods()])
def test_every_method_can_be_shown(name, capsys):
    assert cli.run(["methods", name]) == 0
    assert name in capsys.readouterr().out


def test_several_methods_and_their_papers(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "import ltfix\nMINE = ltfix.Method('mine', 'ours', 'our lab')\n"
    (tmp_path / "my.py").write_text(text)
    assert cli.run(["methods", "samn,my.py:MINE"]) == 0
    assert "\nmine: ours\nsource: our lab\n" in capsys.readouterr().out
    assert cli.run(["methods", "samn+los,los,my.py:MINE", "--bibtex"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("@") == 2
    assert shown.err == "ltfix: no paper is known of mine; its source: our lab\n"


def test_an_unknown_method_offers_the_nearest(error):
    code, line = error("methods", "sam")
    assert code == 2
    assert "did you mean samn" in line


def test_one_method_with_its_parts_and_their_traits(capsys):
    assert cli.run(["methods", "crt"]) == 0
    out = capsys.readouterr().out
    assert "\nhead: linear (free rows)\n" in out
    assert "\ninit: random (noise)\n" in out
    assert "\nsampler: class-aware (balanced)\n" in out
    assert cli.run(["methods", "maxnorm", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["methods"]
    assert row["parts"]["constraint"] == {"name": "maxnorm", "traits": []}
    assert row["parts"]["loss"] == {"name": "cb", "traits": ["corrects_prior"]}
