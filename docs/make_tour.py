"""Write docs/tour.md: ten screens of a terminal of 80 columns, over the project that ``ltfix demo`` makes.

python docs/make_tour.py            # runs the commands, about a minute
python docs/make_tour.py --check    # fails where a screen says something else; numbers may differ
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

TARGET = Path(__file__).with_name("tour.md")
ROWS, COLUMNS = 40, 80
HEAD = "heads/samn-freq.safetensors"
SHOTS = "--many 30 --few 10"
SCREENS = {
    "What is there": "inspect",
    "A cache, and how long its tail is": "inspect features/train --order count",
    "A method and its values": "methods los",
    "A head": "fit --method los --set delta=0.9",
    "All heads": f"evaluate {SHOTS}",
    "One head against where it began": f"evaluate features/train {HEAD} --against stage-1 {SHOTS}",
    "Class by class": f"evaluate {HEAD} --report per-class --sort gain {SHOTS}",
    "Methods and seeds": f"compare --methods ce,samn,los --seeds 3 --against los {SHOTS}",
    "How much a value matters": f"sweep --method los --over delta=0.5,0.9,0.98 {SHOTS}",
    "A bar that a head misses": f"evaluate {HEAD} --fail-under few=95,all=80 {SHOTS}",
}
START = """# A tour

Ten screens, as a terminal of 80 columns shows them, of the project that `ltfix demo` makes of bundled digits.
After `ltfix demo && cd ltfix-demo` each is yours. This page is made by `python docs/make_tour.py`.
"""


def render(folder: Path) -> str:
    """The page; ``folder`` is where the demo goes."""
    screen(["demo", "--out", "ltfix-demo", "--quiet"], folder)
    shown = [
        f"## {title}\n\n```\n$ ltfix {line}\n{screen(line.split(), folder / 'ltfix-demo')}\n```\n"
        for title, line in SCREENS.items()
    ]
    return "\n".join([START, *shown])


def screen(argv: list[str], folder: Path) -> str:
    """What a terminal shows of a command, without colours, and last what goes to stderr."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "ltfix", *argv]
    running = subprocess.Popen(command, cwd=folder, stdout=slave, stderr=subprocess.PIPE, text=True)
    os.close(slave)
    out = b""
    while piece := _read(master):
        out += piece
    err = running.communicate()[1]
    if running.returncode not in (0, 1):
        raise SystemExit(f"ltfix {' '.join(argv)}: {err}")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.decode()).replace("\r\n", "\n") + err
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _read(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:  # the other end is closed
        return b""


def words(page: str) -> str:
    """A page without numbers, and without what is as wide, as long or as good as numbers make it."""
    told = re.sub(r"[0-9a-f]{16,}|\d[\d.]*(\+\w+)?|[*─█▉▊▋▌▍▎▏†–-]", "", page)
    return " ".join(sorted(told.split()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        page = render(Path(place))
    if "--check" not in sys.argv:
        TARGET.write_text(page, encoding="utf-8")
    elif words(TARGET.read_text(encoding="utf-8")) != words(page):
        raise SystemExit("docs/tour.md is stale: run `python docs/make_tour.py`")
