"""Every export of real heads, opened without ltfix: do all test pictures get the labels that evaluate counts?

    python benchmarks/export.py PICTURES CHECKPOINT [--work DIR]

Extracts features of an EfficientNet-Lite0 with the checkpoint and of a random torchvision ResNet-18, fits
heads, exports each to every format that takes it, opens the exports in processes that cannot import ltfix,
and prints a table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import ltfix
from ltfix.evaluation.scores import predictions
from ltfix.exporting.request import FORMATS

ALONE = Path(__file__).resolve().parent.parent / "tests" / "process" / "exported_alone.py"
LINEAR, ANY = ("timm", "torchvision"), ("onnx", "torch-export")


def features(data: Path, out: Path, **body: object) -> tuple[ltfix.FeatureCache, ltfix.FeatureCache]:
    """Training and test features in float32."""
    exact = {"dtype": "float32", "precision": "fp32", "device": "cpu"}
    found = ltfix.extract(data, out=out, **exact, **body)
    return found["train"], found["test"]


def compare(
    head: ltfix.Head, to: str, train: ltfix.FeatureCache, test: ltfix.FeatureCache, data: Path, **body: object
) -> tuple[int, float]:
    """How many labels are equal, and the largest difference of a logit over the largest logit."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        out = folder / f"exported{FORMATS[to]}"
        ltfix.export(head, out, to=to, cache=train, test=test, data=data, **body)
        pictures = folder / "pictures.txt"
        pictures.write_text("\n".join(str((data / "test" / sample).resolve()) for sample in test.samples))
        command = [sys.executable, ALONE, to, out, pictures, folder / "logits.npy"]
        subprocess.run(command, check=True, cwd=folder)
        found, own = np.load(folder / "logits.npy"), head.logits(test.features[:, 0])
    return int((found.argmax(1) == predictions(head, test)).sum()), float(
        abs(found - own).max() / abs(own).max()
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "ltfix-export"))
    given = parser.parse_args()
    lite = {"checkpoint": given.checkpoint}
    bodies = {
        "tf_efficientnet_lite0": (lite, {"samn": ("timm", *ANY), "cosine": ANY, "disalign": ANY}),
        "torchvision:resnet18": ({}, {"samn": ("torchvision", *ANY)}),
    }
    print("| body | head | format | labels equal | largest difference |\n|---|---|---|---:|---:|")
    for name, (body, methods) in bodies.items():
        random = {} if body else {"pretrained": False}
        out = given.work / name.replace(":", "-")
        train, test = features(given.pictures, out, backbone=name, **body, **random)
        for method, formats in methods.items():
            head = ltfix.fit(train, method)
            for to in formats:
                same, difference = compare(head, to, train, test, given.pictures, **body)
                print(f"| {name} | {method} | {to} | {same} of {test.n} | {difference:.1e} |", flush=True)


if __name__ == "__main__":
    main()
