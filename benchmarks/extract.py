"""Extraction beside what it is made of: the bare loop, the decoder alone, and the start.

    python benchmarks/extract.py [--n 400] [--model tf_efficientnet_lite0] [--tiny test_efficientnet]
        [--device auto] [--rounds 3] [--decoder pillow] [--large 2048x1536]

Writes synthetic JPEGs into a temporary folder and prints medians of the rounds, each of which measures all:

- bare loop: timm's transform in a torch DataLoader (a worker a core), the model, features fetched;
- extract: `ltfix.extract` of the same pictures and model, from the ready model to the published cache;
- decoder alone: the tiny model's pictures decoded and cropped by all threads;
- bound, on a CPU: what processors that do both can give, 1 / (1 / decoder alone + 1 / model alone);
- start: seconds of a new process to its first finished batch, beyond those to import torch and timm and to
  build the model.

The ratios are what counts: both sides of one ran on the same machine in the same minute.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch.utils.data import DataLoader, Dataset

from ltfix.compute import available_cpus, resolve_device
from ltfix.extraction.decode import decode_batches, renderer
from ltfix.extraction.forward import Forward
from ltfix.extraction.plan import prepare
from ltfix.extraction.request import Request
from ltfix.extraction.run import run
from ltfix.images.decode import register_formats

FIRST = """
import os, sys, time
import ltfix

class First:
    def start(self, *a): pass
    def describe(self, *a): pass
    def note(self, *a): pass
    def finish(self): pass
    def advance(self, n=1):
        os.write(1, str(time.time()).encode()); os._exit(0)

data, model, out, device = sys.argv[1:]
ltfix.extract(data, backbone=model, pretrained=False, out=out, device=device, progress=First())
"""
BARE = "import sys, time, torch, timm; timm.create_model(sys.argv[2]); print(time.time())"


def write_photos(folder: Path, n: int, size: tuple[int, int]) -> None:
    """Smooth noise with grain, as large as photos of that size are in a file."""
    rng = np.random.default_rng(0)
    for i in range(n):
        target = folder / "train" / f"class{i % 4}"
        target.mkdir(parents=True, exist_ok=True)
        smooth = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = np.asarray(smooth).astype(np.int16) + rng.integers(-12, 13, (*size[::-1], 3), np.int16)
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(target / f"{i:05}.jpg", quality=88)


class Photos(Dataset[Any]):
    """What a bare loop reads."""

    def __init__(self, folder: Path, transform: Any) -> None:
        self.files, self.transform = sorted(folder.rglob("*.jpg")), transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


def bare_loop(folder: Path, name: str, device: torch.device, batch: int) -> float:
    """Images a second of a DataLoader and a model."""
    model = timm.create_model(name, num_classes=0).eval().to(device).to(memory_format=torch.channels_last)
    photos = Photos(folder, create_transform(**resolve_data_config(model=model), is_training=False))
    loader = DataLoader(
        photos,
        batch,
        num_workers=available_cpus(),
        pin_memory=device.type == "cuda",
        worker_init_fn=lambda _: torch.set_num_threads(1),
    )
    found = []
    began = time.perf_counter()
    with torch.inference_mode():
        for images in loader:
            moved = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            found.append(model(moved).float().cpu().numpy())
    np.concatenate(found)
    return len(photos) / (time.perf_counter() - began)


def extraction(folder: Path, name: str, device: str, decoder: str, batch: int) -> float:
    """Images a second of ltfix, model and plan ready."""
    with tempfile.TemporaryDirectory() as out:
        request = Request(
            data=folder,
            backbone=name,
            pretrained=False,
            out=out,
            device=device,
            decoder=decoder,
            batch_size=batch,
            precision="fp32",
        )
        planned = prepare(request)
        began = time.perf_counter()
        caches = run(planned)
        return caches["train"].n / (time.perf_counter() - began)


def alone(folder: Path, name: str, device: str, decoder: str, batch: int) -> tuple[float, float]:
    """Images a second of all threads that decode, and then of the model over what they made."""
    with tempfile.TemporaryDirectory() as out:
        planned = prepare(
            Request(data=folder, backbone=name, pretrained=False, out=out, device=device, decoder=decoder)
        )
        job, crop = planned.jobs[0], planned.backbone.preprocess.crop
        register_formats()
        n = len(job.split)
        ranges = [range(start, min(start + batch, n)) for start in range(0, n, batch)]
        render = renderer(job.split.open, job.split.samples.__getitem__, job.views, crop)
        began = time.perf_counter()
        decoded = list(decode_batches(ranges, render, available_cpus(), planned.jpeg))
        between = time.perf_counter()
        for _ in Forward(planned.backbone, planned.compute).over(decoded, batch, 1):
            pass
        return n / (between - began), n / (time.perf_counter() - between)


def start(folder: Path, name: str, device: str) -> float:
    """Seconds to the first batch beyond what the imports and the model take."""
    seconds = []
    for code in (FIRST, BARE):
        with tempfile.TemporaryDirectory() as out:
            began = time.time()
            argv = [sys.executable, "-c", code, str(folder), name, f"{out}/x", device]
            seconds.append(
                float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout) - began
            )
    return seconds[0] - seconds[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    for option, value in (("n", 400), ("rounds", 3), ("batch", 16)):
        parser.add_argument(f"--{option}", type=int, default=value)
    for option, text in (
        ("model", "tf_efficientnet_lite0"),
        ("tiny", "test_efficientnet"),
        ("device", "auto"),
        ("decoder", "pillow"),
        ("large", "2048x1536"),
    ):
        parser.add_argument(f"--{option}", default=text)
    a = parser.parse_args()
    device = resolve_device(a.device)
    with tempfile.TemporaryDirectory() as work:
        small, large = Path(work) / "small", Path(work) / "large"
        write_photos(small, a.n, (500, 375))
        width, height = map(int, a.large.split("x"))
        write_photos(large, a.n // 2, (width, height))
        rows = [
            (
                bare_loop(small, a.model, device, a.batch),
                extraction(small, a.model, a.device, a.decoder, a.batch),
                *alone(large, a.tiny, a.device, a.decoder, a.batch),
                extraction(large, a.tiny, a.device, a.decoder, a.batch),
                start(small, a.model, a.device),
            )
            for _ in range(a.rounds)
        ]
    bare, model, decoding, network, tiny, first = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    over_bare = statistics.median(row[1] / row[0] for row in rows)
    over_decoder = statistics.median(row[4] / row[2] for row in rows)
    of_bound = statistics.median(row[4] * (1 / row[2] + 1 / row[3]) for row in rows)
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, n = {a.rounds}")
    print(f"model is the limit   bare loop {bare:.1f}, extract {model:.1f} images/s: ratio {over_bare:.3f}")
    print(
        f"decoding is          decoder {decoding:.1f}, extract {tiny:.1f} images/s: ratio {over_decoder:.3f}"
    )
    if device.type == "cpu":
        print(f"its model alone      {network:.1f} images/s: of the bound {of_bound:.3f}")
    print(f"start to first batch {first:.2f} s beyond imports and the model")


if __name__ == "__main__":
    main()
