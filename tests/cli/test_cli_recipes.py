"""``ltfix recipes``: the list, one recipe, JSON."""

from __future__ import annotations

import json

import pytest

import ltfix
from ltfix import cli

NAMES = [recipe.name for recipe in ltfix.recipes()]


def test_the_list_has_a_row_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == NAMES
    assert NAMES[:3] == ["ce", "mixup", "balanced-softmax"] and {"cb", "ce-drw"} < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_recipe_says_how_its_values_are_set(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: ") and "\nsource: " in out
    assert "--weight-decay" in out and "preset imagenet-lt: epochs" in out and "preset inat: " in out


def test_json_holds_defaults_and_what_presets_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["recipes", "--format", "json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)["recipes"]}
    assert set(found["glmc"]) == {"name", "summary", "source", "defaults", "presets"}
    assert found["glmc"]["defaults"]["contrast_weight"] == 4.0
    assert found["glmc"]["presets"]["imagenet-lt"]["epochs"] == 135
    assert found["ldam-drw"]["defaults"]["drw_from"] == 0.8
    assert (found["mixup"]["defaults"]["mixup"], found["mixup"]["presets"]["inat"]["mixup"]) == (1.0, 0.2)
    assert found["etf-fr"]["defaults"]["feature_decay"] == 0.01


def test_an_unknown_recipe_offers_the_nearest(error) -> None:
    code, line = error("recipes", "glcm")
    assert code == 2
    assert "did you mean glmc" in line
