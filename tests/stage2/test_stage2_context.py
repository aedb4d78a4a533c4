"""What fits on one cache share: found once, whoever asks, and a batch that outlives a run that diverges."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ltfix.errors import InputError
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting import probe
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.loop.engine import Diverged
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve


class Listener(Progress):
    """Another one than the silent one."""


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the sample sets that probes were fitted on."""
    fit, found = probe.fit_probe, list[int]()

    def counted(data, *given, **options):
        found.append(len(data))
        return fit(data, *given, **options)

    monkeypatch.setattr(probe, "fit_probe", counted)
    return found


def test_what_was_found_is_shared_by_copies_and_threads(draw_cache, probes):
    material = Material.of(draw_cache([40, 12, 4], stage1=False), None, Options(), 0)
    copies = [dataclasses.replace(material, progress=Listener()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda m: m.start(m.data), copies))
        list(pool.map(Material.warm_up, copies))
    assert all(head is found[0] for head in found)
    assert all(m.folds() is material.folds() for m in copies)
    assert len(probes) == 1 + len(material.folds())


def test_a_probe_belongs_to_the_samples_it_was_fitted_on(draw_cache, probes):
    material = Material.of(draw_cache([40, 12, 4], stage1=False), None, Options(), 0)
    fold = material.folds()[0]
    whole, part = material.start(material.data), material.start(fold.train)
    assert probes == [len(material.data), len(fold.train)]
    assert not np.array_equal(whole.weight, part.weight)
    assert material.start(fold.train) is part
    assert part.meta["penalty"] == whole.meta["penalty"]


def test_what_fails_is_tried_again(draw_cache):
    material = Material.of(draw_cache([1, 1]), None, Options(), 0)
    for _ in range(2):
        with pytest.raises(InputError, match="none can be held out"):
            material.folds()


def test_a_setting_that_diverges_leaves_the_others_as_they_are(draw_cache):
    material = Material.of(draw_cache([40, 12, 4]), None, Options(), 0)
    fitter = material.fitter(material.data, "stage1", 1.0, "none")
    rates = (0.01, 1e38, 0.02, 1e38)
    settings = [resolve(find_method("ce"), {"epochs": 3, "lr": rate}) for rate in rates]
    with pytest.raises(Diverged):
        fitter.fit(settings, [0, 1])
    found = fitter.fit(settings, [0, 1], tolerant=True)
    assert [[head.is_finite for head in row] for row in found] == [[True, False, True, False]] * 2
    for number in (0, 2):
        alone = fitter.fit([settings[number]], [0, 1])
        for s in (0, 1):
            assert found[s][number].weight == pytest.approx(alone[s][0].weight, rel=1e-4, abs=1e-6)


def test_a_listener_hears_of_its_own_fits_alone(draw_cache):
    material = Material.of(draw_cache([40, 12, 4]), None, Options(), 0)
    assert material.progress is SILENT
    other = dataclasses.replace(material, progress=Listener())
    assert other.fitter(other.data, "stage1", 1.0, "none").progress is other.progress
