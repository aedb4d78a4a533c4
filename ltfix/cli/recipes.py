"""``ltfix recipes``: the table of stage-1 recipes, read without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ltfix.cli import console
from ltfix.cli.methods import value_rows
from ltfix.cli.options import EntryName, ListFormat

if TYPE_CHECKING:
    from ltfix.stage1.entries import Recipe


def recipes(name: EntryName = None, format: ListFormat = "table") -> None:
    """List the stage-1 recipes, or one with its values.

    Defaults are those for small images (preset cifar); what the other presets change is said below them.
    """
    import ltfix
    from ltfix.stage1.recipes import find_recipe

    entries = ltfix.recipes() if name is None else [find_recipe(name)]
    if format == "json":
        rows = [{**recipe.to_dict(), "presets": recipe.presets_given()} for recipe in entries]
        console.write(json.dumps({"recipes": rows}, indent=1, ensure_ascii=False))
    elif name is None:
        console.table(
            ["recipe", "what it does", "source"],
            [[r.name, r.summary, r.source.partition("; github.com")[0]] for r in entries],
        )
    else:
        _describe(entries[0])


def _describe(recipe: Recipe) -> None:
    """One recipe: what it is, how each of its values is set, and what presets change."""
    console.write(f"{recipe.name}: {recipe.summary}\nsource: {recipe.source}\n")
    console.table(["set by", "default", "meaning"], value_rows("train-backbone", recipe.values()))
    for preset, changed in recipe.presets_given().items():
        said = ", ".join(f"{key} {value}" for key, value in changed.items())
        console.write(f"preset {preset}: {said or 'the same'}")
