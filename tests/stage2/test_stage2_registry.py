"""The table of methods: complete, light, and open to other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ltfix
from ltfix.errors import UsageError
from ltfix.stage2.loop.samplers import draw
from ltfix.stage2.losses import build as losses
from ltfix.stage2.methods import parts
from ltfix.stage2.methods.registry import find_method, methods

EXPECTED = {"ce", "samn", "los", "tau-norm", "logit-adjust"}


def test_methods_have_unique_names_sources_and_known_parts():
    names = [method.name for method in methods()]
    assert len(set(names)) == len(names)
    assert set(names) >= EXPECTED
    assert ltfix.methods() == methods()
    for method in methods():
        assert method.summary
        assert method.source
        assert method.head in parts.HEADS
        assert method.loss is None or method.loss in parts.LOSSES
        assert method.posthoc is None or method.posthoc in parts.POSTHOC
        assert method.init in parts.INITS
        assert set(method.defaults) | set(method.grid) <= set(method.values())
        for condition, defaults in method.instead.items():
            name, _, word = condition.partition("=")
            assert word in method.values()[name].choices
            assert set(defaults) <= set(method.values())


def test_every_value_says_what_it_means():
    for method in methods():
        for name, value in method.values().items():
            assert value.meaning, name
            assert value.default is None or not value.choices or value.default in value.choices


def test_tables_and_code_name_the_same_parts():
    assert set(parts.LOSSES) == set(losses.NAMES)
    import numpy as np

    for name in parts.SAMPLERS:
        assert len(draw(name, np.array([0, 1, 1]), 0, 0, 1)) == 3


def test_the_row_of_the_listing():
    row = find_method("samn").to_dict()
    assert set(row) == {"name", "summary", "source", "defaults"}
    assert row["defaults"]["metric"] == "freq"
    assert row["defaults"]["lr"] == 5e-4


def test_listing_needs_neither_torch_nor_numpy():
    program = (
        "import sys; from ltfix.stage2.methods.registry import methods; [m.to_dict() for m in methods()]; "
        "print(*{'torch', 'numpy', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_method_offers_the_nearest():
    with pytest.raises(UsageError, match=r"unknown method 'smn' \(--method\): did you mean samn"):
        find_method("smn")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that brings the method ``half-los``."""
    monkeypatch.delitem(sys.modules, "ltfix_half", raising=False)
    info = tmp_path / "ltfix_half-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ltfix-half\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ltfix.methods]\nhalf-los = ltfix_half:METHOD\n")
    (tmp_path / "ltfix_half.py").write_text(
        "from ltfix.stage2.methods.registry import Method\n"
        'METHOD = Method("half-los", "over-smoothing, by half", "nobody", loss="los",'
        ' defaults={"delta": 0.5, "epochs": 2})\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_third_party_method_is_found_by_entry_point(plugin, draw_cache):
    method = find_method("half-los")
    assert method.values()["delta"].default == 0.5
    cache = draw_cache([20, 5, 2])
    head = ltfix.fit(cache, "half-los")
    assert head.method == "half-los"
    assert head.meta["values"]["delta"] == {"value": 0.5, "from": "default"}
    same = ltfix.fit(cache, "los", delta=0.5, epochs=2)
    assert (head.weight == same.weight).all()


def test_a_third_party_method_on_the_command_line(plugin, tmp_path: Path, ltfix):
    done = ltfix("methods", "half-los", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "over-smoothing, by half" in done.stdout
