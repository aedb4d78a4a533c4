"""``ltfix methods``: the table of stage-2 methods, read without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ltfix.cli import console
from ltfix.cli.options import ListFormat, PlainFormat

if TYPE_CHECKING:
    from ltfix.stage2.table import Method


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this one with its values.")] = None,
    format: PlainFormat = ListFormat.table,
) -> None:
    """List the stage-2 methods, or one with its values.

    A method without a row of its own is looked for among installed plug-ins.
    """
    import ltfix
    from ltfix.stage2.table import find_method

    entries = ltfix.methods() if name is None else [find_method(name)]
    if format == ListFormat.json:
        console.write(json.dumps({"methods": [m.to_dict() for m in entries]}, indent=1, ensure_ascii=False))
    elif name is None:
        console.table(["method", "what it does", "source"], [[m.name, m.summary, m.source] for m in entries])
    else:
        _describe(entries[0])


def _describe(method: Method) -> None:
    """One method: what it is, and how each of its values is set."""
    from ltfix.cli import load
    from ltfix.cli.signature import options

    own = {key: option.flag for key, option in options(load("fit")).items()}
    rows = [
        [
            own.get(name, f"--set {name.replace('_', '-')}="),
            _shown(value.default),
            f"{value.meaning} ({value.allowed})",
        ]
        for name, value in method.values().items()
    ]
    console.write(f"{method.name}: {method.summary}\nsource: {method.source}\n")
    console.table(["set by", "default", "meaning"], rows)


def _shown(default: object) -> str:
    return "see meaning" if default is None else str(default)
