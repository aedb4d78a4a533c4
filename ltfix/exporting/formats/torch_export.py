"""A ``.pt2`` of torch.export: pixels in 0…1 to logits and probabilities, for any batch size."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import torch

from ltfix import files
from ltfix.errors import InputError
from ltfix.exporting.joined import Joined, tracing
from ltfix.exporting.opened import ExportRecord, ToLogits
from ltfix.tensorfile import ltfix_metadata

_RECORD = "ltfix.json"
_PLAIN = re.compile(
    r"/(data/weights/weight_\d+|data/constants/tensor_\d+|data/\w+/model_\w+_config\.json|models/model\.json"
    rf"|extra/{_RECORD}|archive_format|archive_version|byteorder|\.data/\w+)$"
)


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
    """Refuse what makes torch unpickle objects or load compiled code: anything but numbers and graphs."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            config = archive.read(entry) if entry.filename.endswith("_config.json") else b""
            plain = _PLAIN.search(entry.filename) or not entry.file_size
            if not plain or b'"use_pickle": true' in config:
                raise InputError(f"it holds more than tensors and a graph: {entry.filename}", where=path)


def usage(path: Path, joined: Joined) -> str:
    """The loaded program's module."""
    return f'torch.export.load("{path}").module()'
