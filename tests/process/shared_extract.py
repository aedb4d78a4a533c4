"""Extractions by several processes, some of which are killed; run as a script by test_process_shared.py.

Usage: shared_extract.py plain|ranks ROUNDS, in a folder with photos. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from forked import contents, finish, start

SMALL = ["--shard-rows", "2", "--batch-size", "2", "--workers", "1"]


def main() -> None:
    """Extract once alone, then shared, and compare."""
    told: dict[str, Any] = {"plain": plain, "ranks": ranks}[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(told))


def alone(*more: str) -> dict[str, bytes]:
    """The files that one process writes."""
    out = Path("whole" + "".join(more))
    assert finish(start(*SMALL, *more, "--out", str(out))) == 0
    return contents(out)


def plain(rounds: int) -> dict[str, Any]:
    """Three processes, of which one is killed when shards are there; a fourth comes to help.

    They are told two batch sizes, which make other last digits: whoever comes first decides for all.
    """
    sizes = [["--dtype", "float32", "--batch-size", n] for n in "12"]
    wholes, draw = [alone(*size) for size in sizes], random.Random(0)
    told: dict[str, Any] = {"ends": [], "same": [], "differ": wholes[0] != wholes[1]}
    for _ in range(rounds):
        processes = [start(*SMALL, *sizes[i % 2], "--out", "shared") for i in range(3)]
        wait_for_shards(draw.randrange(1, 6))
        killed = processes.pop(draw.randrange(3))
        os.kill(killed, signal.SIGKILL)
        finish(killed)
        processes.append(start(*SMALL, *sizes[1], "--out", "shared"))
        told["ends"].append([finish(process) for process in processes])
        told["same"].append(contents(Path("shared")) in wholes)
        shutil.rmtree("shared")
    return told


def ranks(rounds: int) -> dict[str, Any]:
    """Two to four ranks, one killed and the others ended, as torchrun does; then another number goes on."""
    whole, draw = alone(), random.Random(0)
    told: dict[str, Any] = {"unfinished": 0, "ends": [], "same": [], "lines": []}
    for _ in range(rounds):
        size = draw.choice((2, 3, 4))
        processes = start_ranks(size, "errors.txt")
        wait_for_shards(draw.randrange(1, 10))
        os.kill(processes[draw.randrange(size)], signal.SIGKILL)
        for process in processes:
            os.kill(process, signal.SIGTERM)
            finish(process)
        told["unfinished"] += contents(Path("shared")) != whole
        other = draw.choice([n for n in (1, 2, 3, 4) if n != size])
        told["ends"].append([finish(process) for process in start_ranks(other, "errors.txt")])
        told["same"].append(contents(Path("shared")) == whole)
        shutil.rmtree("shared")
    Path("photos/train/bee/01.png").write_bytes(b"no picture")
    told["bad"] = [finish(process) for process in start_ranks(2, "errors.txt")]
    told["lines"] = Path("errors.txt").read_text().splitlines()
    return told


def start_ranks(size: int, errors: str) -> list[int]:
    """Fork so many ranks, as torchrun sets them up."""
    Path(errors).write_text("")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(size):
        os.environ.update(
            {key: str(value) for key, value in {**told, "RANK": rank, "LOCAL_RANK": rank}.items()}
        )
        processes.append(start(*SMALL, "--out", "shared", errors=errors))
    return processes


def wait_for_shards(n: int) -> None:
    """Until so many shards are there, or all is done."""
    deadline = time.monotonic() + 60
    while len(list(Path().glob("shared/*/shard-*"))) < n and time.monotonic() < deadline:
        time.sleep(0.005)


if __name__ == "__main__":
    main()
