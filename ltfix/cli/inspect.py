"""``ltfix inspect``: what a cache, head, run or checkpoint is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ltfix.cli import console, histogram, tables
from ltfix.cli.caches import USUAL_NAMES
from ltfix.cli.options import ArrayNames, ListFormat, WorkFolder
from ltfix.cli.signature import ARGUMENT
from ltfix.option import Option

if TYPE_CHECKING:
    from ltfix.errors import LtfixError
    from ltfix.evaluation.describe import Description

_PICKLED = (".pth", ".pt", ".bin", ".tar")
_OWN = ("manifest.json", "partial.json", "run.json")
_SHOWN_TENSORS = 12


def inspect(
    path: Annotated[
        Path | None,
        Option("A cache, head, run folder, export or checkpoint. Default: all there is.", metavar="PATH"),
        ARGUMENT,
    ] = None,
    verify: Annotated[
        bool, Option("Compare recorded hashes, read every feature; refuse the unfinished.")
    ] = False,
    order: Annotated[str, Option("Draw classes by count or by index.", choices=("count", "index"))] = "count",
    every: Annotated[bool, Option("One line a class or tensor, however many.", flag="all")] = False,
    format: ListFormat = "table",
    names: ArrayNames = USUAL_NAMES,
    work: WorkFolder = Path(),
) -> None:
    """Show what a cache, head, run, export or checkpoint is: shapes, class counts, provenance."""
    if path is None:
        _overview(work, verify, format)
        return
    from ltfix.evaluation.formats import json_text

    found = _describe(path, verify, names)
    facts = found.to_dict()
    if format == "json":
        console.write(json_text(facts))
        return
    told = {**found.told, "size": tables.size(found.size)}
    width = max(map(len, told))
    lines = [f"{found.kind}  {found.path}"]
    lines += [line for label, text in told.items() for line in _wrapped(f"  {label:<{width}}  ", text)]
    if facts.get("counts"):
        lines += ["", *_histogram(facts["counts"], facts["class_names"], order, every)]
    if facts.get("batch_norms"):
        lines += ["", *_norms(facts["batch_norms"], every)]
    if facts.get("tensors"):
        lines += ["", *_tensors(facts["tensors"], every)]
    console.write("\n".join(lines))


def written(paths: Iterable[Path], kind: str = "", states: Sequence[str] = (), /, **more: object) -> None:
    """What a command wrote as one JSON document: each thing as told here, of a ``kind`` its bytes alone, and
    its state, where the command tells one."""
    from ltfix.evaluation.describe import Description
    from ltfix.evaluation.formats import json_text

    found = [(Description(path, kind, ()) if kind else _describe(path)).to_dict() for path in paths]
    told = [one | {"state": state} for one, state in zip(found, states, strict=True)] if states else found
    console.write(json_text({"format": "ltfix-written/1", **more, "written": told}))


def _describe(path: Path, verify: bool = False, names: ArrayNames = USUAL_NAMES) -> Description:
    from ltfix.errors import InputError, nearby
    from ltfix.evaluation.describe import describe, describe_tensors, safetensors_header
    from ltfix.files import completed

    path = completed(path)
    if not path.exists():
        hint = nearby(path) or "`ltfix inspect` alone lists what is there"
        raise InputError("no such file or folder", where=path, hint=hint)
    other = any((path / name).exists() for name in _OWN)  # a config.json beside these is of anybody
    if path.suffix in (".onnx", ".pt2", ".safetensors") or (not other and (path / "config.json").is_file()):
        from ltfix.exporting.described import describe_export

        found = describe_export(path) if path.exists() else None
        if found is not None:
            if verify and path.is_dir():
                safetensors_header(path / "model.safetensors")
            return found
    if path.suffix in _PICKLED and path.is_file():
        return describe_tensors(path, _pickled(path))
    return describe(path, verify=verify, **vars(names))


def _pickled(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Dtype and shape of the tensors of a torch checkpoint; nothing but tensors is unpickled."""
    from ltfix.backbones.checkpoint import read_checkpoint

    state = read_checkpoint(path).state
    return {name: (str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in state.items()}


def _overview(work: Path, verify: bool, format: str) -> None:
    """Every cache, head and run of the project, one a line."""
    from ltfix.errors import EnvironmentFault, InputError, LtfixError
    from ltfix.evaluation.describe import FORMAT
    from ltfix.evaluation.formats import json_text

    places = ("features/*/", "heads/*.safetensors", "compare/*.safetensors", "runs/*/")
    paths = [p for place in places for p in sorted(work.glob(place)) if not p.name.startswith(".")]
    found = [_describe(path, True) if verify else _or_unread(path, LtfixError) for path in paths]
    kinds = [f"{folder}*.{kind}" for folder in ("features/", "") for kind in ("npz", "safetensors")]
    for path in sorted(path for kind in (*kinds, "exports/*") for path in work.glob(kind)):
        ours = path.parent.name == "features"
        try:
            item = _or_unread(path, LtfixError if ours and not verify else EnvironmentFault)
        except InputError:  # it may be of anybody
            if ours:
                raise
            continue
        found.append(_or_unread(path, EnvironmentFault, verify=True) if verify else item)
    if not found:
        what = "nothing to inspect: no features/, heads/, compare/, runs/ or exports/, no tensors of ltfix"
        raise InputError(what, where=work, hint="name a cache, head, run or checkpoint")
    if format == "json":
        items = [item.to_dict() for item in found]
        console.write(json_text({"format": FORMAT, "items": items}))
        return
    rows = [[item.kind, item.path, item.holds, tables.size(item.size)] for item in found]
    console.table(["kind", "path", "holds", "size"], rows)


def _or_unread(path: Path, faults: type[LtfixError], verify: bool = False) -> Description:
    """As it is, or at one of these faults as unread: torn, or what reads it is not there."""
    from ltfix.evaluation.describe import Description, Fact

    try:
        return _describe(path, verify)
    except faults as err:
        why = console.one_line(": ".join(filter(None, (err.what, err.hint))))
        return Description(path, "unread", [Fact("why", why, {"why": why})], why)


def _wrapped(label: str, text: str) -> list[str]:
    """A fact on lines of at most 80 columns, as far as its words allow."""
    return textwrap.wrap(
        text,
        histogram.WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _histogram(counts: list[int], names: list[str] | None, order: str, every: bool) -> list[str]:
    if len(set(counts)) == 1 and not every:
        return [f"samples per class: {counts[0]} in each"]
    where = "by count" if order == "count" else "by index"
    positive = [n for n in counts if n]
    spread = f", {max(positive)} to {min(positive)}" if positive else ""
    empty = len(counts) - len(positive)
    factor = f", imbalance factor {max(positive) / min(positive):.1f}" if positive else ""
    none = f", {empty} without any" if empty else ""
    drawn = histogram.draw(
        counts,
        names,
        by_count=order == "count",
        every=every,
        ascii_only=_ascii_only(),
    )
    return [f"samples per class, {where}{spread}{factor}{none}", *drawn]


def _ascii_only() -> bool:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def _norms(norms: list[dict[str, Any]], every: bool) -> list[str]:
    """Batch norm's γ and β, a layer a line."""
    shown = norms if every else norms[:_SHOWN_TENSORS]
    width = max(len(norm["layer"]) for norm in shown)
    lines = ["batch norm, mean (least to most)"]
    for norm in shown:
        spreads = [
            f"{s['mean']:.3f} ({s['least']:.3f} to {s['most']:.3f})" for s in (norm["gamma"], norm["beta"])
        ]
        lines.append(f"  {norm['layer']:<{width}}  γ {spreads[0]}  β {spreads[1]}")
    return lines + _rest(norms, shown)


def _rest(every: list[dict[str, Any]], shown: list[dict[str, Any]]) -> list[str]:
    n = len(every) - len(shown)
    return [f"  … and {n} more (--all shows them)"] if n else []


def _tensors(tensors: list[dict[str, Any]], every: bool) -> list[str]:
    shown = tensors if every else tensors[:_SHOWN_TENSORS]
    lines = [f"  {t['name']}  {t['dtype']} {t['shape']}" for t in shown]
    return lines + _rest(tensors, shown)
