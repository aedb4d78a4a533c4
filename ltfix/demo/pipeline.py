"""The demo: every step of a real project on the bundled digits, by the functions that the commands call."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix import files
from ltfix.demo.digits import load_digits, split_digits
from ltfix.errors import EnvironmentFault, UsageError
from ltfix.evaluation.describe import describe
from ltfix.evaluation.measure import Evaluation, evaluate
from ltfix.evaluation.report import Report
from ltfix.exporting.export import ExportedHead, export
from ltfix.extraction.extract import extract
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.predicting.predict import Prediction, predict
from ltfix.progress import SILENT, Progress
from ltfix.report.page import make_page
from ltfix.report.subject import Subject
from ltfix.report.thumbnails import thumbnails
from ltfix.stage2.fit import fit

if TYPE_CHECKING:
    from ltfix.stage1.run_folder import Run

FORMAT = "ltfix-demo/1"
MARK = "demo.json"
SHOWN = 4  # predictions
MANY, FEW = 30, 10  # 83 images of the commonest digit, 2 of the rarest: 100 and 20 would leave Many empty
METHODS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ce", "ce", {}),
    ("tau-norm", "tau-norm", {}),
    ("los", "los", {}),
    ("samn-freq", "samn", {"metric": "freq"}),
    ("samn-norm", "samn", {"metric": "norm"}),
    ("logit-adjust", "logit-adjust", {}),
)
TRAINING: dict[str, Any] = {
    "model": "cifar_resnet32",
    "model_args": {"depths": [1, 1, 1]},  # eight layers are enough for 8 pixels
    "preprocess": {"image_size": 8, "mean": (0.3,) * 3, "std": (0.35,) * 3},
    "augment": "crop",  # a mirrored digit is another one, or none
    "crop_pad": 1,
    "epochs": 30,
    "batch_size": 16,
    "lr": 0.05,
    "weight_decay": 0.02,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made.

    Attributes:
        folder: a project in ltfix's default layout: digits/, runs/, features/, heads/, exports/.
        run: the trained backbone.
        report: accuracies of the stage-1 classifier and of every head on the test digits.
        exported: samn's head back in its network; None where torch is too old for that.
        predicted: what it says of some test digits.
        page: the HTML page of all; None where the extra that draws it is not installed.
        seconds: by step.
    """

    folder: Path
    run: Run
    report: Report
    exported: ExportedHead | None
    predicted: list[Prediction]
    page: Path | None
    seconds: dict[str, float]


def run_demo(
    folder: Path | str = "ltfix-demo",
    *,
    seed: int = 0,
    threads: int | None = 1,
    command: str = "ltfix demo",
    progress: Progress = SILENT,
) -> Demo:
    """Write the digits as images, train a backbone, extract, fit heads, evaluate, export, predict, report.

    Its own earlier output in ``folder`` is made anew; other files in it are left alone.

    Args:
        folder: where everything is written.
        seed: of the images chosen, the backbone and the heads.
        command: that asked for it, as the page says it.
        threads: CPU threads; networks this small gain nothing from a second one.
        progress: told of every step.

    Raises:
        UsageError: the folder holds something that is not the demo's.
        EnvironmentFault: it cannot be written.
    """
    folder = Path(folder)
    seconds: dict[str, float] = {}
    common: dict[str, Any] = {"device": "cpu", "threads": threads, "overwrite": True}
    _claim(folder, seed, progress)

    from ltfix.stage1.train import train_backbone

    with _timed(seconds, "images"):
        write_images(folder / "digits", seed)
    with _timed(seconds, "train-backbone"):
        run = train_backbone(
            folder / "digits",
            out=folder / "runs/digits",
            seed=seed,
            progress=Unannounced(progress),
            **TRAINING,
            **common,
        )
    with _timed(seconds, "extract"):
        extract(
            folder / "digits", backbone=str(run.path), out=folder / "features", progress=progress, **common
        )
    with _timed(seconds, "fit"):
        heads = fit_heads(folder, seed, progress)
    with _timed(seconds, "evaluate"):
        train, test = folder / "features/train", folder / "features/test"
        report = evaluate([train, *heads], test, many=MANY, few=FEW)
    head = folder / "heads/samn-freq.safetensors"
    body: dict[str, Any] = {"cache": train, "backbone": str(run.path)}
    with _timed(seconds, "export"):
        exported = _export(head, folder, **body)
    with _timed(seconds, "predict"):
        of_body = body if exported is None else {}
        said_by = head if exported is None else exported.path
        asked = predict(said_by, folder / "digits/test", batch_size=SHOWN, **of_body)
        predicted = list(itertools.islice(asked, SHOWN))
    with _timed(seconds, "report"):
        page = write_page(folder, [train, *heads], seed, command, progress)
    return Demo(folder, run, report, exported, predicted, page, seconds)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began


class Unannounced:
    """Progress without its notes: thirty epochs of two seconds are not worth thirty lines."""

    def __init__(self, progress: Progress) -> None:
        self.start, self.advance, self.finish = progress.start, progress.advance, progress.finish

    def describe(self, text: str) -> None:
        """Say nothing: the bar is enough, and its lines in a log stay."""

    def note(self, text: str) -> None:
        """Say nothing."""


def _claim(folder: Path, seed: int, progress: Progress) -> None:
    """Mark a new folder as the demo's; refuse one that holds anything else."""
    with files.os_errors(folder):
        ours, filled = (folder / MARK).exists(), folder.exists() and any(folder.iterdir())
    if filled and not ours:
        raise UsageError("the folder is not the demo's", where=folder, hint="choose another by out=DIR")
    if ours:
        progress.note(f"{folder} is there from an earlier demo: its output is made anew")
    files.write_json(folder / MARK, {"format": FORMAT, "seed": seed})


def write_images(folder: Path, seed: int) -> None:
    """The digits as ``train/<digit>/*.png``, cut to a long tail, and ``test/<digit>/*.png``, balanced."""
    from PIL import Image

    images, _ = load_digits()
    for split, rows in split_digits(seed).items():
        wanted = {folder / split / str(digit) / f"{row:04d}.png": row for digit, row in rows}
        with files.os_errors(folder):
            for path in folder.glob(f"{split}/[0-9]/[0-9][0-9][0-9][0-9].png"):
                if path not in wanted:  # of an earlier demo with another seed
                    path.unlink()
            for digit in range(10):
                (folder / split / str(digit)).mkdir(parents=True, exist_ok=True)
            for path, row in wanted.items():
                # written anew every time, so a torn one cannot stay: 1240 syncs would outlast the training
                Image.fromarray(images[row]).save(path)


def fit_heads(folder: Path, seed: int, progress: Progress) -> list[Path]:
    """Fit every method of ``METHODS`` with its published values and save the heads."""
    paths, cache = [], open_cache(folder / "features/train")
    progress.start("fit", len(METHODS), "heads")
    for name, method, values in METHODS:
        head: Head = fit(cache, method, seed=seed, **values)
        paths.append(folder / "heads" / f"{name}.safetensors")
        head.save(paths[-1])
        progress.advance(1)
    progress.finish()
    return paths


def _export(head: Path, folder: Path, **body: Any) -> ExportedHead | None:
    """A head in its network as a program of torch; None where torch is too old for one."""
    from ltfix.exporting.joined import demand_torch

    try:
        demand_torch("torch-export")
    except EnvironmentFault:
        return None
    place, data = folder / "exports" / f"{head.stem}.pt2", folder / "digits"
    return export(head, place, to="torch-export", data=data, overwrite=True, **body)


def write_page(folder: Path, heads: list[Path], seed: int, command: str, progress: Progress) -> Path | None:
    """The HTML page of the project; None where the extra that draws it is not installed."""
    test = open_cache(folder / "features/test")
    evaluation = Evaluation.of(heads, test, many=MANY, few=FEW, seed=seed)
    with contextlib.suppress(EnvironmentFault):
        page = make_page(
            Subject(evaluation),
            name="digits",
            origins=[describe(path) for path in (folder / "runs/digits", *heads)],
            commands=[command],
            pictures=thumbnails(str(folder / "digits"), test),
            progress=progress,
        )
        files.write_text(folder / "report.html", page)
        return folder / "report.html"
    return None
