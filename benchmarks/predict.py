"""What ``ltfix predict`` keeps of a bare loop's speed, and that its memory does not grow.

    python benchmarks/predict.py [--rounds 5] [--pictures 256] [--model mobilenetv3_small_100] [--threads 1]
    python benchmarks/predict.py --memory 100000

The bare loop decodes and crops the same generated photos in as many threads, some batches ahead, runs the
same model with the same normalisation over them and multiplies by the head; both are timed in turn in one
process, from the first picture to the last answer, and the ratio's median is the result (bar: 0.97).
``--memory N`` sends N / 10 and then N paths, repeated, into the command's standard input and compares its
largest resident size.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import ltfix
from ltfix.backbones.load import Backbone, load_backbone
from ltfix.heads.head import Head

PEAK = """
import resource, sys
from ltfix.cli import run
code = run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, file=sys.stderr)
sys.exit(code)
"""


def make_photos(folder: Path, n: int, side: int) -> list[Path]:
    """Smooth random photos, and where they are."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:05}.jpg" for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize((side * 4 // 3, side)).save(path)
    return paths


def batched(paths: list[Path], size: int) -> Iterator[list[Path]]:
    """Runs of ``size`` paths."""
    return (paths[start : start + size] for start in range(0, len(paths), size))


def bare(paths: list[Path], body: Backbone, head: Head, size: int, workers: int) -> list[int]:
    """The loop that one would write oneself."""
    weight, bias = torch.from_numpy(head.weight), torch.from_numpy(head.bias)
    found: list[int] = []

    def pixels(path: Path) -> np.ndarray:
        return body.preprocess.crop(Image.open(path).convert("RGB"))

    with ThreadPoolExecutor(workers) as pool, torch.inference_mode():
        ahead = ([pool.submit(pixels, path) for path in batch] for batch in batched(paths, size))
        waiting = list(itertools.islice(ahead, 2))
        while waiting:
            waiting += itertools.islice(ahead, 1)
            images = torch.from_numpy(np.stack([future.result() for future in waiting.pop(0)]))
            logits = body.model(body.preprocess.normalize(images)) @ weight.T + bias
            found += logits.argmax(1).tolist()
    return found


def speed(arguments: argparse.Namespace, folder: Path) -> None:
    """Pictures a second of both, and the median ratio."""
    paths = make_photos(folder, arguments.pictures, 300)
    body = load_backbone(arguments.model, pretrained=False)
    body.model = body.model.to(memory_format=torch.channels_last)
    head = Head(np.eye(100, body.dim, dtype=np.float32), np.zeros(100, np.float32), "mine")
    asked = {"backbone": arguments.model, "pretrained": False, "device": "cpu"}
    rates: dict[str, list[float]] = {"bare": [], "ltfix": []}
    for turn in range(arguments.rounds + 1):
        answers = {}
        for name in rates:
            if name == "bare":
                began = time.perf_counter()
                answers[name] = bare(paths, body, head, arguments.batch_size, arguments.workers)
            else:
                more = {"batch_size": arguments.batch_size, "workers": arguments.workers}
                found = ltfix.predict(head, folder, **asked, **more)
                began = time.perf_counter()
                answers[name] = [int(one.label or 0) for one in found]
            rates[name] += [len(paths) / (time.perf_counter() - began)] * (turn > 0)
        assert answers["bare"] == answers["ltfix"], "the two do not say the same"
    ratios = [ours / theirs for ours, theirs in zip(rates["ltfix"], rates["bare"], strict=True)]
    print("| model | ltfix pictures/s | bare pictures/s | ratio |\n|---|---:|---:|---:|")
    medians = [statistics.median(rates[name]) for name in ("ltfix", "bare")]
    print(f"| {arguments.model} | {medians[0]:.1f} | {medians[1]:.1f} | {statistics.median(ratios):.3f} |")


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    """The largest resident size at a tenth of the paths and at all of them."""
    path = make_photos(folder, 1, 32)[0]
    Head(np.eye(10, 64, dtype=np.float32), np.zeros(10, np.float32), "mine").save(folder / "head.safetensors")
    command = ["predict", folder / "head.safetensors", "--data", "-", "--format", "csv", "--quiet"]
    command += ["--backbone", "cifar_resnet32", "--no-pretrained", "--device", "cpu"]
    for n in (arguments.memory // 10, arguments.memory):
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, *command],
            input=f"{path}\n" * n,
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,  # of no project
        )
        print(f"{n:,} paths: {len(ran.stdout.splitlines()) - 1:,} lines, {ran.stderr.strip()} MiB at most")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--model", default="mobilenetv3_small_100")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        (memory if arguments.memory else speed)(arguments, Path(folder))


if __name__ == "__main__":
    main()
