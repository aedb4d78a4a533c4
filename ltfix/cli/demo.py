"""``ltfix demo``: the whole pipeline on bundled images."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ltfix.cli import console, tables
from ltfix.cli.options import RandomSeed
from ltfix.option import Option

if TYPE_CHECKING:
    from ltfix.demo.pipeline import Demo


WIDTH = 80


def demo(
    out: Annotated[Path, Option("Where to write the demo's images and results.", metavar="DIR")] = Path(
        "ltfix-demo"
    ),
    seed: RandomSeed = 0,
) -> None:
    """Run the whole pipeline on bundled images in about a minute.

    Cuts the UCI handwritten digits to a long tail, trains a small backbone, caches its features, fits
    six heads and evaluates them, exports one of them, asks it about some digits, and writes a page about
    all. No network is needed; nothing outside the folder is written.
    """
    from time import perf_counter

    began = perf_counter()
    from ltfix.demo.pipeline import run_demo

    command = f"ltfix demo --seed {seed}"
    done = run_demo(out, seed=seed, command=command, progress=console.progress())
    console.write(_text(done, perf_counter() - began), drawn=True)


def _text(done: Demo, seconds: float) -> str:
    from ltfix.demo.digits import HELD_OUT

    counts = sorted(done.run.info["counts"], reverse=True)
    steps = ", ".join(f"{name} {took:.1f} s" for name, took in done.seconds.items())
    return "\n".join(
        [
            "UCI handwritten digits (8 × 8 pixels, CC BY 4.0), cut to a long tail:",
            f"{sum(counts)} training images, {', '.join(map(str, counts))} of the ten digits;",
            f"{HELD_OUT} test images of each. Many, Medium and Few are set to these small counts.",
            "stage-1 is the classifier of a small residual network trained on them; every other",
            "row has retrained nothing but that last layer, on the network's cached features.",
            "",
            *(tables.draw_result(table) for table in done.report.tables()),
            "",
            *textwrap.wrap(f"{seconds:.1f} s on the CPU: {steps}.", WIDTH),
            "",
            *_made(done),
            "",
            *_next(done.folder),
        ]
    )


def _made(done: Demo) -> list[str]:
    """The export, what it says of some pictures, and the page."""
    said = [f"  {one.sample}: {one.label}, {100 * one.probability:.0f} %" for one in done.predicted]
    exported = "needs torch 2.9 or later" if done.exported is None else done.exported.path
    page = done.page or 'needs pip install "ltfix[report]"'
    return [
        f"The head samn-freq back in its network, for torch alone: {exported}",
        "It says of test digits:",
        *said,
        f"A page about all, to be opened in a browser: {page}",
    ]


def _next(folder: Path) -> list[str]:
    from ltfix.demo.pipeline import FEW, MANY

    return [
        f"All of it is in {folder}, a project as yours would be:",
        f"  cd {shlex.quote(str(folder))} && ltfix evaluate --report per-class --many {MANY} --few {FEW}",
        "",
        "The same on your own images, in photos/train/<class>/ and photos/test/<class>/:",
        "  ltfix train-backbone --data photos --model resnet18 --name mine   # or leave it out, and",
        "  ltfix extract --data photos --backbone runs/mine    # take a pretrained resnet50.a1_in1k",
        "  ltfix fit --method samn --metric freq",
        "  ltfix evaluate --report many-medium-few",
    ]
