"""Names of head files: the method, and what sets it apart."""

from __future__ import annotations

import pytest

from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method, methods
from ltfix.stage2.methods.values import resolve, with_loss


@pytest.mark.parametrize(
    ("method", "given", "name"),
    [
        ("samn", {}, "samn-freq"),
        ("samn", {"metric": "norm"}, "samn-norm"),
        ("samn", {"metric": "freq", "part": "weight"}, "samn-freq-weight"),
        ("samn", {"variant": "paper", "lr": 1e-3}, "samn-freq-lr0.001-paper"),
        ("ce", {}, "ce"),
        ("ce", {"lr": 5e-4}, "ce"),
        ("ce", {"schedule": "constant"}, "ce-constant"),
        ("ce", {"batch_size": 32, "weight_decay": 0.01}, "ce-weightdecay0.01-batchsize32"),
        ("ce", {"sampler": "class-aware"}, "ce-class-aware"),
        ("los", {}, "los"),
        ("los", {"delta": 0.9}, "los-delta0.9"),
        ("tau-norm", {}, "tau-norm"),
        ("tau-norm", {"tau": 0.7, "bias": "keep"}, "tau-norm-tau0.7-keep"),
        ("logit-adjust", {"tau": 1.0}, "logit-adjust"),
    ],
    ids=str,
)
def test_what_differs_from_the_defaults_is_in_the_name(method: str, given: dict, name: str):
    assert head_name(resolve(find_method(method), given)) == name


def test_another_loss_and_tuning_are_in_the_name():
    values = resolve(with_loss(find_method("samn"), "los"), {"delta": 0.9})
    assert head_name(values, loss="los") == "samn+los-freq-delta0.9"
    assert head_name(resolve(find_method("ce"), {}), tuned=True) == "ce-tuned"
    options = Options(init="probe", normalize="l2")
    assert head_name(resolve(find_method("ce"), {}), options=options) == "ce-probe-l2"
    assert head_name(resolve(find_method("ce"), {}), options=Options(normalize="none")) == "ce-raw"
    assert head_name(resolve(find_method("samn"), {"projection": "none"})) == "samn-freq-no-projection"


def test_names_of_the_methods_are_apart_and_fit_a_file_system():
    names = [head_name(resolve(method, {})) for method in methods()]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-+.") for name in names)
