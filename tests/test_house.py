"""The house, measured on the syntax trees: sizes, directions, circles, names. Each check is shown to fail."""

from __future__ import annotations

import ast
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ltfix"
LAYERS = [  # each imports what stands before it; rooms of one layer do not know each other
    {"_version", "errors", "filemap", "locking", "numerals"},
    {"bars"},
    {"progress"},
    {"publishing", "option", "claims", "ranks", "public", "notebook"},
    {"files"},
    {"_pava", "_pava_py", "records", "seeds", "compute"},
    {"tensorfile", "runfile"},
    {"_samn", "_samn_py", "_look_py"},
    {"kernel"},
    {"pava"},
    {"heads"},
    {"features", "images"},
    {"evaluation"},
    {"backbones"},
    {"extraction", "importing"},
    {"stage2"},
    {"stage1", "estimator"},
    {"exporting"},
    {"predicting"},
    {"report"},
    {"demo"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
STAGE2 = ["methods", "layers", "losses", "loop", "fitting", "tuning", "fit", "tables"]  # lowest first
PUBLIC = {"__init__", "__main__"}  # the facade, which reaches everything lazily
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN, P90 = 300, 80, 10, 25

Sources = dict[str, str]
"""The text of every module by its dotted name below ltfix; a room's ``__init__`` by the room's."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def read_sources() -> Sources:
    return {module_name(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


SOURCES = read_sources()
LIBRARY = {name: text for name, text in SOURCES.items() if not name.startswith("cli.")}
INSIDE = [name for name in SOURCES if name not in PUBLIC]


# --- the checks


def room_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def imports(source: str, module: str) -> Iterator[str]:
    """Dotted names below ltfix that a module imports, wherever in its text; "" stands for ltfix itself."""
    here = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = ["ltfix", *here[: len(here) - node.level], *base]
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from (".".join(target[1:]) for target in targets if target[0] == "ltfix")


def back_edges(source: str, module: str) -> list[str]:
    """Imports of a module that point to a room above its own, or to a higher room of stage 2."""
    return [
        f"{module} imports ltfix.{target}"
        for target in imports(source, module)
        if points_up(module.split("."), target.split("."))
    ]


def points_up(module: list[str], target: list[str]) -> bool:
    if module[0] == "cli":
        return False
    if target[0] != module[0]:
        return target[0] not in RANK or RANK[target[0]] >= RANK[module[0]]
    inner = [part for (_, part, *_) in (module, [*target, ""]) if part in STAGE2]
    return module[0] == "stage2" and len(inner) == 2 and STAGE2.index(inner[1]) > STAGE2.index(inner[0])


def circles(sources: Sources) -> list[tuple[str, str]]:
    """Pairs of modules that import each other."""
    known = {name.removesuffix(".__init__") for name in sources}
    edges = {
        name.removesuffix(".__init__"): {
            target if target in known else target.rpartition(".")[0] for target in imports(source, name)
        }
        for name, source in sources.items()
    }
    return [(a, b) for a, targets in edges.items() for b in targets if a < b and a in edges.get(b, ())]


def names_defined_twice(sources: Sources) -> dict[str, list[str]]:
    """Public classes and CamelCase aliases that more than one place defines."""
    places = defaultdict(list)
    for module, source in sources.items():
        tree = ast.parse(source)
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        assigned = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
        aliases = [t.id for t in assigned if isinstance(t, ast.Name) and re.match("[A-Z][a-z]", t.id)]
        for name in classes + aliases:
            places[name].append(module)
    return {name: where for name, where in places.items() if len(where) > 1 and not name.startswith("_")}


def flags(sources: Sources) -> list[str]:
    """Strings that speak of an option as the command line spells it."""
    return [
        f"{module}:{node.lineno}: {found[0]}"
        for module, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (found := re.search(r"(?<![\w-])--[a-z][\w-]*", node.value))
    ]


def function_lengths(sources: Sources) -> dict[str, int]:
    return {
        f"{module}.{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for module, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def roots_imported(source: str) -> set[str]:
    """Top-level packages that a module imports, wherever in its text."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def calls(source: str) -> set[str]:
    """Plain names that a module calls."""
    found = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {function.id for function in found if isinstance(function, ast.Name)}


# --- the package passes them


def test_no_file_is_long():
    lines = {module: len(text.splitlines()) for module, text in SOURCES.items()}
    print(f"ltfix: {len(lines)} files, {sum(lines.values())} lines")
    assert {module: n for module, n in lines.items() if n > LONGEST_FILE} == {}


def test_functions_are_short():
    lengths = function_lengths(SOURCES)
    ordered = sorted(lengths.values())
    median, p90 = statistics.median(ordered), ordered[int(0.9 * len(ordered))]
    print(f"ltfix: {len(ordered)} functions, median {median}, p90 {p90}, longest {ordered[-1]}")
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}
    assert median < MEDIAN
    assert p90 <= P90


def test_every_room_has_a_rank():
    rooms = {room_of(module) for module in INSIDE}
    assert rooms <= set(RANK), f"give {rooms - set(RANK)} a layer"
    inner = {module.split(".")[1] for module in INSIDE if room_of(module) == "stage2"}
    assert inner <= {*STAGE2, "__init__"}, f"give {inner - set(STAGE2)} a place in stage 2"


@pytest.mark.parametrize("module", INSIDE)
def test_imports_point_one_way(module: str):
    assert back_edges(SOURCES[module], module) == []


def test_no_two_files_import_each_other():
    assert circles(SOURCES) == []


def test_a_type_name_is_used_once():
    assert names_defined_twice(SOURCES) == {}


def test_the_library_does_not_speak_argv():
    assert flags(LIBRARY) == []


def test_only_the_command_line_imports_typer_and_only_bars_beside_it_rich():
    users = {module for module, text in LIBRARY.items() if roots_imported(text) & {"typer", "rich", "click"}}
    assert users <= {*PUBLIC, "bars"}


def test_the_library_neither_prints_nor_exits():
    loud = {module for module, text in LIBRARY.items() if calls(text) & {"print", "exit", "quit", "input"}}
    assert loud == set()


# --- the checks can fail


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ltfix.cli import console", "heads.head"),
        ("import ltfix.stage2.fit", "evaluation.report"),
        ("def f():\n    from ltfix.backbones.load import load_backbone", "features.read"),
        ("from ..stage1 import train", "stage2.fit"),
        ("from ltfix import cli", "stage2.fit"),
        ("from ltfix import features", "images.folder"),
        ("import ltfix", "stage1.train"),
        ("import ltfix.heads", "errors"),
        ("from ltfix.stage2.loop import engine", "stage2.layers.linear"),
        ("from ltfix.stage2 import fit", "stage2.tuning.search"),
        ("from ..tables import compare", "stage2.fitting.starts"),
    ],
)
def test_a_back_edge_is_found(source: str, module: str):
    assert len(back_edges(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ltfix.errors import UsageError", "files"),
        ("from . import losses", "stage2.fit"),
        ("import numpy as np", "heads.head"),
        ("import ltfix", "cli.methods"),
        ("from ltfix.stage2.loop import engine", "stage2.loop.data"),
        ("from ltfix.stage2.fit import fit", "stage2.tables.compare"),
    ],
)
def test_a_forward_edge_passes(source: str, module: str):
    assert back_edges(source, module) == []


def test_a_circle_is_found():
    there = {
        "features.read": "from ltfix.features import store",
        "features.store": "",
        "features.__init__": "",
    }
    assert circles(there) == []
    back = {**there, "features.store": "def f():\n    from .read import open_cache"}
    assert circles(back) == [("features.read", "features.store")]
    room = {"cli.__init__": "from ltfix.cli.console import note", "cli.console": "from ltfix.cli import run"}
    assert circles(room) == [("cli", "cli.console")]


def test_a_second_definition_is_found():
    sources = {
        "a": "class Plan: ...\nclass _Own: ...",
        "b": "Plan = dict[str, int]\nclass _Own: ...\nPAD = 1",
    }
    assert names_defined_twice(sources) == {"Plan": ["a", "b"]}
    assert names_defined_twice({"a": sources["a"], "b": "plan = Plan()"}) == {}


@pytest.mark.parametrize("text", ["use --dtype float32", "`--lr`", "--val", "(--set a=b)"])
def test_a_flag_is_found(text: str):
    assert len(flags({"a": f"raise E(f'''{text}{{x}}''')"})) == 1
    assert len(flags({"a": f'"""{text}"""'})) == 1
    assert flags({"a": "x --y  # --z\n'a -- b, c--d, ---'"}) == []


def test_lengths_and_names_are_counted():
    source = "class A:\n    def f(self):\n        x = 1\n        return x\n\nimport rich.console\nprint(1)\n"
    assert function_lengths({"a": source}) == {"a.f:2": 3}
    assert roots_imported(source + "from typer import run") == {"rich", "typer"}
    assert calls(source) == {"print"}
