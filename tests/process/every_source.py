"""One data set from every source, by hand.

    python tests/process/every_source.py PHOTOS [BACKBONE [CHECKPOINT]]

PHOTOS has split folders of class folders, as Caltech-101-small, unpacked. Every other form of it is
written into a temporary folder, extracted, some over http and from fsspec's memory too, and compared with
the folder's own caches.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fsspec

import ltfix

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "extraction")]
from serving import serving  # noqa: E402
from test_extraction_sources import compare, write_all  # noqa: E402

AFAR = {"http ": ("csv", "parquet of bytes", "tar"), "memory ": ("wds", "zip")}


def main(photos: str, backbone: str = "cifar_resnet32", checkpoint: str | None = None) -> None:
    """Extract and compare."""
    options: dict[str, Any] = {
        "backbone": backbone,
        "checkpoint": checkpoint,
        "pretrained": False,
        "device": "cpu",
    }

    def extract(what: str, spec: str) -> dict[str, Any]:
        start = time.perf_counter()
        caches: Any = ltfix.extract(spec, out=place / "out" / what, **options)
        n = sum(cache.n for cache in caches.values())
        print(f"{what:28} {n:,} images, {time.perf_counter() - start:6.1f} s", end="", flush=True)
        return dict(caches)

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(photos, place / "photos")
        expected = extract("folder", str(place / "photos"))
        print()
        specs = write_all(place / "photos")
        fsspec.filesystem("memory").put(str(place), "/everything", recursive=True)
        with serving(place) as server:
            places = {"": str(place), "http ": server.url, "memory ": "memory://everything"}
            for where, base in places.items():
                for kind in AFAR.get(where, specs):
                    compare(extract(where + kind, specs[kind].replace("{}", base)), expected)
                    print("  equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
