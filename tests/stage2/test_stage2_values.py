"""Values of a fit: defaults, kinds, ranges, hints, and where each came from."""

from __future__ import annotations

import numpy as np
import pytest

from ltfix.errors import UsageError
from ltfix.stage2.methods.registry import find_method, methods
from ltfix.stage2.methods.values import CHOSEN, resolve, with_loss


def refused(method: str, **given: object) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(find_method(method), given)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", [m.name for m in methods()])
def test_defaults_of_every_method_are_values_it_accepts(name: str):
    method = find_method(name)
    defaults = {key: value.default for key, value in method.values().items() if value.default is not None}
    resolved = resolve(method, {key: str(value) for key, value in defaults.items()})
    assert {key: resolved[key] for key in defaults} == defaults
    assert set(resolve(method, {}).origin.values()) <= {"default"}


@pytest.mark.parametrize(
    ("method", "given", "found"),
    [
        ("ce", {"lr": "1e-3"}, 1e-3),
        ("ce", {"epochs": "7"}, 7),
        ("ce", {"epochs": np.int64(7)}, 7),
        ("ce", {"batch_size": 32.0}, 32),
        ("los", {"delta": "0.5"}, 0.5),
        ("tau-norm", {"tau": 2}, 2.0),
        ("tau-norm", {"bias": "keep"}, "keep"),
        ("samn", {"metric": "norm"}, "norm"),
        ("ce", {"schedule": "constant"}, "constant"),
    ],
    ids=str,
)
def test_texts_and_numbers_become_the_defaults_kind(method: str, given: dict, found: object):
    (name,) = given
    resolved = resolve(find_method(method), given)
    assert resolved[name] == found
    assert type(resolved[name]) is type(found)
    assert resolved.origin[name] == "option"


def test_an_unknown_name_offers_the_nearest():
    assert refused("samn", varaint="code").startswith(
        "method samn has no value 'varaint' (varaint): did you mean variant"
    )
    assert "known: bias, tau" in refused("tau-norm", lr=1)


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("ce", {"lr": "fast"}, "lr must be a number, found 'fast' (lr)"),
        ("ce", {"lr": None}, "lr must be a number, found None (lr)"),
        ("ce", {"lr": float("nan")}, "lr must be a number, found nan (lr)"),
        ("ce", {"lr": "inf"}, "lr must be a number, found 'inf' (lr)"),
        ("ce", {"lr": 1e300}, "lr = 1e+300 is out of range (lr)"),
        ("ce", {"lr": 0}, "lr = 0 is out of range (lr)"),
        ("ce", {"lr": -1}, "lr = -1 is out of range (lr)"),
        ("ce", {"epochs": 1.5}, "epochs must be a whole number, found 1.5 (epochs)"),
        ("ce", {"epochs": "1.5"}, "epochs must be a whole number, found '1.5' (epochs)"),
        ("ce", {"epochs": float("inf")}, "epochs must be a whole number, found inf (epochs)"),
        ("ce", {"epochs": 0}, "epochs = 0 is out of range (epochs): it must be above 0"),
        ("ce", {"batch_size": 0}, "batch_size = 0 is out of range (batch_size): it must be above 0"),
        ("ce", {"weight_decay": -0.1}, "weight_decay = -0.1 is out of range (weight_decay)"),
        ("ce", {"momentum": 2}, "momentum = 2 is out of range (momentum): it must be 0 to 1"),
        ("ce", {"schedule": "step"}, "schedule is 'step' (schedule): it may be cosine, constant"),
        ("ce", {"sampler": "even"}, "sampler is 'even' (sampler): it may be instance, class-aware"),
        ("los", {"delta": 1.1}, "delta = 1.1 is out of range (delta): it must be 0 to 1"),
        ("tau-norm", {"tau": 5}, "tau = 5 is out of range (tau): it must be 0 to 4"),
        ("samn", {"metric": "count"}, "metric is 'count' (metric): it may be freq, norm"),
        ("samn", {"variant": True}, "variant is True (variant): it may be code, paper"),
    ],
    ids=str,
)
def test_wrong_kinds_and_ranges_say_what_may_be(method: str, given: dict, message: str):
    assert refused(method, **given).startswith(message)


def test_origins_are_recorded():
    values = resolve(find_method("los"), {"lr": 1e-3, "delta": 0.9}, {"lr": "file"})
    record = values.record()
    assert record["lr"] == {"value": 1e-3, "from": "file"}
    assert record["delta"] == {"value": 0.9, "from": "option"}
    assert record["epochs"] == {"value": 20, "from": "default"}
    chosen = values.choose(delta=0.5)
    assert chosen.record()["delta"] == {"value": 0.5, "from": CHOSEN}
    assert values["delta"] == 0.9


def test_another_loss_brings_its_own_values():
    method = with_loss(find_method("samn"), "las")
    values = resolve(method, {"eps_head": 0.2})
    assert values["eps_head"] == 0.2
    assert values["metric"] == "freq"
    assert with_loss(find_method("los"), None) is find_method("los")
    with pytest.raises(UsageError, match=r"unknown loss 'lso' .*did you mean los"):
        with_loss(find_method("ce"), "lso")
    with pytest.raises(UsageError, match="trains nothing"):
        with_loss(find_method("tau-norm"), "los")


@pytest.mark.parametrize(
    ("method", "loss", "given"),
    [
        ("samn", "ldam", {}),
        ("cosine", None, {"cosine": "plain"}),
        ("balanced-softmax", None, {"sampler": "class-aware"}),
        ("vs", None, {"sampler": "class-balanced"}),
    ],
)
def test_parts_that_make_no_sense_together_are_refused(method: str, loss: str | None, given: dict):
    with pytest.raises(UsageError):
        resolve(with_loss(find_method(method), loss), given)


def test_a_choice_moves_the_defaults_it_was_published_with():
    values = resolve(find_method("cb"), {"form": "bce"})
    assert (values["lr"], values["weight_decay"], values["epochs"]) == (0.01, 0.1, 10)
    assert resolve(find_method("cb"), {"form": "bce", "lr": 0.3})["lr"] == 0.3
    assert resolve(find_method("cb"), {})["lr"] == 5e-4
