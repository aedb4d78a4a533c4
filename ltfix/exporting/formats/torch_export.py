"""A ``.pt2`` of torch.export: pixels in 0…1 to logits and probabilities, for any batch size."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ltfix import files
from ltfix.errors import InputError
from ltfix.exporting.joined import Joined, demand_torch, tracing
from ltfix.exporting.opened import ExportRecord, ToLogits
from ltfix.tensorfile import ltfix_metadata

_RECORD = "ltfix.json"
_ENTRIES = re.compile(
    r"[^/]+/(data/weights/weight_\d+|data/constants/tensor_\d+|data/\w+/model_\w+_config\.json|models/model\.json"
    rf"|extra/{_RECORD}|archive_format|archive_version|byteorder|\.data/\w+)"
)
_SPEC = r'(?:"(?:type|context|children_spec|builtins\.(?:tuple|list|dict)|null|\[\])"|null|[\d\s\[\]{},:])*'
_MEANT = {  # of the keys whose values torch evaluates, imports, calls or unpickles: all that they need to say
    "target": r"torch\.ops\.aten\.(?!from_file)\w+\.[A-Za-z]\w*|math\.[a-z]\w*|torch\.sym_\w+"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|l[te]|g[te]|and_|or_|not_|getitem)",
    "expr_str": r"(?:'\w+'|[\d\s(),=+*/-]|\b(?:[su]\d+|Symbol|Integer|Rational|Add|Mul|Pow|Mod|FloorDiv"
    r"|CeilDiv|CleanDiv|Max|Min|Eq|Ne|positive|nonnegative|integer|True|False)\b)*",
    "in_spec": _SPEC,
    "out_spec": _SPEC,
    "path_name": r"(?:weight|tensor)_\d+",
    "use_pickle": "False",
    "guards_code": "(?!)",
    "as_operator": "(?!)",
}


def write(joined: Joined, folder: Path) -> Path:
    """The program; the record lies in it as ``ltfix.json``."""
    path, record = folder / "model.pt2", files.to_json(ExportRecord.of(joined).to_dict())
    with tracing("torch-export"):
        program = torch.export.export(
            joined.module(),
            (joined.example(2),),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            strict=False,
        )
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it has paths of this machine
        program.example_inputs = None
        torch.export.save(program, path, extra_files={_RECORD: record})
    return path


def load(path: Path, device: str) -> tuple[ExportRecord, ToLogits]:
    """The program's module on the CPU."""
    demand_torch("torch-export")
    extra = {_RECORD: ""}
    try:
        _demand_plain(path)
        with warnings.catch_warnings(action="ignore"):
            module = torch.export.load(path, extra_files=extra).module()
    except InputError:
        raise
    except Exception as err:
        raise InputError("not a program of torch.export, or a torn one", where=path) from err
    record = ltfix_metadata({"ltfix": extra[_RECORD] or "{}"}, path)
    return ExportRecord.read(record, path), lambda batch: module(batch)[0]


def _demand_plain(path: Path) -> None:
    """Refuse what makes torch unpickle objects or run code of the file: anything but numbers and their graph.

    The graph's JSON itself is code to torch: operators are looked up by name, sizes are evaluated by sympy.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename
            if entry.file_size and not _ENTRIES.fullmatch(name):
                raise InputError(f"it holds more than tensors and a graph: {name}", where=path)
            if name.endswith(".json") and not name.endswith(_RECORD):
                for key, said in _leaves(json.loads(archive.read(entry)), ""):
                    if said is not None and not re.fullmatch(_MEANT.get(key, ".*"), str(said), re.DOTALL):
                        told = f"it holds more than tensors and a graph: {key} {str(said)[:60]!r}"
                        raise InputError(told, where=path)


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The values of JSON that are no object or list, each with its key; below one of ``_MEANT`` with that."""
    if isinstance(value, dict):
        for inner, entry in value.items():
            yield from _leaves(entry, key if key in _MEANT else inner)
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry, key)
    else:
        yield key, value


def usage(path: Path, joined: Joined) -> str:
    """The loaded program's module."""
    return f'torch.export.load("{path}").module()'
