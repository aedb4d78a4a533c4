"""Presets: each line holds for its method, and the one that features are like is taken and told."""

from __future__ import annotations

import dataclasses

import pytest

import ltfix
from ltfix.errors import UsageError
from ltfix.progress import SILENT
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods import presets
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.candidates import RATES
from ltfix.stage2.tuning.method_fit import MethodFit


class Told(type(SILENT)):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_every_line_is_of_values_that_its_method_takes():
    for line in presets.PRESETS:
        resolve(find_method(line.method), line.values)
        assert line.dataset in presets.DATASETS
    keys = [(line.method, line.dataset, line.recipe) for line in presets.PRESETS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("n_classes", "dim", "dataset"),
    [
        (10, 64, "cifar10"),
        (100, 64, "cifar100"),
        (100, 256, "cifar100"),
        (365, 2048, "places-lt"),
        (1000, 2048, "imagenet-lt"),
        (8142, 2048, "inat"),
        (60, 1280, None),
    ],
)
def test_what_features_are_like(n_classes: int, dim: int, dataset: str | None):
    assert presets.most_like(n_classes, dim) == dataset


@pytest.mark.parametrize(
    ("method", "dataset", "recipe", "values"),
    [
        ("samn", "cifar100", "ce", {"lr": 5e-4}),
        ("samn", "cifar100", "glmc", {"lr": 5e-5}),
        ("samn+las", "cifar10", "ce", {"lr": 1e-5, "eps_head": 0.3, "eps_tail": 0.1}),
        ("samn+las", "cifar100", "mixup", {"lr": 5e-4, "eps_head": 0.01, "eps_tail": 0.0}),
        ("samn", "imagenet-lt", "glmc", {"lr": 1e-5, "batch_size": 512}),
        ("samn", "inat", "", {"lr": 5e-5, "batch_size": 512}),
        ("los", "cifar100", "", {"delta": 0.98}),
        ("los", "inat", "", {"delta": 0.99}),
    ],
)
def test_the_published_values(method: str, dataset: str, recipe: str, values: dict):
    assert presets.find_preset(method, dataset, recipe).values == values


def test_what_was_chosen_is_told_and_recorded(draw_cache):
    cache, told = draw_cache([40, 12, 4]), Told()
    head = ltfix.fit(cache, "samn", preset="cifar100", epochs=1, progress=told)
    assert told.said == ["preset cifar100 of samn (D = 8, K = 3, backbone of unknown recipe): lr 0.0005"]
    assert head.meta["values"]["lr"] == {"value": 5e-4, "from": "preset cifar100"}
    cache.head = dataclasses.replace(cache.head, meta={"recipe": "glmc"})
    told.said.clear()
    head = ltfix.fit(cache, "samn", preset="auto", epochs=1, progress=told)
    assert told.said == ["preset cifar10 of samn (D = 8, K = 3, backbone by glmc): lr 5e-05"]
    assert head.meta["values"]["lr"]["value"] == 5e-5
    given = ltfix.fit(cache, "samn", preset="auto", lr=1e-3, epochs=1, progress=told)
    assert given.meta["values"]["lr"] == {"value": 1e-3, "from": "option"}
    assert told.said[-1].endswith("all of its values were given")


def test_tuning_searches_what_a_preset_gave_but_not_what_the_user_did(draw_cache):
    cache = draw_cache([40, 12, 4])
    cache.head = dataclasses.replace(cache.head, meta={"recipe": "glmc"})
    material = Material.of(cache, None, Options(tune=True, preset="auto"), 0)

    def tried(method: str, name: str, **given) -> set[float]:
        fit = MethodFit.of(material, resolve(find_method(method), given))
        return {candidate.values[name] for candidate in fit.candidates()}

    assert tried("samn", "lr") == {float(f"{rate * 5e-5:.12g}") for rate in RATES}
    assert tried("samn", "lr", lr=0.3) == {0.3}
    assert len(tried("los", "delta")) == len(find_method("los").grid["delta"])


def test_a_method_without_one_says_so(draw_cache):
    told = Told()
    ltfix.fit(draw_cache([40, 12, 4]), "ce", preset="auto", epochs=1, progress=told)
    assert "ce has no preset for cifar10" in told.said[0]
    with pytest.raises(UsageError, match=r"preset is 'cifar' \(preset\): it may be auto, cifar10"):
        Options(preset="cifar")


def test_it_is_in_the_name_of_a_head():
    assert head_name(resolve(find_method("los"), {}), options=Options(preset="auto")) == "los-preset-auto"
