"""How predictions are written: as text, batch by batch, or whole into a file of its own kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import UsageError, extra
from ltfix.evaluation.formats import encodable, to_csv
from ltfix.evaluation.table import EMPTY, Column, Table, format_value
from ltfix.predicting.predict import Prediction, Predictions

FORMAT = "ltfix-predictions/1"
_WIDEST = 32  # letters of a class name in the table


def as_table(found: Predictions) -> Iterator[str]:
    """Percent and class, as many as asked for, and the sample; columns are as wide as the class names."""
    width = min(max(map(len, (*found.classes, "label"))), _WIDEST) + 2 * _keeps_first(found)
    yield f"{'%':>5}  {'label':<{width}}  " * found.top + "sample"
    for batch in found.batches():
        yield "\n".join(_line(one, width, found.top) for one in batch)


def _keeps_first(found: Predictions) -> bool:
    """Whether the most probable class is told apart from the label, which may be none beside others."""
    return found.abstain is not None and found.top > 1


def _line(one: Prediction, width: int, top: int) -> str:
    if one.error is not None:
        return f"{EMPTY:>5}  {EMPTY:<{width}}  " * top + format_value(f"{one.sample}: {one.error}", "text")
    unsure = f"({one.top[0][0]})" if top > 1 else EMPTY
    names = [unsure if one.label is None else one.label, *(name for name, _ in one.top[1:])]
    cells = [
        f"{100 * p:5.1f}  {format_value(name, 'text'):<{width}}  "
        for name, (_, p) in zip(names, one.top, strict=True)
    ]
    return "".join(cells) + format_value(one.sample, "text")


def as_csv(found: Predictions) -> Iterator[str]:
    """``sample,label,probability`` and, with more than one class a sample, ``label_2,probability_2``, ….

    Full precision; no label where the head abstains, but ``label_1`` with more than one class. Where
    unreadable pictures are kept, ``error`` is last.
    """
    pairs = [
        (f"label{end}", f"probability{end}") for end in ("", *(f"_{i}" for i in range(2, found.top + 1)))
    ]
    more = [*(["label_1"] if _keeps_first(found) else []), *(key for pair in pairs[1:] for key in pair)]
    keys = ("sample", "label", "probability", *more, *(["error"] if found.keeps else []))
    columns = tuple(Column(key, key) for key in keys)
    yield to_csv(Table(columns, []))
    for batch in found.batches():
        rows = []
        for one in batch:
            row: dict[str, Any] = {"sample": one.sample, "error": one.error}
            for (label, probability), (name, p) in zip(pairs, one.top, strict=False):
                row |= {label: name, probability: p}
            rows.append(row | {"label": one.label, "label_1": row.get("label")})
        yield encodable(to_csv(Table(columns, rows)).partition("\n")[2])


def as_jsonl(found: Predictions) -> Iterator[str]:
    """An object a line: ``sample``, ``label``, ``probability``, and ``top`` where that is more than one."""
    for batch in found.batches():
        yield "\n".join(_json(one) for one in batch)


def as_json(found: Predictions) -> Iterator[str]:
    """One document: what predicted, its classes, and the objects of :func:`as_jsonl`."""
    head = json.dumps({"format": FORMAT, "model": found.model, "classes": found.classes}, ensure_ascii=False)
    yield encodable(head[:-1] + ', "predictions": [')
    between = ""
    for batch in found.batches():
        yield between + ",\n".join(_json(one) for one in batch)
        between = ","
    yield "]}"


def record(one: Prediction) -> dict[str, Any]:
    """A prediction as JSON and Parquet have it."""
    found: dict[str, Any] = {"sample": one.sample, "label": one.label, "probability": one.probability}
    if one.error is not None:
        return {**found, "probability": None, "error": one.error}
    if len(one.top) > 1:
        found["top"] = [{"label": name, "probability": p} for name, p in one.top]
    return found


def _json(one: Prediction) -> str:
    return encodable(json.dumps(record(one), ensure_ascii=False))


TEXT: dict[str, Callable[[Predictions], Iterator[str]]] = {
    "table": as_table,
    "csv": as_csv,
    "jsonl": as_jsonl,
    "json": as_json,
}


def write_parquet(found: Predictions, path: Path, *, overwrite: bool = False) -> None:
    """A Parquet file, a row group a batch; EnvironmentFault without pyarrow."""
    with extra("parquet", path):
        import pyarrow as pa
        import pyarrow.parquet as pq
    pair = pa.struct([("label", pa.string()), ("probability", pa.float64())])
    fields = [("sample", pa.string()), ("label", pa.string()), ("probability", pa.float64())]
    fields += [("top", pa.list_(pair))] if found.top > 1 else []
    fields += [("error", pa.string())] if found.keeps else []
    schema = pa.schema(fields)
    with (
        files.atomic_path(path, overwrite=overwrite) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
    ):
        for batch in found.batches():
            rows = [{**record(one), "sample": encodable(one.sample)} for one in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def write_probabilities(found: Predictions, path: Path, *, overwrite: bool = False) -> None:
    """What :attr:`Predictions.kept` has: ``probabilities`` [N, K] float32, ``samples`` and ``classes``.

    Of an unreadable picture that was kept they are NaN. In an ``.npz`` all three are arrays, in a
    ``.safetensors`` file the names are metadata.
    """
    kept = found.kept or []
    samples = [encodable(name) for names, _ in kept for name in names]
    p = np.concatenate([rows for _, rows in kept])
    if path.suffix == ".npz":
        with files.atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as handle:
            np.savez(handle, probabilities=p, samples=np.array(samples), classes=np.array(found.classes))
        return
    metadata = {"format": FORMAT, "samples": samples, "classes": list(found.classes)}
    files.write_bytes(path, files.pack({"probabilities": p}, metadata), overwrite=overwrite)


def check_probabilities(path: Path) -> None:
    """Refuse a name that :func:`write_probabilities` has no form for (UsageError)."""
    if path.suffix not in (".npz", ".safetensors"):
        raise UsageError("probabilities go to an .npz or a .safetensors file", where=path)
