"""Exports opened in fresh processes without ltfix give the labels that evaluate counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.evaluation.scores import predictions
from ltfix.exporting.request import FORMATS

ALONE = Path(__file__).with_name("exported_alone.py")
BODIES = {
    "timm": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "torchvision": ("torchvision:shufflenet_v2_x0_5", {}),
    "onnx": ("vit_tiny_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}),
    "torch-export": ("resnetv2_50", {"layers": (1, 1, 1, 1), "channels": (16, 32, 48, 64), "stem_chs": 8}),
}


@pytest.mark.parametrize("to", FORMATS)
def test_labels_without_ltfix(photos: Path, tmp_path: Path, to: str):
    name, args = BODIES[to]
    caches = ltfix.extract(
        photos, backbone=name, out=tmp_path / "features", model_args=args, pretrained=False, image_size=64,
        dtype="float32", precision="fp32", device="cpu",
    )  # fmt: skip
    method = "cosine" if to in ("onnx", "torch-export") else "ce"
    head = ltfix.fit(caches["train"], method, epochs=2)
    out = tmp_path / f"exported{FORMATS[to]}"
    ltfix.export(head, out, to=to, cache=caches["train"])
    test = caches["test"]
    pictures = tmp_path / "pictures.txt"
    pictures.write_text("\n".join(str(photos / "test" / sample) for sample in test.samples))
    subprocess.run(
        [sys.executable, ALONE, to, out, pictures, tmp_path / "logits.npy"], check=True, timeout=240
    )
    found, own = np.load(tmp_path / "logits.npy"), head.logits(test.features[:, 0])
    assert (found.argmax(1) == predictions(head, test)).all()
    assert np.abs(found - own).max() < 1e-4 * np.abs(own).max()
