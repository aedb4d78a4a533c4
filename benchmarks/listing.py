"""What it takes to plan a million samples: seconds and bytes a sample, of lists, tables and folders.

    python benchmarks/listing.py [--rows 1300000] [--classes 8142] [--files 200000]

The paths of lists and tables lead to few pictures by links of 1,000 folders, so that looking at each is real
and costs no inodes. Memory is the most that the process has beyond what it had before.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDERS = 1000
ROUNDS = 9


def peak() -> int:
    """The most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def planned(spec: str) -> tuple[int, int]:
    """Open a source, list its training split and fingerprint its cache, as ``extract`` does: N and K."""
    from ltfix.features.layout import CachePlan
    from ltfix.images.source import open_source

    split = open_source(spec).split("train")
    made = CachePlan(
        samples=split.samples,
        labels=split.labels,
        classes=split.classes,
        dim=64,
        views=1,
        dtype="float16",
        backbone={},
        preprocess={},
        source={"digest": split.digest},
        decides={},
        run={},
        stamps=None,
    )
    _ = made.fingerprint
    return len(split), split.n_classes


def plan(spec: str) -> None:
    """Plan once, and print what it took."""
    import ltfix.features.layout
    import ltfix.images.source  # noqa: F401 - not part of it

    before, start, used = peak(), time.perf_counter(), time.process_time()
    n, k = planned(spec)
    used, took = time.process_time() - used, time.perf_counter() - start
    kind = spec.partition(":")[0] if ":" in spec else "folder"
    print(
        f"{kind:8} {n:>9,} rows, {k:,} classes: {took:6.1f} s "
        f"({used:.1f} of a core), {(peak() - before) / n:5.0f} bytes a sample"
    )


def scan(folder: str) -> int:
    """Files below a folder, each looked at: the floor."""
    n = 0
    for entry in os.scandir(folder):
        if entry.is_dir():
            n += scan(entry.path)
        else:
            entry.stat()
            n += 1
    return n


def beside(folder: str) -> float:
    """How much longer a folder takes than the floor, in turn in one process: median of processor times."""

    def used(work: Callable[[str], object]) -> float:
        start = time.process_time()
        work(folder)
        return time.process_time() - start

    planned(folder)  # what is imported
    return statistics.median(used(planned) / used(scan) for _ in range(ROUNDS))


def write_rows(folder: Path, rows: int, classes: int) -> None:
    """One list and its tables over pictures that are all one file."""
    (folder / "pictures").mkdir()
    for i in range(rows // FOLDERS + 1):
        (folder / "pictures" / f"{i:06}.jpg").write_bytes(b"")
    for i in range(FOLDERS):
        (folder / f"{i:04}").symlink_to("pictures")

    def lines() -> Iterator[tuple[str, int]]:
        for i in range(rows):
            yield f"{i % FOLDERS:04}/{i // FOLDERS:06}.jpg", i * 7919 % classes

    def write(name: str, header: str, form: Callable[[str, int], str]) -> None:
        with (folder / name).open("w") as handle:
            handle.write(header)
            handle.writelines(form(path, label) for path, label in lines())

    write("all.txt", "", lambda path, label: f"{path} {label}\n")
    write("all.csv", "path,label\n", lambda path, label: f"{path},{label}\n")
    write("all.jsonl", "", lambda path, label: f'{{"path": "{path}", "label": {label}}}\n')


def write_tree(folder: Path, files: int) -> None:
    """A thousand class folders with empty files."""
    for i in range(files):
        place = folder / f"{i % FOLDERS:04}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:07}.jpg").touch()


def main() -> None:
    """Write, and plan each in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_300_000)
    parser.add_argument("--classes", type=int, default=8_142)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plan:
        plan(options.plan)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, options.rows, options.classes)
        write_tree(folder / "tree", options.files)
        for spec in (f"list:{folder}/all.txt", f"csv:{folder}/all.csv", f"jsonl:{folder}/all.jsonl"):
            subprocess.run([sys.executable, __file__, "--plan", spec], check=True)
        start, used = time.perf_counter(), time.process_time()
        n = scan(str(folder / "tree"))
        took, used = time.perf_counter() - start, time.process_time() - used
        print(f"scandir  {n:>9,} files: {took:6.1f} s ({used:.1f} of a core)")
        subprocess.run([sys.executable, __file__, "--plan", f"{folder}/tree"], check=True)
        print(f"folder over scandir, median of {ROUNDS}: {beside(f'{folder}/tree'):.2f}")


if __name__ == "__main__":
    main()
