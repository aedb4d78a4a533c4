"""Exports give ltfix's logits, or say which format would."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ltfix
from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.exporting import joined
from ltfix.exporting.body import _find
from ltfix.exporting.described import describe_export
from ltfix.exporting.formats.timm import recorded
from ltfix.exporting.request import FORMATS, BodyRequest
from ltfix.images.decode import decode

TIMM = ("distilled", "vit", "convnext", "convolution")


def crops(opened, photos: Path) -> np.ndarray:
    from ltfix.images.source import open_source

    split = open_source(photos).split("test")
    return np.stack([opened.preprocess.crop(split.open(i)) for i in range(len(split))])


def own(project, kind: str) -> np.ndarray:
    test = ltfix.open_cache(project.cache.path.parent / "test")
    return project.heads[kind].logits(test.features[:, 0])


@pytest.mark.parametrize(
    ("body", "to", "kind"),
    [
        *((body, "timm", "linear") for body in TIMM),
        ("convolution", "onnx", "linear"),
        *((body, "torch-export", "linear") for body in ("convnext",)),
        ("torchvision", "torchvision", "linear"),
        ("torchvision", "torchvision", "calibrated"),
        ("vit", "timm", "calibrated"),
        ("vit", "onnx", "calibrated"),
        ("vit", "torch-export", "disalign"),
    ],
)
def test_an_export_gives_the_logits_of_the_cache(project, tmp_path: Path, body, to, kind):
    made = project(body)
    out = tmp_path / f"exported{FORMATS[to]}"
    written = ltfix.export(made.heads[kind], out, cache=made.cache, data=made.data, to=to)
    assert written.checked_on == f"9 pictures of {made.data.name}"
    assert written.difference < 1e-5
    opened = ltfix.open_export(out)
    assert opened.classes == made.cache.classes
    found, expected = opened.logits(crops(opened, made.data)), own(made, kind)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_page_makes_the_pixels_of_an_onnx_graph(project, tmp_path: Path, monkeypatch):
    """What docs/export.md does with Pillow and onnxruntime alone, for whole and half margins."""
    monkeypatch.chdir(tmp_path)
    made = project("vit")
    ltfix.export(made.heads["linear"], "exports/samn-freq.onnx", cache=made.cache, to="onnx")
    opened, rng = ltfix.open_export("exports/samn-freq.onnx"), np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize((131, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    small.save("cat.jpg", exif=exif)
    page = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
    (block,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def pixels" in block
    )
    exec(compile(block, "docs/export.md", "exec"), found := dict[str, Any]())
    expected = decode(Path("cat.jpg").read_bytes(), "cat.jpg")
    assert expected.size == (90, 131)
    np.testing.assert_allclose(
        found["logits"], opened.logits(opened.preprocess.crop(expected)[None]), rtol=1e-5
    )
    for side, pct, way, size in itertools.product(
        (64, 65), (0.875, 1.0, 0.9), ("bicubic", "bilinear"), SIZES
    ):
        told = dataclasses.replace(opened.preprocess, image_size=side, crop_pct=pct, interpolation=way)
        image = small.resize(size)
        ours = found["pixels"](image, **json.loads(json.dumps(told.to_dict())))
        np.testing.assert_array_equal(ours, told.crop(image).astype(np.float32).transpose(2, 0, 1) / 255)


SIZES = ((64, 64), (200, 113), (77, 301), (33, 40))
KINDS = ("linear", "calibrated", "cosine", "center", "standardize", "capsule", "disalign")


@pytest.mark.parametrize(
    ("to", "kind"),
    [*(("torch-export", kind) for kind in KINDS), *(("onnx", kind) for kind in ("standardize", "disalign"))],
)
def test_a_head_alone(project, tmp_path: Path, to, kind):
    made = project("vit")
    out = tmp_path / f"head{FORMATS[to]}"
    written = ltfix.export(made.heads[kind], out, cache=made.cache, to=to, features=True)
    assert written.checked_on == "16 features of the cache"
    opened = ltfix.open_export(out)
    assert opened.preprocess is None
    assert np.allclose(
        opened.logits(made.cache.features[:, 0]),
        made.heads[kind].logits(made.cache.features[:, 0]),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("body", "to", "kind", "says"),
    [
        ("vit", "timm", "cosine", "ends in a linear layer"),
        ("torchvision", "torchvision", "disalign", "ends in a linear layer"),
        ("torchvision", "timm", "linear", "to=torchvision"),
        ("vit", "torchvision", "linear", "to=timm"),
        ("ours", "timm", "linear", "ltfix's own"),
    ],
)
def test_what_a_format_cannot_express_is_refused(project, tmp_path: Path, body, to, kind, says):
    made = project(body)
    with pytest.raises(UsageError, match=says):
        ltfix.export(made.heads[kind], tmp_path / f"m{FORMATS[to]}", cache=made.cache, to=to)
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_is_not_linear_is_refused_before_its_body(tmp_path: Path):
    head = ltfix.Head(np.eye(3), np.zeros(3), "ncm", transform={"kind": "l2"})
    with pytest.raises(UsageError, match=r"the head ncm is l2.*ncm makes a linear one with transform=un"):
        ltfix.export(head, tmp_path / "m", backbone="no-such-model")


@pytest.mark.parametrize("said", [{}, {"model_args": None}, {"model_args": {}}])
def test_a_folder_of_timm_may_say_nothing_of_its_constructor(tmp_path: Path, said):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", **said}))
    assert recorded(f"local-dir:{tmp_path}") == {}
    (tmp_path / "config.json").write_text(json.dumps({"model_args": [1]}))
    with pytest.raises(InputError, match=r"its model_args: expected an object or null.*config\.json"):
        recorded(f"local-dir:{tmp_path}")


def test_a_body_of_other_weights_is_refused(project, tmp_path: Path):
    made = project("vit")
    with pytest.raises(InputError, match="not those that the features were made with"):
        ltfix.export(made.heads["linear"], tmp_path / "m", cache=made.cache, seed=1)
    other = project("convnext")
    with pytest.raises(InputError, match="not fitted on these features"):
        ltfix.export(made.heads["linear"], tmp_path / "m", cache=other.cache)
    narrow = dataclasses.replace(made.heads["linear"], weight=np.ones((3, 5), np.float32))
    with pytest.raises(InputError, match="D = 5"):
        ltfix.export(narrow, tmp_path / "m", cache=made.cache)
    with pytest.raises(UsageError, match="not known of which backbone"):
        ltfix.export(made.heads["linear"], tmp_path / "m")


def test_class_names_are_given_or_numbers(project, tmp_path: Path):
    made = project("vit")
    nameless = dataclasses.replace(made.heads["linear"], classes=None)
    ltfix.export(nameless, tmp_path / "numbers.pt2", to="torch-export", features=True)
    assert ltfix.open_export(tmp_path / "numbers.pt2").classes == ("0", "1", "2")
    with pytest.raises(InputError, match="2 class names for 3 classes"):
        ltfix.export(nameless, tmp_path / "m.onnx", to="onnx", features=True, classes=["a", "b"])
    ltfix.export(nameless, tmp_path / "m.pt2", to="torch-export", features=True, classes=["a", "b", "c"])
    assert ltfix.open_export(tmp_path / "m.pt2").classes == ("a", "b", "c")


def test_nothing_is_replaced_unasked(project, tmp_path: Path):
    made = project("vit")
    export = lambda **more: ltfix.export(made.heads["linear"], tmp_path / "m", cache=made.cache, **more)  # noqa: E731
    export()
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    with pytest.raises(UsageError, match="already there"):
        export()
    export(overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before
    with pytest.raises(UsageError, match=r"name it m\.onnx"):
        export(to="onnx")


def test_a_missing_extra_is_one_line(project, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    made = project("vit")
    with pytest.raises(EnvironmentFault, match=r'pip install "ltfix\[onnx\]"'):
        ltfix.export(made.heads["linear"], tmp_path / "m.onnx", cache=made.cache, to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_operator_that_onnx_lacks_is_one_line(project, tmp_path: Path, monkeypatch):
    class Odd(joined.FeatureClassifier):
        def forward(self, features):
            logits, probabilities = super().forward(features)
            return logits + torch.linalg.eigvals(self.weight @ self.weight.T).real, probabilities

    monkeypatch.setattr(joined, "FeatureClassifier", Odd)
    with pytest.raises(EnvironmentFault, match=r"cannot export this model: .*eig.*another format") as caught:
        ltfix.export(project("vit").heads["linear"], tmp_path / "m.onnx", to="onnx", features=True)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_is_not_published(project, tmp_path: Path, monkeypatch):
    from ltfix.exporting import check as module

    made = project("vit")
    monkeypatch.setattr(module, "own_logits", lambda joined, batch: np.ones((16, 3), np.float32))
    with pytest.raises(InputError, match="differ by"):
        ltfix.export(made.heads["linear"], tmp_path / "m", cache=made.cache)
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_a_body_too(project, tmp_path: Path, monkeypatch):
    made = project("vit")
    monkeypatch.chdir(tmp_path)
    ltfix.export(made.heads["linear"], "first", cache=made.cache)
    told = describe_export(Path("first")).told
    assert [told[name] for name in ("format", "input", "backbone", "classes")] == [
        "timm",
        "64 × 64 pixels",
        made.cache.manifest.backbone["name"],
        "3 (Zebra … bee)",
    ]
    more = {"dtype": "float32", "precision": "fp32", "device": "cpu"}
    cache = ltfix.extract(made.data, backbone="local-dir:first", out="features", split=["train"], **more)
    assert cache.manifest.backbone["weights_sha256"] == made.cache.manifest.backbone["weights_sha256"]
    assert np.allclose(cache.head.weight, made.heads["linear"].weight)
    head = ltfix.fit(cache, "ce", epochs=1)
    ltfix.export(head, "second", cache=cache)  # the cache knows the folder by its name, which is here
    Path("elsewhere").mkdir()
    Path("first").rename("elsewhere/first")
    told = r"first, which is not here \(features/train\): say where it is: backbone=local-dir:DIR/first"
    with pytest.raises(InputError, match=told):
        ltfix.export(head, "third", cache=cache)
    ltfix.export(head, "third", cache=cache, backbone="local-dir:elsewhere/first")
    assert ltfix.open_export("third").classes == cache.classes


def test_what_is_recorded_by_name_is_found_where_it_is_said_to_be_or_beside_the_project(
    tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("models/prod").mkdir(parents=True)
    cache = tmp_path / "project/features/train"
    cache.mkdir(parents=True)
    said = BodyRequest(said=["local-dir:models/prod"])
    assert _find("backbone=local-dir:", "prod", None, said) == Path("models/prod")
    with pytest.raises(InputError, match=r"prod, which is not here .*: backbone=local-dir:DIR/prod"):
        _find("backbone=local-dir:", "prod", cache, BodyRequest())
    Path("models/prod").rename("prod")
    monkeypatch.chdir("project")
    assert _find("backbone=local-dir:", "prod", cache, BodyRequest()).samefile("../prod")
