"""The table of methods: complete, light, and open to other packages."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.errors import UsageError, nearest
from ltfix.heads.head import Head
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.loop.samplers import draw
from ltfix.stage2.methods import catalog
from ltfix.stage2.methods.method import Method
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import Part
from ltfix.stage2.methods.registry import find_method, methods
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.method_fit import MethodFit

EXPECTED = {"ce", "samn", "los", "tau-norm", "logit-adjust"}


def test_methods_have_unique_names_sources_and_known_parts():
    names = [method.name for method in methods()]
    assert len(set(names)) == len(names)
    assert set(names) >= EXPECTED
    assert ltfix.methods() == methods()
    for method in methods():
        assert method.summary
        assert method.source
        assert method.tested() is method
        assert method.to_dict()["parts"]["init"]["name"] in catalog.STARTS


def test_every_value_says_what_it_means():
    for method in methods():
        for name, value in method.values().items():
            assert value.meaning, name
            assert value.default is None or not value.choices or value.default in value.choices


def test_tables_and_code_name_the_same_parts():
    for kind, table in catalog.PARTS.items():
        for name, part in table.items():
            assert (part.name, part.kind) == (name, kind)
            assert callable(part.function)
    for name in catalog.SAMPLERS:
        assert len(draw(name, np.array([0, 1, 1]), 0, 0, 1)) == 3


def test_the_row_of_the_listing():
    row = find_method("samn").to_dict()
    assert set(row) == {"name", "summary", "source", "defaults", "grid", "parts"}
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
    with pytest.raises(UsageError, match=r"unknown method 'smn' \(method\): did you mean samn"):
        find_method("smn")


def test_of_a_name_begun_all_that_begin_so_are_offered_in_order():
    known = [f"net_lite{n}" for n in range(5)]
    assert nearest("net_lite", known) == f"did you mean {' or '.join(known)}?"


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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"loss": "lso"}, "method own names an unknown loss 'lso': did you mean los"),
        ({"head": "liner"}, "names an unknown head 'liner': did you mean linear"),
        ({"loss": None, "posthoc": "tau"}, "names an unknown post-hoc step 'tau': did you mean tau-norm"),
        ({"constraint": "max-norm"}, "names an unknown constraint 'max-norm': did you mean maxnorm"),
        ({"init": "stage-1"}, "names an unknown start 'stage-1': did you mean stage1"),
        ({"sampler": "even"}, "names an unknown sampler 'even'"),
        ({"loss": catalog.HEADS["etf"]}, "names an unknown loss 'etf'"),
        (
            {"head": "samn", "constraint": "maxnorm"},
            "maxnorm moves rows, which the head samn has not free",
        ),
        ({"head": "etf", "constraint": "maxnorm"}, "which the head etf has not free"),
        (
            {"head": "disalign", "posthoc": "tau-norm"},
            "tau-norm needs logits that are linear in something, those of disalign are not",
        ),
        ({"loss": None, "constraint": "maxnorm"}, "it trains nothing, so its head or constraint"),
        ({"loss": None, "head": "samn", "posthoc": "ncm"}, "it trains nothing"),
        (
            {"head": "lws", "init": "random"},
            "and those of random are noise",
        ),
        (
            {"head": "etf", "init": "probe"},
            "so it does not start from probe",
        ),
        ({"loss": "ldam"}, "ldam has margins and a scale for cosines"),
        ({"loss": "cb", "sampler": "class-aware"}, "would each correct the prior"),
        ({"loss": "cb", "defaults": {"sampler": "class-aware"}}, "would each correct the prior"),
        ({"defaults": {"delta": 0.5}}, "method own has no value 'delta'"),
        ({"defaults": {"lr": "fast"}}, "lr must be a number, found 'fast' (method own, defaults)"),
        ({"defaults": {"epochs": 1.5}}, "epochs must be a whole number, found 1.5 (method own, defaults)"),
        ({"loss": "los", "defaults": {"delta": 2}}, "delta = 2 is out of range (method own, defaults)"),
        ({"loss": "los", "grid": {"delta": (0.5, 2)}}, "delta = 2 is out of range (method own, grid)"),
        ({"grid": {"tau": (1.0,)}}, "method own has no value 'tau' (grid)"),
        ({"loss": "cb", "instead": {"form=bec": {"lr": 1.0}}}, "method own: no value is ever form=bec"),
        ({"loss": "cb", "instead": {"from=bce": {"lr": 1.0}}}, "method own: no value is ever from=bce"),
        ({"loss": "cb", "instead": {"form=bce": {"delta": 1.0}}}, "method own has no value 'delta'"),
    ],
    ids=str,
)
def test_an_entry_is_checked_whole(entry: dict, message: str):
    with pytest.raises(UsageError) as caught:
        Method("own", "does", "nobody", **entry).tested()
    assert message in str(caught.value)


def test_a_part_of_another_package_is_treated_as_a_built_in_one(draw_cache, plugin, tmp_path: Path):
    cache = draw_cache([20, 5, 2])
    (tmp_path / "ltfix_half.py").write_text(
        "from ltfix.stage2.losses.softmax import balanced_softmax\n"
        "from ltfix.stage2.loop.samplers import class_aware\n"
        "from ltfix.stage2.methods.registry import Method\n"
        "from ltfix.stage2.methods.parts import Part\n"
        'LOSS = Part("own-loss", "loss", balanced_softmax, corrects_prior=True)\n'
        'SAMPLER = Part("own-sampler", "sampler", "ltfix_half:class_aware")\n'
        'OWN = {"loss": LOSS, "sampler": SAMPLER}\n'
        'METHOD = Method("half-los", "by half", "nobody", **OWN, defaults={"lr": 0.01})\n'
    )
    head = ltfix.fit(cache, "half-los", epochs=2)
    assert re.fullmatch("own-loss@[0-9a-f]{12}", head.meta["parts"]["loss"])  # its code may change
    assert head.meta["values"]["sampler"]["value"] == "own-sampler"
    assert head.meta["values"]["lr"] == {"value": 0.01, "from": "default"}
    plain = find_method("balanced-softmax")
    same = ltfix.fit(cache, "balanced-softmax", epochs=2, lr=0.01)
    assert not (head.weight == same.weight).all()
    assert (ltfix.fit(cache, "half-los", epochs=2, sampler="instance").weight == same.weight).all()
    with pytest.raises(UsageError, match="would each correct the prior"):
        ltfix.fit(cache, "half-los", sampler="class-aware")
    assert find_method("half-los").to_dict()["parts"]["loss"]["traits"] == ["corrects_prior"]
    assert plain.to_dict()["parts"]["loss"]["traits"] == ["corrects_prior"]


def test_an_entry_point_that_is_no_method_is_refused(plugin, tmp_path: Path):
    (tmp_path / "ltfix_half.py").write_text("METHOD = 3\n")
    with pytest.raises(UsageError, match="the entry point half-los is of type int, not a Method"):
        find_method("half-los")


def test_an_entry_point_that_does_not_load_says_why(plugin, tmp_path: Path):
    (tmp_path / "ltfix_half.py").write_text("import no_such_module\n")
    with pytest.raises(
        UsageError, match=r"half-los does not load: No module named 'no_such_module' \(ltfix_half"
    ):
        find_method("half-los")


def test_a_plug_in_that_names_no_such_part_is_refused_when_it_is_found(plugin, tmp_path: Path):
    (tmp_path / "ltfix_half.py").write_text(
        "from ltfix.stage2.methods.registry import Method\n"
        'METHOD = Method("half-los", "by half", "nobody", head="samn", constraint="maxnorm")\n'
    )
    with pytest.raises(UsageError, match="maxnorm moves rows, which the head samn has not free"):
        find_method("half-los")
    (tmp_path / "ltfix_half.py").write_text(
        "from ltfix.stage2.methods.registry import Method\n"
        'METHOD = Method("half-los", "by half", "nobody", init="cold")\n'
    )
    sys.modules.pop("ltfix_half")
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match="method half-los names an unknown start 'cold'"):
        find_method("half-los")


def test_a_plug_ins_own_constraint_and_start_are_used(draw_cache):
    cache = draw_cache([20, 5, 2])
    calls = []

    class Watched:
        def after(self, moment: str) -> None:
            calls.append(moment)

    def mirrored(data, coordinates, given, probed):
        start = coordinates.into(Head(-given.weight, -given.bias, meta={"from": "mirrored"}))
        return lambda seed: start

    method = Method(
        "own",
        "does",
        "nobody",
        constraint=Part("watched", "constraint", lambda head, counts, values: Watched()),
        init=Part("mirrored", "start", mirrored),
        defaults={"epochs": 2, "batch_size": 9},
    ).tested()
    material = Material.of(cache, None, Options(), 0)
    one = MethodFit.of(material, resolve(method, {}))
    (head,) = one.train(one.choose(), [0])
    assert head.meta["init"] == {"from": "mirrored"}
    assert calls == ["step"] * 3 + ["epoch"] + ["step"] * 3 + ["epoch"]


@pytest.mark.parametrize(
    ("where", "told"), [("method", "method=los delta=0.9 lr=1$"), ("methods", "row of .*: los, as it is$")]
)
@pytest.mark.parametrize("name", ["los delta=0.9 lr=1", "los:delta=0.9:lr=1"])
def test_a_row_is_no_method(name: str, where: str, told: str):
    with pytest.raises(UsageError, match=told):
        find_method(name, where)
