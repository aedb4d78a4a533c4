"""How records show themselves in a notebook: HTML tables, every text in them escaped."""

from __future__ import annotations

import html
from collections.abc import Container, Iterable, Mapping, Sequence

from ltfix.errors import readable


def facts(title: str, known: Mapping[str, object]) -> str:
    """A record: its title, and a row for each thing that is known of it; what is None is left out."""
    rows = [(name, value) for name, value in known.items() if value is not None]
    return table(title, (), rows)


def table(
    title: str,
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    bold: Container[tuple[int, int]] = (),
    notes: Iterable[str] = (),
) -> str:
    """Rows under columns; ``bold`` names (row, column) of what stands out."""
    lines = [f"<p><b>{_escape(title)}</b></p>" if title else "", '<table class="dataframe">']
    lines += ["<tr>" + "".join(f"<th>{_escape(c)}</th>" for c in columns) + "</tr>"] if columns else []
    for i, row in enumerate(rows):
        cells = (f"<b>{_escape(v)}</b>" if (i, j) in bold else _escape(v) for j, v in enumerate(row))
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>", *(f"<p><small>{_escape(note)}</small></p>" for note in notes)])


def _escape(value: object) -> str:
    return html.escape(readable(str(value)))
