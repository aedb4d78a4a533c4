"""Training that starts from a fitted head, whatever made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ltfix
from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head
from ltfix.stage2.methods.method import find_start
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve

STILL = {"lr": 1e-30, "epochs": 1}


@pytest.fixture
def cache(draw_cache):
    return draw_cache([40, 12, 4])


@pytest.fixture
def fitted(cache, tmp_path: Path) -> Head:
    head = ltfix.fit(cache, "los", epochs=2)
    head.save(tmp_path / "los.safetensors")
    return ltfix.load_head(tmp_path / "los.safetensors")


@pytest.mark.parametrize("given", [{}, {"feature_scale": 0.1}, {"normalize": "standardize"}], ids=str)
def test_it_starts_where_the_head_is(cache, fitted: Head, given: dict):
    head = ltfix.fit(cache, "ce", init=str(fitted.path), **STILL, **given)
    np.testing.assert_allclose(head.weight, fitted.weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head.bias, fitted.bias, atol=1e-3)
    sha256 = files.sha256_file(fitted.path)
    assert head.meta["init"] == {"from": "head", "file": "los.safetensors", "sha256": sha256}
    in_memory = ltfix.fit(cache, "ce", init=fitted, **STILL, **given)
    assert np.array_equal(in_memory.weight, head.weight)
    assert in_memory.meta["init"] == {"from": "head", "file": "los", "sha256": sha256}


def test_a_step_alone_and_norms_are_those_of_the_head(cache, fitted: Head):
    adjusted = ltfix.fit(cache, "logit-adjust", init=str(fitted.path), tau=1.0)
    np.testing.assert_allclose(
        adjusted.bias, fitted.bias - np.log(cache.counts / cache.counts.sum()), rtol=1e-5
    )
    samn = ltfix.fit(cache, "samn", metric="norm", init=str(fitted.path), **STILL)
    rank = np.argsort(np.linalg.norm(fitted.weight, axis=1))
    assert (np.diff(np.linalg.norm(samn.weight, axis=1)[rank]) < 0).all()


def test_a_temperature_is_no_part_of_the_rows_but_of_the_logits(cache, fitted: Head, tmp_path: Path):
    warm = dataclasses.replace(fitted, temperature=np.full(3, 2, np.float32))
    warm.save(tmp_path / "warm.safetensors")
    head = ltfix.fit(cache, "ce", init=str(tmp_path / "warm.safetensors"), **STILL)
    np.testing.assert_allclose(head.weight, fitted.weight / 2, rtol=1e-5)


def test_its_content_decides_what_it_is(fitted: Head):
    one = find_start(str(fitted.path)).identity
    dataclasses.replace(fitted, weight=fitted.weight * 2).save(fitted.path)
    assert find_start(str(fitted.path)).identity != one == find_start(fitted).identity
    options = Options(init=str(fitted.path))
    assert head_name(resolve(find_method("ce"), {}), options=options) == "ce-los"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.ones((4, 8)), "bias": np.zeros(4), "classes": None, "counts": None}, "K, D = 4, 8"),
        ({"classes": ("a", "b", "c")}, "its classes are not those"),
        ({"transform": {"kind": "l2"}}, r"no linear head \(l2\)"),
    ],
)
def test_a_head_that_does_not_fit(cache, fitted: Head, change: dict, message: str):
    dataclasses.replace(fitted, **change).save(fitted.path)
    with pytest.raises(InputError, match=message):
        ltfix.fit(cache, "ce", init=str(fitted.path))


def test_no_such_start(cache, tmp_path: Path):
    with pytest.raises(
        UsageError, match=r"init is 'stage-1' \(init\): stage1, probe, random, class-mean, or"
    ):
        ltfix.fit(cache, "ce", init="stage-1")
    (tmp_path / "text").write_text("no head")
    with pytest.raises(InputError, match="text"):
        ltfix.fit(cache, "ce", init=str(tmp_path / "text"))


def test_comparisons_do_not_go_on_from_another_head(cache, fitted: Head, tmp_path: Path):
    def compared(**more: Any) -> float:
        more |= {"init": str(fitted.path), "folder": tmp_path / "table"}
        found = ltfix.compare(cache, cache, ["ce:epochs=1"], seeds=1, **more)
        return next(row["all"]["mean"] for row in found.rows if row["name"] == "ce-epochs1")

    first = compared()
    order = [1, 2, 0]
    dataclasses.replace(fitted, weight=fitted.weight[order] * 9, bias=fitted.bias[order]).save(fitted.path)
    with pytest.raises(UsageError, match="finished heads with init=head"):
        compared()
    assert compared(overwrite=True) != first
    record = files.read_json(tmp_path / "table" / "ce-epochs1-s0.json")
    assert record["settings"]["options"]["init"] == find_start(str(fitted.path)).identity
