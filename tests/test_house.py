"""The direction of imports, drawn from the syntax trees: each layer imports what stands before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ltfix"
LAYERS = [
    {"_version", "errors", "progress"},
    {"files", "option"},
    {"_pava", "_pava_py", "tensorfile", "runfile", "seeds", "compute"},
    {"_samn", "_samn_py"},
    {"pava"},
    {"heads"},
    {"features", "images"},
    {"evaluation"},
    {"backbones"},
    {"extraction"},
    {"stage2"},
    {"stage1"},
    {"demo"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
PUBLIC = {"__init__", "__main__"}  # the facade, which reaches everything lazily


def module_of(path: Path) -> list[str]:
    return list(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(source: str, module: list[str]) -> Iterator[str]:
    """Rooms of ltfix that a module imports, wherever in its text; "" stands for ltfix itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = ["ltfix", *module[: len(module) - node.level], *base]
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from (target[1] if len(target) > 1 else "" for target in targets if target[:1] == ["ltfix"])


def back_edges(source: str, module: list[str]) -> list[str]:
    room = module[0]
    found = []
    for target in imports(source, module):
        if room == "cli":
            continue
        if target not in RANK or (RANK[target] >= RANK[room] and target != room):
            found.append(f"{'.'.join(module)} imports ltfix.{target}")
    return found


FILES = sorted(
    p
    for p in PACKAGE.rglob("*.py")
    if p.relative_to(PACKAGE).with_suffix("").name not in PUBLIC or p.parent != PACKAGE
)


def test_every_room_has_a_rank():
    rooms = {module_of(path)[0] for path in FILES}
    assert rooms <= set(RANK), f"give {rooms - set(RANK)} a layer"


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(module_of(p)))
def test_imports_point_one_way(path: Path):
    assert back_edges(path.read_text(encoding="utf-8"), module_of(path)) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ltfix.cli import console", ["heads", "head"]),
        ("import ltfix.stage2.fit", ["evaluation", "report"]),
        ("def f():\n    from ltfix.backbones.load import load_backbone", ["features", "read"]),
        ("from ..stage1 import train", ["stage2", "fit"]),
        ("from ltfix import cli", ["stage2", "fit"]),
        ("from ltfix import features", ["images", "folder"]),
        ("import ltfix", ["stage1", "train"]),
        ("import ltfix.heads", ["errors"]),
    ],
)
def test_the_check_finds_back_edges(source: str, module: list[str]):
    assert len(back_edges(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ltfix.errors import UsageError", ["files"]),
        ("from . import losses", ["stage2", "fit"]),
        ("import numpy as np", ["heads", "head"]),
        ("import ltfix", ["cli", "methods"]),
    ],
)
def test_the_check_lets_forward_edges_pass(source: str, module: list[str]):
    assert back_edges(source, module) == []


def test_only_the_command_line_imports_typer_or_rich():
    for path in FILES:
        if module_of(path)[0] != "cli":
            text = path.read_text(encoding="utf-8")
            names = {
                name.split(".")[0]
                for node in ast.walk(ast.parse(text))
                for name in (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            assert not names & {"typer", "rich", "click"}, path


def test_the_library_neither_prints_nor_exits():
    for path in FILES:
        if module_of(path)[0] != "cli":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in ("print", "exit", "quit", "input"), path
