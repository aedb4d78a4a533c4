"""Methods and losses of one's own: from a file, and as they are in Python."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.own import from_file, own_loss
from ltfix.stage2.methods.registry import Method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.candidates import candidates

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [60, 20, 8])
XY = np.eye(3, 8)[LABELS] * 2 + RNG.normal(size=(88, 8)), LABELS
FILE = """
import helper
from ltfix.stage2.methods.registry import Method
from torch.nn import functional as F

def balanced(logits, labels, counts):
    return F.cross_entropy(logits + counts.log(), labels)

METHOD = Method("mine", "balanced softmax", "our lab", loss=balanced, defaults={"epochs": helper.EPOCHS})
"""


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def describe(self, text: str) -> None: ...
    def finish(self) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)


def balanced(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    return F.cross_entropy(logits + counts.log(), labels)


@pytest.fixture
def my(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("helper.py").write_text("EPOCHS = 3\n")
    Path("my.py").write_text(FILE)
    return tmp_path / "my.py"


def test_a_plain_function_is_the_loss_in_closed_form():
    counts, y = np.array([60, 20, 8]), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    ours = build_loss(Method("m", "", "", loss=balanced).loss, counts, [{}, {}], dtype=torch.float64)
    theirs = build_loss("balanced-softmax", counts, [{}, {}], dtype=torch.float64)
    z = torch.randn(2, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours.value(z, y), theirs.value(z, y))
    assert torch.allclose(ours.grad_(z.clone(), y), theirs.grad_(z.clone(), y))


def test_a_fit_with_it_is_the_fit_with_the_built_in_one_and_says_once_that_it_is_slow():
    told = Told()
    own = ltfix.fit(XY, "ce", loss=balanced, epochs=3, progress=told)
    assert np.allclose(own.weight, ltfix.fit(XY, "ce", loss="balanced-softmax", epochs=3).weight, atol=1e-6)
    assert [note for note in told.notes if "autograd" in note] == [
        "the loss balanced is differentiated by autograd, slower than a built-in one"
    ]
    assert own.meta["parts"]["loss"].startswith("balanced@")


def test_with_heads_in_closed_form_and_settings_side_by_side():
    found = ltfix.sweep(XY, "samn", {"lr": [1e-4, 1e-2]}, loss=nn.CrossEntropyLoss(), epochs=2)
    assert found.method == "samn with CrossEntropyLoss"
    built_in = ltfix.sweep(XY, "samn", {"lr": [1e-4, 1e-2]}, epochs=2)
    assert found.points == built_in.points


def test_a_method_of_a_file_and_in_python(my: Path):
    head = ltfix.fit(XY, "my.py:METHOD")
    assert head.method == "mine"
    assert head.meta["values"]["epochs"]["value"] == 3
    here = Method("mine", "the same", "us", loss=balanced, defaults={"epochs": 3})
    assert np.array_equal(ltfix.fit(XY, here).weight, head.weight)
    assert np.array_equal(ltfix.fit(XY, "ce", loss="my.py:balanced", epochs=3).weight, head.weight)


def test_a_row_is_compared_with_as_it_is_asked_for(my: Path):
    found = ltfix.compare(XY, XY, ["ncm", "my.py:METHOD"], seeds=1, against="my.py:METHOD")
    assert found.about["against"] == "mine"


def test_a_comparison_fits_again_what_has_changed_where_it_may(my: Path):
    def fitted(**more: bool) -> list[str]:
        told = Told()
        asked = ["ncm", "my.py:METHOD:lr=0.01"]
        found = ltfix.compare(XY, XY, asked, seeds=1, folder="kept", progress=told, **more)
        assert {row["name"] for row in found.rows} == {"probe", "ncm", "mine-lr0.01"}
        return [note for note in told.notes if "taken from" in note]

    assert fitted() == []
    assert fitted() == ["2 finished heads are taken from kept"]
    my.write_text(FILE.replace("+ counts.log()", "+ 2 * counts.log()"))
    told = r"finished heads whose method or loss was another then are there .*replaces {} alone"
    with pytest.raises(ltfix.UsageError, match=told.format(r"\S*mine\S*")):
        fitted()
    assert fitted(overwrite=True) == ["1 finished head is taken from kept"]


UTIL = "SCALE = 1.0\n\n\ndef half(z):\n    return z / 2\n"
HELPED = """import torch
import ltfix
from util import SCALE, half
import util


def loss(logits, labels):
    return torch.nn.functional.cross_entropy(half(logits) * util.SCALE, labels)


METHOD = ltfix.Method("helped", "s", "me", loss=loss, defaults={"lr": 0.02, "epochs": 1})
"""


@pytest.mark.parametrize(("before", "after"), [("1.0", "5.0"), ("z / 2", "z / 3")])
def test_a_module_beside_the_file_is_part_of_a_loss(tmp_path: Path, before: str, after: str):
    def run() -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "ltfix", "compare", "--train", "xy.npz", "--test", "xy.npz"]
        argv += ["--methods", "own.py:METHOD", "--seeds", "1", "--save-heads", "kept"]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    np.savez(tmp_path / "xy.npz", X=XY[0], y=XY[1])
    (tmp_path / "own.py").write_text(HELPED)
    (tmp_path / "util.py").write_text(UTIL)
    assert run().returncode == 0
    assert "1 finished head is taken from kept" in run().stderr
    (tmp_path / "util.py").write_text(UTIL.replace(before, after))
    found = run()
    assert (found.returncode, "method or loss was another then" in found.stderr) == (2, True)


def test_globals_that_a_loss_names_are_part_of_it():
    def identity(text: str, **shell: Any) -> str:
        exec("def own(z, y):\n    return " + text, shell)
        return own_loss(shell["own"]).identity

    def helper(text: str) -> Any:
        shell: dict[str, Any] = {}
        exec("def help(z):\n    return " + text, shell)
        return shell["help"]

    for one, other in [(1.0, 5.0), ({"a": 1}, {"a": 2}), (np.ones(3), np.zeros(3)), ({"x", "y"}, {"x"})]:
        told = [identity("z.mean() * SCALE", SCALE=value) for value in (one, one, other)]
        assert told[0] == told[1] != told[2]
        assert identity("z.mean()", SCALE=one) == identity("z.mean()", SCALE=other)
    told = [identity("help(z).mean()", help=helper(text)) for text in ("z", "z", "z + 1")]
    assert told[0] == told[1] != told[2]
    assert identity("own(z, y)") == identity("own(z, y)")  # which names itself


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float32(1), np.float32(2)),
        (frozenset("ab"), frozenset("abc")),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        ([1, 2], [1, 3]),
        (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object)),
    ],
)
def test_what_a_global_is_bound_to_anew_is_seen(one: Any, other: Any):
    shell: dict[str, Any] = {"HELD": one}
    exec("def own(z, y):\n    return z.mean() + len(HELD)", shell)
    before = own_loss(shell["own"]).identity
    assert own_loss(shell["own"]).identity == before
    shell["HELD"] = other
    assert own_loss(shell["own"]).identity != before


def test_functions_that_a_loss_holds_count_by_their_code(tmp_path: Path):
    def outer(inner: Callable[..., Any]) -> Callable[..., Any]:
        return lambda z, y: inner(z).mean()

    def power(p: int) -> Callable[..., Any]:
        return lambda z: z**p

    told = [own_loss(outer(power(p))).identity for p in (1, 1, 2)]
    assert told[0] == told[1] != told[2]
    file = tmp_path / "wrapped_own.py"
    decorated = "import torch\n@torch.enable_grad()\ndef own(z, y):\n    return z.mean()\n"
    found = []
    for text in (decorated, decorated.replace("mean", "sum")):
        file.write_text(text)
        found.append(own_loss(from_file(f"{file}:own", "loss")).identity)
    assert found[0] != found[1]


def test_a_module_that_is_loaded_again_is_another_one(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "reloaded_own.py").write_text("def own(z, y):\n    return z.mean()\n")
    module = importlib.import_module("reloaded_own")
    before = own_loss(module.own).identity
    (tmp_path / "reloaded_own.py").write_text("def own(z, y):\n    return 2 * z.mean()\n")
    assert own_loss(module.own).identity == before  # which still runs
    importlib.reload(module)
    assert own_loss(module.own).identity != before


def test_what_a_call_changes_makes_no_other_loss():
    text = "def own(z, y):\n    global CALLS\n    CALLS += 1\n    KEPT[len(KEPT)] = 0\n    return z.mean()"
    shell: dict[str, Any] = {"KEPT": {}, "CALLS": 0}
    exec(text, shell)
    before = own_loss(shell["own"]).identity
    shell["own"](torch.ones(2, 3), None)
    assert (shell["CALLS"], len(shell["KEPT"])) == (1, 1)
    assert own_loss(shell["own"]).identity == before


def test_globals_of_any_kind_are_no_fault():
    itself: list[Any] = []
    itself.extend([itself] * 9)
    odd = {
        "kind": Tensor,
        "number": np.float32,
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.ones(3, device="meta"),
        "itself": itself,
        "ops": torch.ops,
        "compiled": type("Compiled", (), {"__code__": None})(),
        "mute": type("Mute", (), {"__repr__": lambda self: 1 / 0})(),
    }
    shell: dict[str, Any] = dict(odd)
    exec(f"def own(z, y):\n    return z.mean() + ({', '.join(odd)})", shell)
    assert own_loss(shell["own"]).identity == own_loss(shell["own"]).identity


def test_a_loss_is_the_same_in_every_process():
    text = """
import ltfix
from ltfix.stage2.methods.own import from_file, own_loss
WORDS = {"a", "b", "c", "d"}
def make(held, more=frozenset("xyz")):
    return lambda z, y, more=more: z.mean() * len(held) * len(WORDS) * (str(y) in {"p", "q", "r"})
print(own_loss(make({"k", "l", "m"})).identity)
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_what_a_bound_method_and_a_large_array_hold_is_part_of_it():
    class Scaled:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def loss(self, z: Tensor, y: Tensor) -> Tensor:
            return z.mean() * self.scale

    def held(array: np.ndarray) -> Callable[..., Any]:
        return lambda z, y: z.mean() * array[1500]

    bound = [own_loss(Scaled(scale).loss).identity for scale in (1.0, 1.0, 2.0)]
    assert bound[0] == bound[1] != bound[2]
    large = [np.zeros(3000), np.zeros(3000), np.eye(1, 3000, 1500)[0]]
    told = [own_loss(held(array)).identity for array in large]
    assert told[0] == told[1] != told[2]


def test_rows_of_own_code_are_fitted_again_where_kept_ones_may_be_replaced(my: Path):
    told = Told()
    how: dict[str, Any] = {"seeds": 1, "folder": "kept", "progress": told}
    for overwrite in (False, True):
        ltfix.compare(XY, XY, ["ncm", "my.py:METHOD"], overwrite=overwrite, **how)
    assert [note for note in told.notes if "taken from" in note] == ["1 finished head is taken from kept"]


def test_rates_of_ones_own_are_those_that_are_tried():
    own = Method("mine", "s", "me", loss="ce", defaults={"epochs": 1}, grid={"lr": (1e-3, "0.01")})
    head = ltfix.fit(XY, own, tune=True)
    rates = {row["lr"] for row in head.meta["selection"]["tried"]}
    assert rates == {5e-4, 1e-3, 1e-2}


def test_a_loss_of_the_wrong_sign_is_told():
    told = Told()
    ltfix.fit(XY, "ce", loss=lambda z, y: -F.cross_entropy(z, y), epochs=1, progress=told)
    assert any("has it the wrong sign?" in note for note in told.notes)
    told = Told()
    ltfix.fit(XY, "ce", loss=balanced, epochs=1, progress=told)
    assert not any("wrong sign" in note for note in told.notes)


def test_a_loss_that_adds_where_it_should_average_is_told():
    told = Told()
    ltfix.fit(XY, "ce", loss=nn.CrossEntropyLoss(reduction="sum"), lr=1e-4, epochs=1, progress=told)
    assert any("does it add where it should average? The rate" in note for note in told.notes)
    told = Told()
    ltfix.fit(XY, "ce", loss=poly, epochs=1, progress=told)
    assert not any("average" in note for note in told.notes)


def by_another_name(z: Tensor, y: Tensor, cls_counts: Tensor) -> Tensor:
    return F.cross_entropy(z + cls_counts.log(), y)


def no_number(z: Tensor, y: Tensor) -> Any:
    return 3


def no_mean(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none")


def no_gradient(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z.detach(), y)


def no_sense(z: Tensor, y: Tensor) -> Tensor:
    return z @ y


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (no_number, "the loss no_number: it gives int, not a torch tensor of one number"),
        (no_mean, r"it gives \[2\], not a torch tensor of one number"),
        (no_gradient, "autograd does not lead"),
        (by_another_name, "cls_counts .*: .* counts are given to a parameter that is called `counts`"),
        (nn.CrossEntropyLoss, r"the loss CrossEntropyLoss is a class \(loss\): give a function"),
        (no_sense, r"it fails on logits \[2, \d+\], labels \[2\]: RuntimeError.*, in line \d+"),
    ],
)
def test_a_loss_that_is_none(loss: Callable[..., Any], told: str):
    with pytest.raises(ltfix.UsageError, match=told):
        ltfix.fit(XY, "ce", loss=loss, epochs=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no.py:METHOD", "no such Python file: 'no.py'"),
        ("my.py:METHD", "my.py has no 'METHD' .*did you mean METHOD"),
        ("my.py:x", "my.py has no 'x' .*known: METHOD, balanced$"),
        ("my.py:balanced", "is of type function, not a Method: a loss goes as loss=my.py:balanced"),
        ("bad.py:METHOD", "the file fails: ZeroDivisionError: division by zero, in line 2"),
        ("torn.py:METHOD", "the file fails: SyntaxError"),
        ("part.py:METHOD", "unknown loss 'cee'"),
    ],
)
def test_a_file_that_has_none(my: Path, text: str, told: str):
    Path("bad.py").write_text("\n1 / 0\n")
    Path("torn.py").write_text("def\n")
    Path("part.py").write_text(FILE.replace("loss=balanced", "loss='cee'"))
    with pytest.raises(ltfix.LtfixError, match=told):
        ltfix.fit(XY, text)


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z * self.scale, y)


def closed(scale: float) -> Callable[..., Tensor]:
    return lambda z, y: F.cross_entropy(z * scale, y)


def scaled(z: Tensor, y: Tensor, scale: float) -> Tensor:
    return F.cross_entropy(z * scale, y)


@pytest.mark.parametrize("make", [Scaled, closed, lambda scale: functools.partial(scaled, scale=scale)])
def test_what_a_loss_holds_is_part_of_its_identity(make: Callable[[float], Any]):
    one, same, other = (own_loss(make(scale)).identity for scale in (1.0, 1.0, 2.0))
    assert one == same != other


def poly(z: Tensor, y: Tensor, eps: float = 1.0, terms: int = 1) -> Tensor:
    p = F.softmax(z, 1)[torch.arange(len(y)), y]
    return F.cross_entropy(z, y) + sum(eps / j * ((1 - p) ** j).mean() for j in range(1, terms + 1))


def test_numbers_of_a_loss_are_values_of_the_method():
    two = ltfix.fit(XY, "ce", loss=poly, eps=3, terms="2", epochs=2)
    plain = functools.partial(poly, eps=3.0, terms=2)
    assert np.allclose(two.weight, ltfix.fit(XY, "ce", loss=plain, epochs=2).weight)
    assert two.meta["values"]["eps"] == {"value": 3.0, "from": "option"}
    given, grid = {"eps": 3.0, "terms": 2, "epochs": 2}, {"eps": (0, 3)}
    mine = Method("mine", "", "us", loss=poly, defaults=given, grid=grid)
    assert np.array_equal(ltfix.fit(XY, mine).weight, two.weight)
    tried = candidates(resolve(mine, {}), tune=True, scaled=True)
    assert {each.values["eps"] for each in tried} == {0.0, 3.0}
    points = [0.0, 3.0, 300.0]
    alone = ltfix.sweep(XY, mine, {"eps": points[1:2]}, test=XY, init="random").points
    assert ltfix.sweep(XY, mine, {"eps": points}, test=XY, init="random").points[1:2] == alone
    with pytest.raises(ltfix.UsageError, match="terms must be a whole number"):
        ltfix.fit(XY, mine, terms=1.5)


def test_a_value_of_a_loss_is_called_as_no_other():
    def bad(z: Tensor, y: Tensor, lr: float = 1.0) -> Tensor:
        return F.cross_entropy(z, y)

    with pytest.raises(ltfix.UsageError, match="the loss bad calls a value 'lr', as method ce does another"):
        ltfix.fit(XY, "ce", loss=bad)


def test_a_value_of_a_loss_may_be_called_as_the_post_hoc_steps():
    def mine(z: Tensor, y: Tensor, tau: float = 1.0) -> Tensor:
        return F.cross_entropy(z * tau, y)

    joined = Method("mine", "", "us", loss=mine, sampler="class-aware", posthoc="tau-norm")
    one = ltfix.fit(XY, joined, epochs=1, tau=2.0, posthoc_tau=0.5)
    other = ltfix.fit(
        XY, "ce", loss=mine, sampler="class-aware", posthoc="tau-norm", epochs=1, tau=2.0, posthoc_tau=0.5
    )
    assert np.array_equal(one.weight, other.weight)
    assert one.meta["values"]["posthoc_tau"]["value"] == 0.5


def test_a_loss_in_a_comparison(my: Path):
    rows = ["ce:loss=my.py:balanced:epochs=2", "ce:loss=balanced-softmax:epochs=2"]
    found = {row["name"]: row["all"] for row in ltfix.compare(XY, XY, rows, seeds=1).rows}
    assert found["ce+balanced-epochs2"] == found["ce+balanced-softmax-epochs2"]
    with pytest.raises(ltfix.UsageError, match=r"a loss goes as ce:loss=my\.py:balanced"):
        ltfix.compare(XY, XY, ["my.py:balanced"])


def test_a_wrong_loss_is_refused_before_the_probe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ltfix.stage2.fitting.context.find_probe", None)
    with pytest.raises(ltfix.UsageError, match="not a torch tensor of one number"):
        ltfix.fit(XY, "ce", loss=no_mean)


def test_a_loss_of_a_shell_is_told_by_its_code():
    shell: dict[str, Any] = {}
    for name, text in {"a": "z.sum()", "b": "z.sum()", "c": "z.mean()"}.items():
        exec(f"def {name}(z, y): return {text}", shell)
    a, b, c = (own_loss(shell[name]).identity.partition("@")[2] for name in "abc")
    assert a == b != c


def test_a_loss_that_is_nan_at_the_start_is_blamed_before_the_first_step():
    def wrong(logits: Tensor, labels: Tensor) -> Tensor:
        picked = logits[range(len(labels)), labels]
        return (picked.min() - logits.max() - 1e-6).log() if logits.any() else picked.sum()

    with pytest.raises(InputError, match=r"NaN before the first step \(loss\): look at its formula"):
        ltfix.fit(XY, "ce", loss=wrong, epochs=2)


def test_a_loss_that_is_infinite_is_called_so_and_nothing_else():
    def wrong(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels) + float("inf")

    told = Told()
    with pytest.raises(InputError, match=r"infinite before the first step \(loss\): look at its formula"):
        ltfix.fit(XY, "ce", loss=wrong, epochs=2, progress=told)
    assert not any("twice" in note for note in told.notes)


def test_a_loss_that_becomes_nan_later_is_blamed_beside_the_rate():
    def wrong(logits: Tensor, labels: Tensor) -> Tensor:
        once.append(len(labels))
        return F.cross_entropy(logits, labels) * (1 if len(once) < 30 else float("nan"))

    once: list[int] = []
    with pytest.raises(InputError, match=r"NaN in epoch 1 of 2 .*try lr=.*, or look at the formula of wrong"):
        ltfix.fit(XY, "ce", loss=wrong, epochs=2, batch_size=8)


def test_a_loss_that_has_no_value_for_equal_logits_trains():
    def apart(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels) + 0 * (logits.std() / logits.std()).detach()

    assert ltfix.fit(XY, "ce", loss=apart, epochs=2).is_finite


def test_a_file_that_is_not_there_has_its_nearest_named(my: Path):
    with pytest.raises(InputError, match=r"no such Python file: 'mi\.py' \(loss\): did you mean my\.py\?"):
        ltfix.fit(XY, "ce", loss="mi.py:balanced")


def test_a_value_called_scale_is_recorded_beside_the_scale_of_the_features(draw_cache):
    def margin(logits: Tensor, labels: Tensor, scale: float = 1.0) -> Tensor:
        return F.cross_entropy(scale * logits, labels)

    method = Method("mine", "a scaled loss", "here", loss=margin, grid={"scale": (0.5, 4.0)})
    head = ltfix.fit(draw_cache([60, 20, 6], spread=2.5), method, tune=True, epochs=2)
    tried = head.meta["selection"]["tried"]
    assert {point["scale"] for point in tried} == {0.5, 1.0, 4.0}
    assert {point["feature_scale"] for point in tried} == {0.5, 1.0, 2.0}
    chosen = {key: head.meta["values"][key]["value"] for key in ("lr", "scale")}
    best = [point for point in tried if point["score"] == head.meta["selection"]["score"]]
    assert chosen in [{key: point[key] for key in chosen} for point in best]


def test_a_value_may_not_take_a_word_of_the_record(draw_cache):
    def odd(logits: Tensor, labels: Tensor, cuts: float = 1.0) -> Tensor:
        return F.cross_entropy(cuts * logits, labels)

    with pytest.raises(UsageError, match="the loss odd has a value that is called cuts"):
        ltfix.fit(draw_cache([60, 20, 6]), "ce", loss=odd)
