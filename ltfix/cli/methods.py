"""``ltfix methods``: the table of stage-2 methods, read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from ltfix.cli import console
from ltfix.cli.options import EntryName, ListFormat
from ltfix.option import Option

if TYPE_CHECKING:
    from ltfix.stage2.methods.parts import Value
    from ltfix.stage2.methods.registry import Method


def methods(
    name: EntryName = None,
    format: ListFormat = "table",
    bibtex: Annotated[bool, Option("With NAME, or A,B: the papers to cite, as BibTeX.")] = False,
) -> None:
    """List the stage-2 methods, or one with its values.

    A method without a row of its own is looked for among installed plug-ins. Several are named as A,B.
    """
    import ltfix
    from ltfix.stage2.methods.registry import find_method

    asked = [] if name is None else [find_method(each, "ltfix methods NAME") for each in name.split(",")]
    if bibtex:
        _cite(asked)
        return
    entries = asked or ltfix.methods()
    if format == "json":
        console.write(json.dumps({"methods": [m.to_dict() for m in entries]}, indent=1, ensure_ascii=False))
    elif name is None:
        console.table(
            ["method", "what it does", "source"],
            [[m.name, m.summary, m.source.partition("; github.com")[0]] for m in entries],
        )
    else:
        for method in entries:
            _describe(method)


def _cite(asked: Sequence[Method]) -> None:
    """Their papers, each once; of a method without any its source is told."""
    from ltfix.errors import UsageError
    from ltfix.stage2.methods.citations import bibtex

    if not asked:
        raise UsageError(
            "which method is to be cited?", where="--bibtex", hint="`ltfix methods NAME --bibtex`"
        )
    found: dict[str, None] = {}
    for method in asked:
        entries = [entry for entry in bibtex(method).split("\n\n") if entry]
        found |= dict.fromkeys(entries)
        if not entries:
            console.note(f"no paper is known of {method.name}; its source: {method.source}")
    if found:
        console.write("\n\n".join(found))


def _describe(method: Method) -> None:
    """One method: what it is, and how each of its values is set."""
    import ltfix
    from ltfix.stage2.methods.citations import bibtex
    from ltfix.stage2.methods.presets import presets_of
    from ltfix.stage2.methods.values import resolve
    from ltfix.stage2.tuning.candidates import searches, told_search

    page = f"\nformula: docs/methods.md of ltfix's sources, section {method.name}"
    formula = page if method in ltfix.methods() else ""
    papers = f"\nits papers: ltfix methods {method.name} --bibtex" if bibtex(method) else ""
    console.write(f"{method.name}: {method.summary}\nsource: {method.source}{papers}{formula}")
    for role, part in method.parts.items():
        traits = ", ".join(part.traits).replace("_", " ")
        console.write(f"{role}: {part.name}{traits and f' ({traits})'}")
    console.write(f"gives: {_gives(method.linear_with)}")
    console.write("")
    console.table(["set by", "default", "meaning"], value_rows("fit", method.values()))
    if searches(method):
        tried = "; ".join(told_search(resolve(method, {}))).replace("_", "-")
        console.write("")
        console.tell(f"--tune tries: {tried}")
    if presets_of(method.name):
        console.write("")
        console.table(["--preset", "values"], [list(row) for row in presets_of(method.name)])


def _gives(linear_with: str | None) -> str:
    """What comes of a method, by which formats of `export` take it."""
    if linear_with == "":
        return "a linear layer (export --to timm)"
    other = f"; with {linear_with} a linear layer" if linear_with else ""
    return f"a layer of its own (export --to onnx or torch-export){other}"


def value_rows(command: str, values: Mapping[str, Value]) -> list[list[str]]:
    """Per value: the option of ``command`` that sets it, its default and its meaning."""
    from ltfix.cli.commands import load
    from ltfix.cli.signature import options

    own = {key: option.flag for key, option in options(load(command)).items()}
    return [
        [
            own.get(name, f"--set {name.replace('_', '-')}="),
            _shown(value.default),
            _meaning(value),
        ]
        for name, value in values.items()
    ]


def _meaning(value: Value) -> str:
    """What it means and may be; a switch or free text has no range."""
    ranged = bool(value.choices) or not isinstance(value.default, bool | str)
    return f"{value.meaning} ({value.allowed})" if ranged else value.meaning


def _shown(default: object) -> str:
    return "see meaning" if default is None else str(default)
