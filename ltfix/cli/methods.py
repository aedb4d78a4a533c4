"""``ltfix methods``: the table of stage-2 methods, read without torch."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ltfix.cli import console
from ltfix.cli.options import ListFormat, PlainFormat


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this one with its values.")] = None,
    format: PlainFormat = ListFormat.table,
) -> None:
    """List the stage-2 methods, or one with its values.

    The values of a method are set by `ltfix fit --set key=value`, its rates and lengths by fit's own
    options.
    """
    import ltfix
    from ltfix.errors import UsageError, nearest

    entries = [m for m in ltfix.methods() if name in (None, m.name)]
    if not entries:
        raise UsageError(
            f"unknown method {name!r}", hint=nearest(name or "", [m.name for m in ltfix.methods()])
        )
    if format == ListFormat.json:
        rows = [
            {"name": m.name, "summary": m.summary, "source": m.source, "defaults": dict(m.defaults)}
            for m in entries
        ]
        console.write(json.dumps({"methods": rows}, indent=1, ensure_ascii=False))
    elif name is None:
        console.table(["method", "what it does", "source"], [[m.name, m.summary, m.source] for m in entries])
    else:
        entry = entries[0]
        console.write(f"{entry.name}: {entry.summary}\nsource: {entry.source}\n")
        console.table(["value", "default"], [[key, value] for key, value in entry.defaults.items()])
