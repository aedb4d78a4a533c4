"""fit, evaluate, inspect and compare on 10⁶ × 256 × 1,000 float16 features within 1 GiB of memory.

    sudo python benchmarks/limit.py [--rows 1000000] [--mib 1024] [--only fit,evaluate,inspect,compare]

Each command runs in a memory control group of its own (version 1 or 2; whoever may make one), which counts
what it holds of the page cache too; where it went over, the kernel kills it. Printed are seconds and the
group's peak; the limit is all there is, so a peak at the limit says that pages of the cache were given back.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from scale import MIB, cache

DIM, CLASSES = 256, 1000
GROUPS = Path("/sys/fs/cgroup")
FILES = {1: ("memory.limit_in_bytes", "memory.max_usage_in_bytes"), 2: ("memory.max", "memory.peak")}
COMMANDS = {
    "fit": "fit {0} --method samn --epochs 1 --stream always --out head.safetensors",
    "evaluate": "evaluate head.safetensors --cache {0}",
    "inspect": "inspect {0} --verify",
    "compare": "compare --train {0} --test {0} --methods samn,los,logit-adjust --seeds 1 --set epochs=1"
    " --stream always",
}


def own_group() -> tuple[int, Path]:
    """The version and the folder of the group that this process is in."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    named = {controllers: path.lstrip("/") for _, controllers, path in lines}
    if "memory" in named:
        return 1, GROUPS / "memory" / named["memory"]
    return 2, GROUPS / named[""]


@contextlib.contextmanager
def group(mib: int) -> Iterator[tuple[Path, Path]]:
    """A group with that limit, gone afterwards: its folder, and the file that has its peak.

    Raises:
        OSError: we may make none, or the memory controller is not handed down to groups of ours.
    """
    version, own = own_group()
    limit, peak = FILES[version]
    folder = own / f"ltfix-limit-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / limit).write_text(str(mib * MIB))
        yield folder, folder / peak
    finally:
        folder.rmdir()


def limited(argv: Sequence[str], folder: Path, mib: int) -> str:
    """Run ``ltfix`` with that limit; seconds, peak and exit code in words."""
    with group(mib) as (place, peak):
        enter = f'echo $$ > {place}/cgroup.procs && exec "$@"'
        began = time.perf_counter()
        command = ["sh", "-c", enter, "sh", sys.executable, "-m", "ltfix", *argv]
        code = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode
        seconds, held = time.perf_counter() - began, int(peak.read_text()) / MIB
        return f"{'done' if code == 0 else f'FAILED ({code})'}, {seconds:.0f} s, {held:.0f} MiB"


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--only", default=",".join(COMMANDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = cache(Path(name), given.rows, DIM, CLASSES)
        for command in given.only.split(","):
            argv = COMMANDS[command].format(path).split()
            try:
                found = limited(argv, Path(name), given.mib)
            except OSError as err:
                sys.exit(f"no memory group can be made here: {err}")
            print(f"{command}, {path.stem}, {given.mib} MiB: {found}", flush=True)


if __name__ == "__main__":
    main()
