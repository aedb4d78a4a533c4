"""Two commands into one place, the first stopped in the middle; run as a script by test_process_writers.py.

Usage: two_writers.py extract|compare|kills, in a folder with what the command reads. Prints one JSON line.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forked import ARGV, contents, finish

from ltfix import cli, files, open_cache
from ltfix.cli import compare, fit  # noqa: F401
from ltfix.extraction.forward import Forward
from ltfix.heads.head import Head
from ltfix.stage2 import fit as fitting  # noqa: F401  torch, once
from ltfix.stage2.tables import compare as tables  # noqa: F401

COMPARE = ["compare", "--test", "test.npz", "--methods", "ce,los,cosine", "--set", "epochs=2", "--seeds", "2"]
COMPARE += ["--threads", "1", "--quiet"]
QUIET = ["--threads", "1", "--quiet"]
KILLED = {
    "fits": (["fit", "--method", "ce", "--epochs", "2", "--seeds", "3", "--no-cache", *QUIET], None),
    "probe": (["fit", "--method", "ce", "--epochs", "1", *QUIET], 0.01),
    "auto": (["fit", "stage1", "--method", "auto", "--methods", "ncm,lws", *QUIET], 0.01),
    "compare": (["compare", "--methods", "ncm,ce", "--set", "epochs=2", "--seeds", "2", *QUIET], 0.01),
}
"""By what is killed: the command, and how much slower each step of its publication is so that moments in time
meet them; None: it is killed after its first step, its second, …"""


def start(
    argv: list[str],
    errors: str = os.devnull,
    pause: Pause | None = None,
    act: Callable[[], Any] | None = None,
) -> int:
    """Fork a command, its error line into a file; the process id."""
    process = os.fork()
    if process == 0:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.stderr = open(errors, "w")  # noqa: PTH123, SIM115
        if pause is not None:
            pause.install()
        if act is not None:
            after_steps(act)
        code = cli.run(argv)
        sys.stderr.flush()
        os._exit(code)
    if pause is not None:
        pause.wait()
    return process


class Pause:
    """The first call of a function, at which a forked process stops until it is told to go on."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name, self.reached, self.go = owner, name, os.pipe(), os.pipe()

    def install(self) -> None:
        """Stop at the first call, in this process."""
        real, waited = getattr(self.owner, self.name), []

        def stopping(*args: Any, **options: Any) -> Any:
            if not waited:
                waited.append(True)
                os.write(self.reached[1], b"1")
                os.read(self.go[0], 1)
            return real(*args, **options)

        setattr(self.owner, self.name, stopping)

    def wait(self) -> None:
        """Until the other process is there."""
        os.close(self.reached[1])
        assert os.read(self.reached[0], 1), "it ended before"

    def release(self) -> None:
        """Let it go on."""
        os.write(self.go[1], b"1")


def after_steps(act: Callable[[], Any]) -> None:
    """Do something after every step of publication."""

    def followed(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            done = real(*args, **options)
            act()
            return done

        return step

    os.fsync, os.link, os.unlink = followed(os.fsync), followed(os.link), followed(os.unlink)


def dying(last: int) -> Callable[[], None]:
    """To be done after every step: SIGKILL after the last one."""
    steps = itertools.count(1)

    def die() -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def meanwhile(first: list[str], pause: Pause, seconds: list[list[str]]) -> list[list[Any]]:
    """The ends of commands that begin while the first one is stopped, and of the first one."""
    process = start(first, "first.txt", pause)
    ends = []
    for second in seconds:
        code = finish(start(second, "second.txt"))
        ends.append([code, Path("second.txt").read_text()])
    pause.release()
    return [*ends, [finish(process), Path("first.txt").read_text()]]


def extract() -> dict[str, Any]:
    first, other = ([*ARGV, "--out", "both", "--seed", seed] for seed in "01")
    refused = meanwhile(first, Pause(Forward, "_start"), [other, [*other, "--overwrite"]])
    assert finish(start([*ARGV, "--out", "alone"])) == 0
    same = contents(Path("both")) == contents(Path("alone"))
    anew = [*ARGV, "--out", "both", "--overwrite", "--seed"]
    publishing = meanwhile([*anew, "1"], Pause(files, "write_text"), [[*anew, "2"]])
    read = [open_cache(Path("both") / name).verify() for name in ("train", "test")]
    return {"first": refused, "same": same, "publishing": publishing, "read": read}


def comparing() -> dict[str, Any]:
    one, other = ([*COMPARE, "--train", name] for name in ("train.npz", "other.npz"))
    ends = meanwhile(one, Pause(Head, "save"), [other])
    sound = [vouched()]
    again = finish(start([*other, "--overwrite"]))  # heads of other features are not replaced unasked
    sound.append(vouched())
    return {
        "ends": ends,
        "again": again,
        "sound": sound,
        "left": sorted(map(str, Path().rglob("*.ltfix-tmp"))),
    }


def vouched() -> list[bool]:
    """Of every record, whether the head beside it is the one it names."""
    records = sorted(Path("compare").glob("*.json"))
    told = [(path.with_suffix(".safetensors"), json.loads(path.read_text())) for path in records]
    return [files.sha256_file(head) == record["head_sha256"] for head, record in told]


def kills() -> dict[str, Any]:
    """Each command killed at moments spread over its length, and given again: ``KILL_MOMENTS``, else few."""
    moments = {"fits": 10, **dict.fromkeys(list(KILLED)[1:], 2)}
    asked = os.environ.get("KILL_MOMENTS")
    return {name: killed(*command, int(asked or moments[name])) for name, command in KILLED.items()}


def killed(argv: list[str], slow: float | None, moments: int) -> dict[str, Any]:
    """The ends of the second attempts, and how many heads the killed ones had named.

    Args:
        slow: seconds more for every step of publication; None: killed after so many steps instead.
        moments: how many kills.
    """
    draw, lengths = random.Random(0), []
    wait = None if slow is None else functools.partial(time.sleep, slow)
    for folder in ("whole", "halves"):
        shutil.copytree("features", f"{folder}/features")
        began = time.monotonic()
        assert finish(start([*argv, "--work", folder], act=wait)) == 0
        lengths.append(time.monotonic() - began)
    whole = results(Path("whole"))
    assert results(Path("halves")) == whole
    ends, found = [], []
    for i in range(moments):
        shutil.rmtree("halves")
        shutil.copytree("features", "halves/features")
        process = start([*argv, "--work", "halves"], act=wait or dying(i + 1))
        if wait is not None:
            time.sleep(min(lengths) * (i + draw.random()) / moments)
            os.kill(process, signal.SIGKILL)
        finish(process)
        found.append(len(list(Path("halves").glob("heads/[!.]*"))))
        named = found[-1] == len(list(Path("whole").glob("heads/[!.]*")))
        code = finish(start([*argv, "--work", "halves"], "end.txt"))
        ends.append([code, named, Path("end.txt").read_text(), results(Path("halves")) == whole])
    shutil.rmtree("halves")
    shutil.rmtree("whole")
    return {"ends": ends, "found": found}


def results(folder: Path) -> dict[str, Any]:
    """Every file below ``folder`` but locks; of records all but the seconds that they tell."""
    found: dict[str, Any] = {name: data for name, data in contents(folder).items() if data}
    for name, data in found.items():
        if name.endswith(".json") and b"seconds" in data:
            found[name] = {**json.loads(data), "seconds": 0}
    return found


if __name__ == "__main__":
    print(json.dumps({"extract": extract, "compare": comparing, "kills": kills}[sys.argv[1]]()))
