"""What an export is, as it says itself; neither torch nor a runtime is asked."""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ltfix import files
from ltfix.errors import extra
from ltfix.evaluation.describe import Description, Fact
from ltfix.exporting.request import FORMATS, METADATA
from ltfix.records import record_of
from ltfix.tensorfile import TORN, ltfix_metadata, open_safetensors


@dataclasses.dataclass(frozen=True, slots=True)
class ToldOfExport:
    """What is read of an export's record; see :class:`ltfix.exporting.opened.ExportRecord`."""

    classes: Annotated[list[str], msgspec.Meta(min_length=1)]
    method: str
    created_by: str
    preprocess: dict[str, Any] | None = None
    backbone: dict[str, Any] | None = None
    temperature: list[float] | None = None
    head: str | None = None


def describe_export(path: Path) -> Description | None:
    """The facts that an export records; None where there is no record, as of other tools' files.

    Raises:
        InputError: torn, or a record that is none.
        EnvironmentFault: an extra that reads it is not installed.
    """
    suffix = "" if path.is_dir() else path.suffix or "none"
    form = next((name for name, ending in FORMATS.items() if ending == suffix), None)
    found = {} if form is None else _record(path)
    if not str(found.get("format", "")).startswith(METADATA.partition("/")[0] + "/"):
        return None
    told = record_of(ToldOfExport, found, path, METADATA)
    names, pixels, heat = told.classes, told.preprocess or {}, told.temperature
    size, rest = pixels.get("image_size"), {k: v for k, v in pixels.items() if k != "image_size"}
    taken = f"{size} × {size} pixels" if size else "pictures" if pixels else "features"
    facts = [
        Fact("format", str(form), {"export": form}),
        Fact("method", told.method, {"method": told.method}),
        Fact("classes", f"{len(names)} ({names[0]} … {names[-1]})", {"class_names": names}),
        Fact("input", taken, {"preprocess": told.preprocess}),
        Fact("preprocess", ", ".join(f"{key} {value}" for key, value in rest.items()), {}),
        Fact("temperature", " to ".join(f"{t:.3g}" for t in sorted({*(heat or ())})), {"temperature": heat}),
        Fact("backbone", str((told.backbone or {}).get("name", "")), {"backbone": told.backbone}),
        Fact("head", told.head or "", {"sha256": told.head}),
        Fact("made by", told.created_by, {"created_by": told.created_by}),
    ]
    return Description(path, "export", facts, f"{told.method} for {form}, K {len(names)}")


def _record(path: Path) -> dict[str, Any]:
    """The JSON that an export carries, empty where there is none."""
    if path.is_dir():
        config = files.read_json(path / "config.json") if (path / "config.json").exists() else {}
        own = config.get("ltfix") if isinstance(config, dict) else None
        return {"classes": config.get("label_names"), **own} if isinstance(own, dict) else {}
    if path.suffix == ".safetensors":
        with open_safetensors(path) as (_, opened):
            return ltfix_metadata(opened.metadata() or {}, path)
    files.demand_regular(path)
    if path.suffix == ".onnx":
        with extra("onnx", path):
            import onnx
        entries: Any = ()
        with contextlib.suppress(Exception):  # of protobuf: it is no ONNX file
            entries = onnx.load(str(path), load_external_data=False).metadata_props
        return ltfix_metadata({entry.key: entry.value for entry in entries}, path)
    with contextlib.suppress(OSError, *TORN), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("/extra/ltfix.json"):
                return ltfix_metadata({"ltfix": archive.read(name).decode()}, path)
    return {}
