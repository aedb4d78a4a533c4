"""The worked examples of docs/design.md work, and its tables name what is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ltfix
from ltfix.stage2.losses import softmax
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods import catalog, entries, registry

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```\w+\n# ([^\n]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def cache(tmp_path: Path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [40, 12, 4])
    features = np.abs(np.eye(3, 6)[labels] * 3 + rng.normal(size=(len(labels), 6))).astype(np.float32)
    np.savez(tmp_path / "train.npz", features=features, labels=labels)
    return ltfix.open_cache(tmp_path / "train.npz")


def test_an_entry_of_existing_parts(cache, monkeypatch):
    method = eval(BLOCKS["ltfix/stage2/methods/entries.py"], vars(entries))
    monkeypatch.setattr(registry, "METHODS", (*registry.METHODS, method))
    head = ltfix.fit(cache, "crt+los", delta=0.9, epochs=2)
    assert head.method == "crt+los"
    assert head.meta["values"]["sampler"]["value"] == "class-aware"
    assert head.meta["init"] == {"from": "random"}
    assert {"delta", "lr"} <= set(method.values())
    assert ltfix.fit(cache, "crt+los", tune=True, epochs=1).meta["selection"]["chosen"]


def test_a_new_loss(cache, monkeypatch):
    added = eval(BLOCKS["ltfix/stage2/methods/catalog.py, in LOSSES"], vars(catalog))
    monkeypatch.setitem(catalog.LOSSES, added.name, added)
    module = dict(vars(softmax))
    exec(BLOCKS["ltfix/stage2/losses/softmax.py"], module)
    monkeypatch.setattr(softmax, "sharpened", module["sharpened"], raising=False)
    counts = torch.tensor([40, 12, 4])
    values = [{"sharpness": 0.5}, {"sharpness": 3.0}]
    loss = build_loss("sharpened", counts, values, dtype=torch.float64)
    z = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 2, 0])
    z.requires_grad_()
    (by_autograd,) = torch.autograd.grad(loss.value(z, y).sum(), z)
    assert torch.allclose(loss.grad_(z.detach().clone(), y) / len(y), by_autograd, atol=1e-12)
    head = ltfix.fit(cache, "ce", loss="sharpened", sharpness=0.3, epochs=2)
    assert head.meta["values"]["sharpness"] == {"value": 0.3, "from": "option"}


def test_a_method_of_another_package(cache, tmp_path: Path, monkeypatch):
    (group,) = re.findall(r'entry-points\."([^"]+)"', BLOCKS["pyproject.toml"])
    name, where = re.findall(r'^(\S+) = "([^"]+)"', BLOCKS["pyproject.toml"], re.MULTILINE)[0]
    monkeypatch.delitem(sys.modules, "ltfix_half", raising=False)
    info = tmp_path / "ltfix_half-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ltfix-half\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {where}\n")
    (tmp_path / "ltfix_half.py").write_text(BLOCKS["ltfix_half.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    head = ltfix.fit(cache, name)
    same = ltfix.fit(cache, "los", delta=0.5, epochs=10)
    assert head.method == name
    assert (head.weight == same.weight).all()


def test_every_room_is_in_the_table():
    rows = " ".join(re.findall(r"^\| (`.+?) \|", PAGE.split("### Inside")[0], re.MULTILINE))
    package = ROOT / "ltfix"
    rooms = [p.name for p in package.iterdir() if p.is_dir() and not p.name.startswith("_")]
    modules = [p.name for p in package.glob("*.py") if not p.name.startswith("_")]
    assert [room for room in rooms if f"`{room}/`" not in rows] == []
    assert [module for module in modules if f"`{module}`" not in rows] == []


def test_every_room_of_stage2_is_in_its_table_and_none_else():
    section = PAGE.split("### Inside `stage2/`")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)(?:/|\.py)` ", section, re.MULTILINE))
    stage2 = ROOT / "ltfix" / "stage2"
    rooms = {p.stem for p in stage2.iterdir() if not p.name.startswith("_")}
    assert named == rooms


WALK = re.findall(r"`(\w+)`(?: of the \w+)? \(`([\w/]+\.py)`\)", PAGE)


def test_the_walks_name_functions_that_are_there_and_few():
    walks = PAGE.split("## The house")[0].split("**")[1::2]
    assert len(walks) == 3
    assert len(WALK) == 21
    for name, place in WALK:
        text = (ROOT / "ltfix" / place).read_text(encoding="utf-8")
        assert re.search(rf"^ *def {name}\(", text, re.MULTILINE), f"{place} has no {name}"
    for walk in re.split(r"\*\*A[n ].*?\*\*", PAGE.split("## The house")[0])[1:]:
        assert 5 <= len(re.findall(r"`\w+`(?: of the \w+)? \(", walk)) <= 8
