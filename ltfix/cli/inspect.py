"""``ltfix inspect``: what a cache, head, run or checkpoint is."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

from ltfix.cli import bars, console, tables
from ltfix.cli.options import ListFormat, WorkFolder
from ltfix.cli.signature import ARGUMENT
from ltfix.option import Option

_PICKLED = (".pth", ".pt", ".bin", ".tar")
_SHOWN_TENSORS = 12


def inspect(
    path: Annotated[
        Path | None,
        Option("A cache, head, run folder or checkpoint. Default: all there is.", metavar="PATH"),
        ARGUMENT,
    ] = None,
    verify: Annotated[bool, Option("Compare recorded hashes and read every feature.")] = False,
    order: Annotated[str, Option("Draw classes by count or by index.", choices=("count", "index"))] = "count",
    every: Annotated[bool, Option("One line a class or tensor, however many.", flag="all")] = False,
    format: ListFormat = "table",
    work: WorkFolder = Path(),
) -> None:
    """Show what a cache, head, run or checkpoint is: shapes, class counts as bars, provenance."""
    if path is None:
        _overview(work, verify, format)
        return
    found = _describe(path, verify)
    if format == "json":
        console.write(json.dumps(found, indent=1, ensure_ascii=False))
        return
    lines = [f"{found['kind']}  {found['path']}", *_fields(found)]
    if found.get("counts"):
        lines += ["", *_histogram(found, order, every)]
    if found.get("tensors"):
        lines += ["", *_tensors(found["tensors"], every)]
    console.write("\n".join(lines))


def _describe(path: Path, verify: bool) -> dict[str, Any]:
    from ltfix.evaluation.describe import FORMAT, checkpoint, describe

    if path.suffix in _PICKLED and path.is_file():
        return {
            "format": FORMAT,
            "path": str(path),
            "bytes": path.stat().st_size,
            "kind": "checkpoint",
            **checkpoint(_pickled(path)),
        }
    return describe(path, verify=verify)


def _pickled(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Dtype and shape of the tensors of a torch checkpoint; nothing but tensors is unpickled."""
    from ltfix.backbones.checkpoint import read_checkpoint

    state = read_checkpoint(path).state
    return {name: (str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in state.items()}


def _overview(work: Path, verify: bool, format: str) -> None:
    from ltfix.errors import InputError

    places = ("features/*/", "heads/*.safetensors", "runs/*/")
    paths = [path for place in places for path in sorted(work.glob(place))]
    if not paths:
        raise InputError(
            "nothing to inspect: no features/, heads/ or runs/",
            where=work,
            hint="name a cache, head, run or checkpoint",
        )
    found = [_describe(path, verify) for path in paths]
    if format == "json":
        from ltfix.evaluation.describe import FORMAT

        console.write(json.dumps({"format": FORMAT, "items": found}, indent=1, ensure_ascii=False))
        return
    rows = [[item["kind"], item["path"], _holds(item), tables.size(item["bytes"])] for item in found]
    console.table(["kind", "path", "holds", "size"], rows)


def _holds(item: dict[str, Any]) -> str:
    """What an item is, in the width of a table cell."""
    if item["kind"] == "cache":
        return f"{item['n']} samples, V {item['views']}, D {item['dim']}, K {item['classes']}"
    if item["kind"] == "head":
        return f"{item['method']}, D {item['dim']}, K {item['classes']}"
    if item["kind"] == "run":
        state = "finished" if item["finished"] else "unfinished"
        return f"{item['run'].get('model', 'model')}, {item['run'].get('recipe', 'recipe')}, {state}"
    return f"{item.get('shards', 0)} shards so far" if item["kind"] == "unfinished cache" else ""


def _fields(found: dict[str, Any]) -> list[str]:
    """One aligned line a fact."""
    kinds = {"cache": _cache_facts, "head": _head_facts, "run": _run_facts}
    facts = kinds.get(found["kind"], _other_facts)(found)
    facts["size"] = tables.size(found["bytes"])
    known = {key: text for key, text in facts.items() if text}
    width = max(map(len, known))
    return [line for key, text in known.items() for line in _wrapped(f"  {key:<{width}}  ", text)]


def _wrapped(label: str, text: str) -> list[str]:
    """A fact on lines of at most 80 columns, as far as its words allow."""
    return textwrap.wrap(
        text,
        bars.WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cache_facts(found: dict[str, Any]) -> dict[str, str]:
    views = f", {found['views']} views" if found["views"] > 1 else ""
    backbone, source = found.get("backbone") or {}, found.get("source") or {}
    verified = found.get("verified")
    return {
        "samples": f"{found['n']}{views}",
        "features": f"{found['dim']} dimensions, {found['dtype']}",
        "classes": _classes(found["classes"], found["class_names"]),
        "shots": _shots(found),
        "stage 1": "no classifier" if found["stage1"] is None else _norms(found["stage1"]),
        "backbone": _pairs(backbone),
        "preprocess": _pairs(found.get("preprocess") or {}),
        "source": _pairs(source),
        "skipped": str(len(found.get("skipped") or [])) if found.get("skipped") else "",
        "fingerprint": found["fingerprint"] or "",
        "made by": found.get("created_by", ""),
        "verified": f"{verified['hashes']} hashes equal, all features finite" if verified else "",
    }


def _head_facts(found: dict[str, Any]) -> dict[str, str]:
    transform = found["transform"]
    meta = found["meta"]
    return {
        "method": found["method"],
        "features": f"{found['dim']} dimensions",
        "classes": _classes(found["classes"], found["class_names"]),
        "shots": _shots(found),
        "row norms": _norms(found),
        "transform": _pairs(transform) if transform else "",
        **{str(key).replace("_", " "): _value(value) for key, value in meta.items()},
        "sha256": found["sha256"] or "",
    }


def _run_facts(found: dict[str, Any]) -> dict[str, str]:
    run = found["run"]
    names = found["class_names"]
    return {
        "finished": "yes" if found["finished"] else "no: the same `ltfix train-backbone` goes on with it",
        "classes": _classes(len(names), names) if names else "",
        "shots": _shots(found),
        "classifier": "" if found["stage1"] is None else _norms(found["stage1"]),
        **{key: _value(value) for key, value in run.items() if key not in ("finished", "provenance")},
        "files": ", ".join(found["files"]),
    }


def _other_facts(found: dict[str, Any]) -> dict[str, str]:
    if found["kind"] == "checkpoint":
        written = found.get("metadata", {})
        facts = {"values": f"{found['parameters']} in {len(found['tensors'])} tensors"}
        return facts | {
            str(key): bars.cut(_value(value), 60) for key, value in sorted(written.items()) if key != "ltfix"
        }
    return {
        "shards": f"{found['shards']} so far",
        "fingerprint": found["fingerprint"] or "",
        "run": _pairs(found["run"] or {}),
        "next": "the same `ltfix extract` finishes it",
    }


def _histogram(found: dict[str, Any], order: str, every: bool) -> list[str]:
    counts = found["counts"]
    where = "by count" if order == "count" else "by index"
    positive = [n for n in counts if n]
    spread = f", {max(positive)} to {min(positive)}" if positive else ""
    empty = len(counts) - len(positive)
    factor = f", imbalance factor {max(positive) / min(positive):.1f}" if positive else ""
    none = f", {empty} without any" if empty else ""
    drawn = bars.draw(
        counts,
        found.get("class_names"),
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


def _tensors(tensors: list[dict[str, Any]], every: bool) -> list[str]:
    shown = tensors if every else tensors[:_SHOWN_TENSORS]
    lines = [f"  {t['name']}  {t['dtype']} {t['shape']}" for t in shown]
    rest = len(tensors) - len(shown)
    return lines + ([f"  … and {rest} more (--all shows them)"] if rest else [])


def _classes(n: int, names: list[str] | None) -> str:
    return f"{n}" + (f" ({names[0]} … {names[-1]})" if names else "")


def _shots(found: dict[str, Any]) -> str:
    shots = found.get("shots")
    if not shots:
        return ""
    size = shots["n_classes"]
    return (
        f"{size['many']} Many (n > {shots['many']}), {size['medium']} Medium, "
        f"{size['few']} Few (n < {shots['few']}), by {shots['of']}"
    )


def _norms(found: dict[str, Any]) -> str:
    norm = found["weight_norm"]
    spread = f"{norm['least']:.2f} to {norm['most']:.2f}"
    return f"K {found['classes']}, rows of norm {spread}, mean {norm['mean']:.2f}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {_value(value)}" for key, value in values.items() if value not in (None, "", {}, [])
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + _pairs(value) + ")" if value else ""
    if isinstance(value, list):
        return ",".join(map(_value, value))
    return "" if value is None else str(value)
