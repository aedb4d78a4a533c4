"""A paper's table again, ours beside the published, cell by cell.

    python benchmarks/reproduce.py                          which tables there are
    python benchmarks/reproduce.py TABLE --quick            on the packed features, in about a minute
    python benchmarks/reproduce.py TABLE --data DIR         from images: train, extract, fit, compare
    python benchmarks/reproduce.py TABLE --data DIR --runs DIR --no-train     of finished run folders

Everything goes on where it stopped: runs, features and heads that are there are not made again. What is not
one of the options below goes to `ltfix train-backbone`: --precision bf16, --epochs 2, --compile. With
--no-train a run that is missing or unfinished is named, with the command that makes it, and its rows stay
empty. ``--factor 50`` or ``10`` needs the whole CIFAR-100. Published numbers are top-1 in percent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ltfix
from ltfix.errors import InputError, LtfixError
from ltfix.images.source import open_source
from ltfix.runfile import NAME as RUN_FILE
from ltfix.runfile import read_run
from ltfix.stage2.tables.entries import entries

PACKED = Path(os.environ.get("LTFIX_SHARED", Path(__file__).parents[2] / "shared")) / "data"
FEATURES = [PACKED / f"c100_if100_{split}.safetensors" for split in ("train", "test")]
SHOTS = ("all", "many", "medium", "few")
Published = Sequence[float | None]
"""All, then Many, Medium and Few where they are published."""


ByFactor = str | Mapping[int, str]
"""Text, or one for each imbalance factor."""


def at(text: ByFactor, factor: int) -> str:
    """The text of an imbalance factor."""
    return text if isinstance(text, str) else text[factor]


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: what the paper calls it. run: the backbone. method: what `ltfix compare` takes, by imbalance
            factor where it differs; None: stage 1.
        published: by imbalance factor; of a data set that comes cut, under 0.
    """

    name: str
    run: str
    method: ByFactor | None
    published: Mapping[int, Published] = dataclasses.field(default_factory=dict)

    def spec(self, factor: int) -> str | None:
        """The method at an imbalance factor."""
        return None if self.method is None else at(self.method, factor)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: its rows, the backbones as `train-backbone` takes them, and what differs from the paper."""

    title: str
    rows: Sequence[Row]
    runs: Mapping[str, ByFactor]
    differs: Sequence[str] = ()

    @property
    def factors(self) -> list[int]:
        """The imbalance factors that anything is published of."""
        return sorted({factor for row in self.rows for factor in row.published}, reverse=True)


def _if(*values: float | None) -> dict[int, Published]:
    """All at imbalance factors 100, 50 and 10."""
    return {factor: (value,) for factor, value in zip((100, 50, 10), values, strict=False)}


def _heads(loss: str, run: str, *values: float) -> list[Row]:
    """The rows of one backbone of LOS's Table 4: stage 1, then each head on it."""
    methods = (None, "ce", "focal", "margin-linear", "balanced-softmax", "cb:form=bce", "los")
    names = (loss, *(f"{loss} + {head}" for head in ("CE", "Focal", "LDAM", "BS", "CB", "LOS")))
    return [Row(n, run, m, {100: (v,)}) for n, m, v in zip(names, methods, values, strict=True)]


CAO = "--model cifar_resnet32 --lr 0.1 --schedule steps --warmup-epochs 5 --batch-size 128 --epochs 200"
ALWAYS = (
    "last epoch, never the best on test images, which most published numbers are",
    "batch norm stays frozen in stage 2, where the published codes let it move",
)
VIEWS = "{} stored view{} of an image in stage 2, where the published codes crop anew at every step"
DRAWN = "the paper keeps the first images of a class (--imbalance-order first), cifar100_lt drawn ones"
GLMC = "--model cifar_resnet32_w64 --recipe glmc --epochs 200"
SLAS = {100: "las", 50: "las:eps_head=0.3:eps_tail=0", 10: "las:eps_head=0.2:eps_tail=0"}
MISLAS = {
    100: "mislas:eps_head=0.4:eps_tail=0.1:lr_factor=0.2",
    50: "mislas:eps_head=0.3:eps_tail=0:lr_factor=0.1",
    10: "mislas:eps_head=0.2:eps_tail=0:lr_factor=0.1",
}
TABLES = {
    "samn": Table(
        "SAMN, Table 1: CIFAR-100-LT, ResNet-32 of widths 64, 128, 256",
        [
            Row("CE", "ce-w64", None, _if(47.4, 52.3, 67.2)),
            Row("SLAS", "ce-w64", SLAS, _if(52.7, 56.6, 69.7)),
            Row("CE+SAMN", "ce-w64", "samn", _if(54.0, 58.3, 70.1)),
            Row("CE+SAMN, norm metric", "ce-w64", "samn:metric=norm", _if(53.9)),
            Row("CE+SAMN, weight alone", "ce-w64", "samn:part=weight", _if(53.9)),
            Row("CE+SAMN, bias alone", "ce-w64", "samn:part=bias", _if(50.6)),
            Row("SLAS+SAMN", "ce-w64", "samn+las", _if(54.1, 58.4, 70.1)),
            Row("GLMC", "glmc-w64", None, _if(56.8, 62.2, 72.8)),
            Row("GLMC+SAMN", "glmc-w64", "samn:lr=5e-5", _if(57.7, 64.0, 74.1)),
        ],
        {
            "ce-w64": "--model cifar_resnet32_w64 --recipe ce --epochs 200",
            "glmc-w64": {
                100: GLMC,
                50: f"{GLMC} --set resample_weighting=0.2 --set contrast_weight=6",
                10: f"{GLMC} --set resample_weighting=0.2",
            },
        },
        [
            "the authors' released code at factor 100: CE 48.3, CE+SAMN 54.6, GLMC+SAMN 57.9",
        ],
    ),
    "los": Table(
        "LOS, Tables 1 and 2: one backbone on CIFAR-100-LT, ResNet-34, only stage 2 differs",
        [
            Row("Vanilla FC", "ce-r34", None, {100: (48.44, 78.74, 47.37, 14.33)}),
            Row("cosine", "ce-r34", "cosine", {100: (52.20, 77.21, 50.52, 24.98)}),
            Row("LWS", "ce-r34", "lws", {100: (48.99, 78.51, 47.51, 16.26)}),
            Row("LDAM", "ce-r34", "margin-linear", {100: (52.94, 72.37, 54.31, 28.67)}),
            Row("balanced softmax", "ce-r34", "balanced-softmax", {100: (52.23, 77.63, 50.74, 24.33)}),
            Row("re-sampling", "ce-r34", "re-sampling", {100: (48.44, 78.74, 47.37, 14.33)}),
            Row("focal", "ce-r34", "focal", {100: (50.94, 78.00, 49.97, 20.50)}),
            Row("CB", "ce-r34", "cb:form=bce", {100: (53.31, 70.88, 50.25, 36.41)}),
            Row("MaxNorm", "ce-r34", "maxnorm", {100: (51.64, 77.60, 49.37, 23.99)}),
            Row("τ-norm", "ce-r34", "tau-norm", {100: (53.01, 74.74, 47.31, 34.30)}),
            Row("LA, post-hoc", "ce-r34", "logit-adjust", {100: (52.45, 75.57, 47.71, 31.00)}),
            Row("LOS", "ce-r34", "los", _if(54.9, 58.8, 69.7)),
        ],
        {"ce-r34": "--model cifar_resnet34 --recipe ce --epochs 200"},
        [
            "the paper's row of re-sampling is that of Vanilla FC to every digit, likely a copying error",
            "rates, decay and τ of the compared methods were searched by the authors and are not published; "
            "here each has its own published values, and τ is chosen on a cut of the training samples",
            "CB and MaxNorm are weight balancing's stage 2 without and with its bound, idle at that decay",
        ],
    ),
    "los-backbones": Table(
        "LOS, Table 4: heads on backbones of four losses, CIFAR-100-LT",
        [
            *_heads("CE", "ce-cao", 41.59, 41.67, 44.18, 43.87, 45.03, 45.01, 45.18),
            *_heads("CE-DRW", "ce-drw", 42.38, 42.38, 42.55, 42.41, 44.27, 44.39, 44.88),
            *_heads("LDAM-DRW", "ldam-drw", 44.43, 44.45, 44.58, 44.47, 45.34, 45.52, 45.86),
            *_heads("BS", "balanced-softmax", 45.90, 45.91, 46.04, 45.90, 46.81, 46.76, 47.08),
        ],
        {
            "ce-cao": f"--recipe ce --weight-decay 2e-4 {CAO}",
            "ce-drw": f"--recipe ce-drw --weight-decay 2e-4 {CAO}",
            "ldam-drw": "--model cifar_resnet32 --recipe ldam-drw --epochs 200",
            "balanced-softmax": f"--recipe balanced-softmax --weight-decay 2e-4 {CAO}",
        },
        ["network, rate and decay of the paper's backbones are not in our sources; here Cao et al.'s"],
    ),
    "ewb": Table(
        "EWB-FDR, as LOS cites it: one stage with ETF directions, then multiplicative logit adjustment",
        [
            Row("stage 1", "etf-fr", None),
            Row("EWB-FDR", "etf-fr", "mult-la:tau=0.65", _if(53.0)),
        ],
        {"etf-fr": "--model cifar_resnet34 --recipe etf-fr --epochs 320"},
        ["the paper holds 20 images a class out of training (10,457 images remain)"],
    ),
    "mislas": Table(
        "MiSLAS: CIFAR-100-LT, ResNet-32, mixup in stage 1",
        [
            Row("stage 1", "mixup", None, _if(39.5, 45.4, 59.1)),
            Row("cRT", "mixup", "crt"),
            Row("LWS", "mixup", "lws"),
            Row("MiSLAS", "mixup", MISLAS, _if(47.0, 52.3, 63.2)),
        ],
        {"mixup": "--model cifar_resnet32 --recipe mixup --epochs 200"},
        ["MiSLAS lets batch norm's statistics move in stage 2 for CIFAR-100 (its `shift_bn`)"],
    ),
    "decoupling": Table(
        "Decoupling: ImageNet-LT, ResNeXt-50, 90 epochs",
        [
            Row("joint", "ce-x50", None, {0: (44.4, 65.9, 37.5, 7.7)}),
            Row("NCM", "ce-x50", "ncm", {0: (47.3, 56.6, 45.3, 28.1)}),
            Row("cRT", "ce-x50", "crt:lr=0.2:batch_size=512", {0: (49.6, 61.8, 46.2, 27.4)}),
            Row("τ-norm", "ce-x50", "tau-norm", {0: (49.4, 59.1, 46.9, 30.7)}),
            Row("LWS", "ce-x50", "lws:lr=0.2:batch_size=512", {0: (49.9, 60.2, 47.2, 30.3)}),
        ],
        {"ce-x50": "--model resnext50_32x4d --recipe ce --preset imagenet-lt --no-pretrained"},
        ["the data are ImageNet-LT's train and test lists: --data list:train=…,test=… --root …"],
    ),
    "cpu": Table(
        "The narrow ResNet-32 of the literature on CIFAR-100-LT, an hour or two of a CPU each",
        [
            Row("CE (Cao et al. 2019)", "ce-cao", None, _if(38.3, 43.8, 55.7)),
            Row("CE + SAMN", "ce-cao", "samn"),
            Row("CE + LOS", "ce-cao", "los"),
            Row("CE + MiSLAS's stage 2", "ce-cao", MISLAS),
            Row("CE + τ-norm", "ce-cao", "tau-norm"),
            Row("CE + logit adjustment", "ce-cao", "logit-adjust"),
            Row("LDAM-DRW (Cao et al. 2019)", "ldam-drw", None, _if(42.0, 46.6, 58.7)),
            Row("LDAM-DRW + SAMN", "ldam-drw", "samn"),
            Row("LDAM-DRW + LOS", "ldam-drw", "los"),
            Row("LDAM-DRW + τ-norm", "ldam-drw", "tau-norm"),
            Row("Logit-adjusted loss (Menon et al. 2021)", "logit-adjusted", None, _if(43.9)),
            Row("Logit-adjusted + SAMN", "logit-adjusted", "samn"),
            Row("Logit-adjusted + LOS", "logit-adjusted", "los"),
            Row("mixup (Zhong et al. 2021)", "mixup", None, _if(39.5, 45.4, 59.1)),
            Row("mixup + cRT", "mixup", "crt"),
            Row("mixup + LWS", "mixup", "lws"),
            Row("mixup + MiSLAS", "mixup", MISLAS, _if(47.0, 52.3, 63.2)),
            Row("mixup + SAMN", "mixup", "samn"),
            Row("mixup + LOS", "mixup", "los"),
            Row("mixup + τ-norm", "mixup", "tau-norm"),
            Row("mixup + logit adjustment", "mixup", "logit-adjust"),
        ],
        {
            "ce-cao": f"--recipe ce --weight-decay 2e-4 {CAO}",
            "ldam-drw": "--model cifar_resnet32 --recipe ldam-drw --epochs 200",
            "logit-adjusted": f"--recipe logit-adjusted --weight-decay 1e-4 {CAO}",
            "mixup": "--model cifar_resnet32 --recipe mixup --epochs 200",
        },
    ),
}


def main() -> int:
    """Make and print a table; 1 where a cell that is published could not be made."""
    given, training = _parser().parse_known_args()
    if given.table is None:
        for name, table in TABLES.items():
            factors = ", ".join(map(str, table.factors))
            print(f"{name:14s} {table.title}{f'; imbalance factors {factors}' if any(table.factors) else ''}")
        return 0
    if given.quick and training:
        sys.exit(f"reproduce: --quick trains no backbone, so it takes no {' '.join(training)}")
    table = TABLES[given.table]
    began = time.perf_counter()
    factor = table.factors[0] if given.factor is None else given.factor
    if factor not in table.factors:
        sys.exit(f"{given.table} has no imbalance factor {factor}: {', '.join(map(str, table.factors))}")
    try:
        maker = _Quick(given) if given.quick else _Images(given, training, table, factor)
        if given.quick:  # there is but one backbone
            first = next(iter(table.runs))
            table = dataclasses.replace(
                table,
                rows=[row for row in table.rows if row.run == first],
                runs={first: table.runs[first]},
            )
        found = {name: maker.rows(name, _methods(table, name, factor)) for name in table.runs}
    except LtfixError as err:
        other = "name another folder by --out OTHER" if "folder=" in (err.hint or "") else err.hint
        sys.exit(f"reproduce: {LtfixError(err.what, where=err.where, hint=other)}")
    report = list(_lines(table, factor, found))
    print("\n".join([f"**{table.title}**, imbalance factor {factor or 'of the data'}", "", *report, ""]))
    for line in (*maker.notes, *ALWAYS, *table.differs):
        print(f"- {line}")
    print(
        f"- made by ltfix {ltfix.__version__} in {time.perf_counter() - began:.0f} s, "
        "without what was there already"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    record = {"table": given.table, "factor": factor, "quick": given.quick, "rows": found}
    (given.out / f"{given.table}-{'quick' if given.quick else factor}.json").write_text(
        json.dumps(record, indent=1)
    )
    missing = [row for row in table.rows if row.published.get(factor) and _ours(row, factor, found) is None]
    return int(bool(missing) and not given.quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("table", nargs="?", choices=TABLES)
    add("--quick", action="store_true", help="only stage 2, on --features in place of the paper's backbone")
    add("--features", nargs=2, type=Path, default=FEATURES, metavar=("TRAIN", "TEST"), help="of --quick")
    add("--data", default="cifar100_lt", help="images, as ltfix takes them")
    add("--factor", type=int, help="imbalance factor  [default: the table's first]")
    add("--runs", type=Path, help="where the run folders are  [default: OUT/runs]")
    add("--no-train", action="store_true", help="take finished runs alone")
    add("--seeds", type=int, help="of stage 2  [default: 3; with --quick 1]")
    add("--device", default="auto")
    add("--out", type=Path, default=Path("reproduced"), help="features, heads and the table as JSON")
    return parser


def _methods(table: Table, run: str, factor: int) -> list[str | None]:
    return [row.spec(factor) for row in table.rows if row.run == run]


class _Quick:
    """Stage 2 alone, on one pair of caches."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.caches, self.given, self.done = given.features, given, {}
        for path in self.caches:
            if not path.exists():
                hint = "name yours by --features TRAIN TEST (docs/reproducing.md says how they are made)"
                raise InputError("no such features", where=path, hint=hint)
        self.notes = [
            f"stage 2 alone, on {given.features[0].name}: another backbone than the paper's, so compare what "
            "each row has above stage 1, not the accuracies; rows of other backbones are left out"
        ]
        views = ltfix.open_cache(given.features[0]).features.shape[1]
        self.notes.append(VIEWS.format(views, "s" * (views > 1)))

    def rows(self, run: str, methods: Sequence[str | None]) -> dict[str, Any]:
        """By method what `compare` found; "" is stage 1."""
        new = [method for method in methods if method not in self.done]
        self.done |= compare(
            self.caches, new, self.given.seeds or 1, self.given.out / "heads-quick", self.notes
        )
        return {method or "": self.done[method or ""] for method in methods}


class _Images:
    """Everything from images."""

    def __init__(self, given: argparse.Namespace, training: Sequence[str], table: Table, factor: int) -> None:
        self.given, self.training, self.table, self.factor = given, training, table, factor
        self.runs: Path = given.runs or given.out / "runs"
        self.cut = _cut(given.data, factor)
        self.suffix = f"-if{factor}" if factor not in (0, 100) else ""
        self.notes: list[str] = [VIEWS.format(2, "s")]
        self.notes += [DRAWN] if given.table == "samn" and given.data == "cifar100_lt" else []

    def rows(self, run: str, methods: Sequence[str | None]) -> dict[str, Any]:
        """By method what `compare` found; nothing where the run is not there."""
        name = f"{run}{self.suffix}"
        folder = self.runs / name
        argv = [
            "train-backbone",
            "--data",
            self.given.data,
            *shlex.split(at(self.table.runs[run], self.factor)),
            *self.cut,
        ]
        argv += [*self.training, "--device", self.given.device, "--out", str(folder)]
        state = _state(folder)
        if state != "finished":
            if self.given.no_train:
                self.notes.append(f"{name} is {state}: `{shlex.join(['ltfix', *argv])}`")
                return {}
            _ltfix(*argv)
        seconds = [line["seconds"] for line in _metrics(folder)]
        self.notes.append(f"{name}: {len(seconds)} epochs in {sum(seconds) / 60:.0f} minutes")
        features = self.given.out / "features" / name
        splits = ("--split", "train", "--split", "test", "--views", "center,hflip", *self.cut)
        places = ("--backbone", str(folder), "--out", str(features), "--device", self.given.device)
        _ltfix("extract", "--data", self.given.data, *splits, *places)
        caches = features / "train", features / "test"
        heads = self.given.out / f"heads-{name}"
        return compare(caches, methods, self.given.seeds or 3, heads, self.notes)


def _cut(data: str, factor: int) -> tuple[str, ...]:
    """What cuts the data to an imbalance factor; nothing where they come so.

    Raises:
        InputError: they are cut already, to another.
    """
    if not factor:
        return ()
    train = open_source(data, split=("train",)).split("train")
    counts = np.bincount(train.labels)
    has = counts.max() / counts[counts > 0].min()
    if has < 1.5:
        return ("--imbalance-factor", str(factor))
    if not 0.8 < has / factor < 1.25:
        hint = "give the whole CIFAR-100, which is cut then"
        raise InputError(
            f"the data are cut to an imbalance factor of {has:.0f}, not {factor}", where=data, hint=hint
        )
    return ()


def _state(folder: Path) -> str:
    """Of a run: finished, missing, or how far it is."""
    if not (folder / RUN_FILE).exists():
        return "missing"
    run = read_run(folder)
    if run.finished:
        return "finished"
    epochs = run.content.get("values", {}).get("epochs", "?")
    return f"unfinished, after epoch {len(_metrics(folder))} of {epochs}"


def _metrics(folder: Path) -> list[dict[str, Any]]:
    """What a run says of each epoch."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _ltfix(*argv: str) -> None:
    print(f"$ {shlex.join(['ltfix', *argv])}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "ltfix", *argv], check=False, stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)


def compare(
    caches: Sequence[Path], methods: Sequence[str | None], seeds: int, heads: Path, notes: list[str]
) -> dict[str, Any]:
    """By method the row of `ltfix compare`, None where it cannot run here; "" is stage 1."""
    specs = [method for method in methods if method is not None]
    names = {entry.name: spec for spec in specs for entry in entries([spec], {}, tune=False)}
    found = ltfix.compare(*caches, specs, seeds=seeds, folder=heads, progress=True)
    notes += [f"{names[name]} cannot run on {caches[0]}: {why}" for name, why in found.left_out.items()]
    rows: dict[str, Any] = dict.fromkeys(specs)
    return rows | {
        names.get(row["name"], ""): {key: row[key] for key in (*SHOTS, "seeds")} for row in found.rows
    }


def _ours(row: Row, factor: int, found: Mapping[str, Any]) -> dict[str, Any] | None:
    return found[row.run].get(row.spec(factor) or "")


def _lines(table: Table, factor: int, found: Mapping[str, Any]) -> Iterator[str]:
    """The table as markdown: each score, ours and published, and All above stage 1 of the same backbone."""
    titles = [f"{shot.capitalize()} | published" for shot in SHOTS]
    yield f"| row | {' | '.join(titles)} | above stage 1 | published |"
    yield "|---" + "|---:" * 10 + "|"
    begin = {row.run: row for row in table.rows if row.method is None}
    for row in table.rows:
        ours, published = _ours(row, factor, found), row.published.get(factor, ())
        cells = [c for i, shot in enumerate(SHOTS) for c in (_said(ours, shot), _number(published, i))]
        first = begin[row.run]
        start, theirs = _ours(first, factor, found), first.published.get(factor, ())
        gains = ["–", "–"]
        if row is not first and ours and start:
            gains[0] = f"{100 * (ours['all']['mean'] - start['all']['mean']):+.1f}"
        if row is not first and published and theirs:
            gains[1] = f"{published[0] - theirs[0]:+.1f}"
        yield f"| {row.name} | {' | '.join([*cells, *gains])} |"


def _said(row: Mapping[str, Any] | None, shot: str) -> str:
    if row is None or row[shot] is None:
        return "–"
    mean, std = row[shot]["mean"], row[shot]["std"]
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def _number(published: Published, index: int) -> str:
    value = published[index] if index < len(published) else None
    return "–" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
