"""Many calls of the C kernel, good and refused: resident memory must not grow.

    python pava_memory.py [ROUNDS [ALLOWED_MIB]]

The default allows 1 MiB in 10^5 rounds; a leak of one object a round would be several times this.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
from ltfix._pava import pava

ROUNDS, ALLOWED_MIB = (*map(int, sys.argv[1:]), *(100_000, 1)[len(sys.argv) - 1 :])


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def main() -> int:
    if not Path("/proc/self/statm").exists():
        print("no /proc here: nothing measured")
        return 0
    y = np.random.default_rng(0).standard_normal(64)
    single, weight, starts = y.astype(np.float32), np.ones(64), np.empty(65, np.int64)
    out, single_out = np.empty_like(y), np.empty_like(single)
    broken, strided = np.where(np.arange(64) == 63, np.nan, y), np.empty(128)[::2]

    def refused(*args: object) -> None:
        with contextlib.suppress(ValueError, TypeError):
            pava(*args)
            sys.exit("not refused")

    def once() -> None:
        pava(y, out, starts)
        pava(y, out, starts, weight)
        pava(single, single_out, starts)
        refused(broken, out, starts)
        refused(y, strided, starts)
        refused(y, out, starts, weight, None)
        refused([1.0], out, starts)

    for _ in range(ROUNDS // 20):
        once()
    before = resident()
    for _ in range(ROUNDS):
        once()
    grown = resident() - before
    print(f"{grown} bytes in {ROUNDS} rounds")
    return int(grown > ALLOWED_MIB << 20)


if __name__ == "__main__":
    sys.exit(main())
