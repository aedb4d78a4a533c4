"""ltfix.heads.head: the file, its checks, and the same logits in numpy and torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caches import make_head
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from scipy.special import expit

import ltfix
from ltfix import files
from ltfix.errors import InputError
from ltfix.heads.head import Head, load_head

K, D = 7, 12


def array(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


DISALIGN = {
    "confidence_weight": array(D),
    "confidence_bias": np.float32(0.3),
    "logit_scale": array(K),
    "logit_bias": array(K, seed=6),
}
TEMPERATURE = np.float32([0.25, 0.5, 1, 2, 2, 4, 8])
HEADS = {
    "linear": make_head(K, D),
    "l2": make_head(K, D, transform={"kind": "l2"}),
    "l2 in groups": make_head(K, D, transform={"kind": "l2", "groups": 3}),
    "center+l2": make_head(K, D, transform={"kind": "center+l2"}, tensors={"center": array(D, seed=9)}),
    "center+l2 in groups": make_head(
        K, D, transform={"kind": "center+l2", "groups": 2}, tensors={"center": array(D, seed=9)}
    ),
    "standardize+l2": make_head(
        K,
        D,
        transform={"kind": "standardize+l2"},
        tensors={"center": array(D, seed=9), "spread": array(D, seed=3) ** 2 + 0.5},
    ),
    "capsule": make_head(K, D, transform={"kind": "capsule"}),
    "capsule of another unit": make_head(K, D, transform={"kind": "capsule", "unit": 4.5}),
    "disalign": make_head(K, D, transform={"kind": "disalign"}, tensors=DISALIGN),
}
HEADS |= {
    f"{name}, calibrated": dataclasses.replace(HEADS[name], temperature=TEMPERATURE)
    for name in ("linear", "capsule", "disalign")
}


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("kind", HEADS)
def test_mean_logits_are_the_mean_of_each_views_logits(kind: str, views: int):
    head, x = HEADS[kind], array(5, views, D)
    expected = np.mean([head.logits(x[:, view]) for view in range(views)], axis=0)
    assert head.mean_logits(x) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def by_hand(head: Head, x: np.ndarray) -> np.ndarray:
    """The formulas of docs/format.md, sample by sample in float64."""
    out = []
    for row in x.reshape(-1, D).astype(np.float64):
        kind = (head.transform or {}).get("kind")
        groups = (head.transform or {}).get("groups", 1)
        t = (row - head.tensors.get("center", 0)) / head.tensors.get("spread", 1)
        if kind in ("l2", "center+l2", "standardize+l2"):
            t = np.concatenate([part / np.sqrt((part**2).sum()) for part in np.split(t, groups)])
        if kind == "capsule":
            t = row / (head.transform.get("unit", 1) + np.sqrt((row**2).sum()))
        z = head.weight.astype(np.float64) @ t + head.bias
        if kind == "disalign":
            v = head.tensors
            c = expit(v["confidence_weight"] @ row + v["confidence_bias"])
            z = z + c * (v["logit_scale"] * z + v["logit_bias"])
        out.append(z if head.temperature is None else z / head.temperature)
    return np.array(out).reshape(*x.shape[:-1], K)


def difference(a: Any, b: Any) -> float:
    """Largest difference relative to the largest logit of the same sample."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float((np.abs(a - b) / np.abs(b).max(-1, keepdims=True)).max())


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("shape", [(D,), (5, D), (4, 2, D)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_logits(name: str, shape: tuple[int, ...], dtype: type, scale: float) -> None:
    head, x = HEADS[name], (array(*shape) * scale).astype(dtype)
    before = x.copy()
    z = head.logits(x)
    assert z.dtype == np.float32
    assert difference(z, by_hand(head, x)) < 1e-5
    t = head.logits(torch.from_numpy(x))
    assert t.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    assert difference(t, z) < 1e-5
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", HEADS)
def test_logits_of_extreme_features(name: str) -> None:
    """A zero row, the largest float16 and gates far out on both sides: finite, and no warning."""
    x = np.stack([np.zeros(D), np.full(D, 65504.0), np.full(D, -65504.0)]).astype(np.float16)
    z = HEADS[name].logits(x)
    assert np.isfinite(z).all()
    if name.startswith("l2"):
        np.testing.assert_array_equal(z[0], HEADS[name].bias)
    assert difference(HEADS[name].logits(torch.from_numpy(x))[1:], z[1:]) < 1e-5


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_has_no_class(wrong: float) -> None:
    x = np.zeros((3, D), np.float32)
    assert make_head(dim=D).predict(x).shape == (3,)
    x[1, 2] = wrong
    for rows in (x, torch.from_numpy(x), x[:, None]):
        with pytest.raises(InputError, match=r"feature row 1 holds NaN or Inf.*leave such rows out"):
            make_head(dim=D).predict(rows)


def test_torch_keeps_the_graph_and_bfloat16_is_widened() -> None:
    x = torch.randn(3, D, dtype=torch.bfloat16, requires_grad=True)
    for head in HEADS.values():
        head.logits(x).sum().backward()
    assert x.grad is not None
    assert head.logits(x).dtype == torch.float32


def test_logits_of_what_numpy_takes() -> None:
    pandas, x = pytest.importorskip("pandas"), np.random.default_rng(0).standard_normal((3, D))
    for features in (x.tolist(), pandas.DataFrame(x)):
        np.testing.assert_array_equal(HEADS["linear"].logits(features), HEADS["linear"].logits(x))
    with pytest.raises(InputError, match=r"features \[\] do not fit"):
        HEADS["linear"].logits(3)
    texts, complexes = np.array([["a"] * D]), np.ones((1, D), complex)
    for wrong in ([[1, 2], [1]], [["a"] * D], [{}], [[10**400] * D], texts, complexes):
        with pytest.raises(InputError, match="features are no numbers"):
            HEADS["linear"].logits(wrong)


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_features_of_another_dimension(make: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"features \[.*5\] do not fit a head of D = 12: .* \(stage-1\)"):
        HEADS["linear"].logits(make((2, 5)))


class TestFile:
    @pytest.mark.parametrize("name", HEADS)
    def test_round_trip(self, tmp_path: Path, name: str) -> None:
        head = HEADS[name]
        head.save(tmp_path / "a.safetensors")
        again = load_head(tmp_path / "a.safetensors")
        again.save(tmp_path / "b.safetensors")
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
        assert (again.name, again.n_classes, again.dim) == ("a", K, D)
        assert again.path == tmp_path / "a.safetensors"
        x = array(3, D)
        np.testing.assert_array_equal(again.logits(x), head.logits(x))
        assert difference(again.logits(torch.from_numpy(x)), head.logits(x)) < 1e-5

    @given(
        st.integers(1, 5),
        st.integers(1, 6),
        st.none() | st.just("names"),
        st.none() | st.lists(st.integers(0, 2**62), min_size=5, max_size=5),
        st.dictionaries(st.text(max_size=5).map("own_".__add__), st.integers() | st.text(), max_size=3),
    )
    @settings(max_examples=25, deadline=None)
    def test_metadata_round_trip(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        k: int,
        dim: int,
        names: str | None,
        counts: list[int] | None,
        meta: dict[str, Any],
    ) -> None:
        path = tmp_path_factory.mktemp("heads") / "h.safetensors"
        classes = None if names is None else tuple(f"é {i}" for i in range(k))
        own_counts = None if counts is None else np.array(counts[:k])
        make_head(k, dim, method="samn", classes=classes, counts=own_counts, meta=meta).save(path)
        head = load_head(path)
        assert (head.method, head.classes, head.meta) == ("samn", classes, meta)
        assert (None if head.counts is None else head.counts.tolist()) == (counts and counts[:k])

    def test_one_metadata_key(self, tmp_path: Path) -> None:
        head = make_head(meta={"seed": np.int64(3), "method": "not this"}, counts=np.array([3, 2, 1]))
        head.save(tmp_path / "h.safetensors")
        with safe_open(tmp_path / "h.safetensors", framework="np") as opened:
            metadata = opened.metadata()
            assert set(opened.keys()) == {"weight", "bias"}
        assert list(metadata) == ["ltfix"]
        assert json.loads(metadata["ltfix"]) == {
            "classes": None,
            "counts": [3, 2, 1],
            "format": "ltfix-head/1",
            "method": "stage-1",
            "seed": 3,
            "transform": None,
        }

    def test_a_temperature_is_of_the_next_format(self, tmp_path: Path) -> None:
        head = dataclasses.replace(make_head(), temperature=np.full(3, 2.0))
        head.save(tmp_path / "h.safetensors")
        with safe_open(tmp_path / "h.safetensors", framework="np") as opened:
            assert json.loads(opened.metadata()["ltfix"])["format"] == "ltfix-head/2"
        again = load_head(tmp_path / "h.safetensors")
        assert again.temperature is not None
        assert again.temperature.tolist() == [2, 2, 2]
        np.testing.assert_array_equal(again.logits(array(2, 4)), make_head().logits(array(2, 4)) / 2)

    def test_float32_whatever_it_was(self, tmp_path: Path) -> None:
        make_head(weight=np.ones((3, 4)), bias=np.zeros(3, np.float16)).save(tmp_path / "h.safetensors")
        head = load_head(tmp_path / "h.safetensors")
        assert head.weight.dtype == head.bias.dtype == np.float32
        assert head.weight.flags.writeable

    def test_names(self, tmp_path: Path) -> None:
        head = make_head(method="samn")
        assert head.name == "samn"
        head.save(tmp_path / "samn-freq.safetensors")
        assert load_head(tmp_path / "samn-freq.safetensors").name == "samn-freq"
        assert repr(HEADS["capsule"]) == "Head('stage-1', method='stage-1', K=7, dim=12, capsule)"

    @pytest.mark.parametrize(
        ("changes", "fragment"),
        [
            ({"weight": np.full((3, 4), np.nan)}, "weight holds values that are not finite"),
            ({"bias": np.array([0, np.inf, 0])}, "bias holds values that are not finite"),
            ({"transform": {"kind": "l2", "groups": 3}}, "D = 4 does not divide into groups = 3"),
        ],
    )
    def test_nothing_wrong_is_written(self, tmp_path: Path, changes: dict[str, Any], fragment: str) -> None:
        with pytest.raises(InputError, match=f"{fragment}.*h.safetensors"):
            make_head(**changes).save(tmp_path / "h.safetensors")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"bias": np.zeros(4)}, r"bias must be \[3\] for a weight of \[3, 4\], found \[4\] \(mine\)"),
        ({"bias": None}, r"bias must be \[3\]"),
        ({"weight": [1.0, 2.0]}, r"weight must be \[K, D\], found \[2\]"),
        ({"counts": [1, 2]}, r"counts must be \[3\]"),
        ({"classes": ["a"]}, r"classes must be \[3\]"),
    ],
)
def test_arrays_that_do_not_fit_make_no_head(changes: dict[str, Any], fragment: str):
    with pytest.raises(InputError, match=fragment):
        make_head(label="mine", **changes)


def test_tensors_and_lists_make_a_head():
    layer = torch.nn.Linear(4, 3)
    head = Head(layer.weight, layer.bias, classes=["a", "b", "c"], counts=[5, 3, 1])
    listed = Head(layer.weight.tolist(), layer.bias.tolist(), temperature=[1, 1, 1])
    kept = head.weight.copy()
    with torch.no_grad():
        layer.weight += 1  # training goes on; the head is what the layer was
    np.testing.assert_array_equal(head.weight, kept)
    x = array(2, 4)
    np.testing.assert_allclose(listed.logits(x), head.logits(x), atol=1e-6)
    assert head.predict(x, names=True).shape == (2,)
    assert ltfix.evaluate([head], (x, ["a", "b"])).heads[0]["name"] == "head"


VALID = {"format": "ltfix-head/1", "method": "ce", "classes": None, "counts": None, "transform": None}
WEIGHT, BIAS = np.ones((3, 4), np.float32), np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("meta", "tensors", "fragment"),
    [
        ({"format": "ltfix-head/3"}, {}, "newer than this ltfix reads"),
        ({"format": "ltfix-features/1"}, {}, "expected 'ltfix-head/2'"),
        ({"format": None}, {}, "expected 'ltfix-head/2'"),
        ({"classes": ["a", "b"]}, {}, r"classes must be \[3\]"),
        ({"classes": "abc"}, {}, "its classes: expected a list or null, got a text"),
        ({"classes": ["a", "b", 3]}, {}, r"its classes\[2\]: expected a text, got a whole number"),
        ({"counts": [1, 2]}, {}, r"counts must be \[3\]"),
        ({"counts": [1, 2, -3]}, {}, r"its counts\[2\]: expected a whole number >= 0"),
        ({"counts": [1, 2, 2**63]}, {}, r"its counts\[2\]: expected a whole number <= 9"),
        ({"counts": [1, 2, 1.5]}, {}, r"its counts\[2\]: expected a whole number, got a number"),
        ({"counts": {"a": 1}}, {}, "its counts: expected a list or null, got an object"),
        ({"transform": "l2"}, {}, "its transform: expected an object or null, got a text"),
        ({"transform": {}}, {}, "its transform lacks kind"),
        ({"transform": {"kind": ["l2"]}}, {}, r"its transform\.kind: expected a text"),
        ({"transform": {"kind": "mlp"}}, {}, "unknown transform 'mlp'"),
        ({"transform": {"kind": "l2", "groups": 0}}, {}, r"transform\.groups: expected a whole number >= 1"),
        ({"transform": {"kind": "l2", "groups": 3}}, {}, "groups = 3"),
        (
            {"transform": {"kind": "l2", "groups": "2"}},
            {},
            "groups: expected a whole number, got a text",
        ),
        (
            {"transform": {"kind": "capsule", "unit": -1.0}},
            {},
            "unit: expected a number >= 1e-12",
        ),
        (
            {"transform": {"kind": "capsule", "unit": "1"}},
            {},
            "unit: expected a number, got a text",
        ),
        (
            {"transform": {"kind": "capsule", "unit": 1e-300}},
            {},
            "unit: expected a number >= 1e-12",
        ),
        (
            {"transform": {"kind": "capsule", "unit": float("nan")}},
            {},
            "unit: expected a number, got null",
        ),
        ({"transform": {"kind": "center+l2"}}, {}, "lacks center"),
        ({"transform": {"kind": "disalign"}}, {"logit_scale": BIAS}, "lacks confidence_weight, .*logit_bias"),
        ({"transform": {"kind": "center+l2"}}, {"center": BIAS}, r"center must be \[4\]"),
        ({"transform": {"kind": "center+l2"}}, {"center": WEIGHT[0] * np.inf}, "center holds values"),
        (
            {"transform": {"kind": "standardize+l2"}},
            {"center": WEIGHT[0], "spread": WEIGHT[0] * 0},
            "spread holds values that are not positive",
        ),
        ({}, {"temperature": BIAS[:2]}, r"temperature must be \[3\]"),
        ({}, {"temperature": BIAS}, "temperature holds values that are not positive"),
        ({}, {"temperature": BIAS + np.inf}, "temperature holds values that are not finite"),
        ({}, {"weight": WEIGHT[0]}, r"weight must be \[K, D\], found \[4\]"),
        ({}, {"weight": WEIGHT[:0], "bias": BIAS[:0]}, r"weight must be \[K, D\], found \[0, 4\]"),
        ({}, {"weight": WEIGHT[:, :0]}, r"weight must be \[K, D\], found \[3, 0\]"),
        ({}, {"weight": WEIGHT.astype(np.int32)}, "weight is int32"),
        ({}, {"weight": WEIGHT * np.nan}, "weight holds values that are not finite"),
        ({}, {"weight": WEIGHT.astype(np.float64) * 1e300}, "weight holds values that are not finite"),
        ({}, {"bias": BIAS[:2]}, r"bias must be \[3\]"),
        ({}, {"bias": BIAS * np.nan}, "bias holds"),
        ({}, {"bias": np.float32(0)}, r"bias must be \[3\] .*found \[\]"),
    ],
)
def test_wrong_head_files(
    tmp_path: Path, meta: dict[str, Any], tensors: dict[str, np.ndarray], fragment: str
) -> None:
    path = tmp_path / "h.safetensors"
    files.write_safetensors(path, {"weight": WEIGHT, "bias": BIAS, **tensors}, {**VALID, **meta})
    with pytest.raises(InputError, match=f"{fragment}.*h.safetensors"):
        load_head(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_head(tmp_path / "absent")
    with pytest.raises(InputError, match="folder"):
        load_head(tmp_path)
    files.write_safetensors(tmp_path / "x", {"weight": WEIGHT, "bias": BIAS})
    with pytest.raises(InputError, match=r"not a head file: .*key ltfix .*ltfix fit.*\.save"):
        load_head(tmp_path / "x")
    np.savez(tmp_path / "x.npz", weight=WEIGHT, bias=BIAS)
    with pytest.raises(InputError, match=r"not a head file: .*ltfix\.Head\(weight, bias\)"):
        load_head(tmp_path / "x.npz")
    files.write_safetensors(tmp_path / "x", {"features": WEIGHT}, VALID)
    with pytest.raises(InputError, match="not a head file"):
        load_head(tmp_path / "x")


def test_a_head_without_its_ending_is_offered_with_it(tmp_path: Path):
    Head(np.eye(3), np.zeros(3), "mine").save(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"no such file.*did you mean .*b\.safetensors\?"):
        load_head(tmp_path / "b")
