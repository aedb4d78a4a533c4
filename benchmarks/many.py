"""Extraction of very many pictures: what each costs in memory, seconds and bytes, and what 10⁸ then cost.

    python benchmarks/many.py [--rows 125000,250000,500000,1000000] [--shard-rows 8192] [--per-second 2000]

The pictures are of 8 × 8 pixels and made on the fly by a source that the script registers, so the network
(a vision transformer of one block) and what is around it are all that is measured. All sizes run in one
process, smallest first: its peak after each is what the size added. `--per-second` is what one GPU makes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ltfix
from ltfix.images import source as sources
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource

TINY = {"patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
REAL_DIM, MANY = 768, 10**8


class Pixels:
    """Pictures made on the fly."""

    def read(self, row: int) -> bytes:
        """One picture, PPM."""
        return b"P6 8 8 255\n" + bytes((row * 7 + i) % 256 for i in range(192))

    def where(self, row: int) -> str:
        """What messages call it."""
        return f"made {row}"


def open_made(rest: str, *, root: str | None = None, split: tuple[str, ...] = ()) -> ListingSource:
    """``made:N``: N pictures of 1,000 classes."""
    n = int(rest)

    def listing() -> Listing:
        labels = Labels((f"{row % 1000:03}" for row in range(n)), Pixels().where, names=True)
        names = [f"{row % 1000:03}/{row:09}.ppm" for row in range(n)]
        return Listing(f"made:{rest}", names, labels, Pixels(), np.full(n, 192), None)

    return ListingSource("made", rest, {"train": listing})


def peak() -> int:
    """The most bytes that this process had in memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def extract(n: int, shard_rows: int) -> dict[str, Any]:
    """Extract N pictures; what that took."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        cache = ltfix.extract(
            f"made:{n}",
            backbone="vit_tiny_patch16_224",
            pretrained=False,
            model_args=TINY,
            image_size=8,
            out=out,
            device="cpu",
            batch_size=256,
            shard_rows=shard_rows,
        )
        seconds = time.perf_counter() - began
        files = list(Path(cache.path).iterdir())
        listing = sum(file.stat().st_size for file in files if not file.name.startswith("shard"))
        return {"rows": n, "peak": peak(), "seconds": seconds, "files": len(files), "listing": listing}


def main() -> None:
    """Measure, fit lines, and say what they mean for 10⁸ pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="125000,250000,500000,1000000")
    parser.add_argument("--shard-rows", type=int, default=8192)
    parser.add_argument("--per-second", type=float, default=2000)
    a = parser.parse_args()
    sources.SOURCES["made"] = f"{__name__}:open_made"
    found = []
    for n in sorted(map(int, a.rows.split(","))):
        found.append(extract(n, a.shard_rows))
        print(json.dumps(found[-1]), flush=True)
    rows = np.array([entry["rows"] for entry in found], float)
    slope = {
        key: float(np.polyfit(rows, [entry[key] for entry in found], 1)[0]) for key in ("peak", "listing")
    }
    shards = -(-MANY // a.shard_rows)
    print(f"a picture: {slope['peak']:.0f} bytes of memory, {slope['listing']:.0f} bytes of names")
    memory, names = slope["peak"] * MANY / 2**30, slope["listing"] * MANY / 1e9
    print(f"10^8 pictures: {shards:,} shards of {a.shard_rows:,}, {memory:.0f} GiB of memory a process")
    stored = MANY * (2 * REAL_DIM + 8) / 1e9
    print(f"  {stored:.0f} GB of float16 features of {REAL_DIM} dimensions, {names:.1f} GB of names")
    for gpus in (1, 8, 64):
        print(f"  {gpus} GPUs of {a.per_second:,.0f} pictures/s: {MANY / a.per_second / gpus / 3600:.1f} h")


if __name__ == "__main__":
    main()
