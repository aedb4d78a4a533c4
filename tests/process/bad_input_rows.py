"""The rows of the table of bad input: what is wrong, the command, exit code, the line that says so."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from caches import make_head, write_bare

from ltfix import files

Change = Callable[[Path], object]


class Row(NamedTuple):
    """One bad input: what is done to a good project, the command, what is to come of it."""

    name: str
    argv: str
    code: int
    line: str
    change: Change = lambda folder: None
    real: bool = True


def edit_manifest(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "features" / "train" / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def bare(**tensors: Any) -> Change:
    return lambda folder: write_bare(folder / "bare.safetensors", **tensors)


def cut(path: str, size: int = 100) -> Change:
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:size])


def write(path: str, text: str) -> Change:
    return lambda folder: (folder / path).write_text(text)


def feature(value: float) -> np.ndarray:
    features = np.ones((6, 1, 4), np.float32)
    features[4, 0, 2] = value
    return features


IMAGE = "photos/train/cat/0.png"


def drop(path: str) -> Change:
    def change(folder: Path) -> None:
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def put_head(**changes: Any) -> Change:
    return lambda folder: make_head(method="ce", **changes).save(folder / "heads" / "good.safetensors")


def enormous(folder: Path) -> None:
    """A few kilobytes that claim 60,000 × 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")
    ]
    (folder / IMAGE).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def empty_class(folder: Path) -> None:
    for split in ("train", "test"):
        (folder / "photos" / split / "eel").mkdir()


def one_class(folder: Path) -> None:
    for split in ("train", "test"):
        for name in ("dog", "owl"):
            shutil.rmtree(folder / "photos" / split / name)


def unknown_class(folder: Path) -> None:
    shutil.copytree(folder / "photos" / "test" / "cat", folder / "photos" / "test" / "ape")


def foreign_checkpoint(folder: Path) -> None:
    files.write_safetensors(folder / "other.safetensors", {"layers.0.w": np.ones((2, 2), np.float32)})


EVALUATE = "evaluate heads/good.safetensors --cache features/train"
BARE = "evaluate heads/good.safetensors --cache bare.safetensors"
EXTRACT = "extract --backbone cifar_resnet32 --no-pretrained --device cpu --out new --data"
WEIGHTS = EXTRACT.replace(" --no-pretrained", "")
GOOD_HEAD = "heads/good.safetensors"
FIRST_SHARD = "features/train/shard-00000.safetensors"
MANIFEST = "features/train/manifest.json"
K3 = {"head__weight": np.ones((3, 4), np.float32), "head__bias": np.zeros(3, np.float32)}

COMMAND_LINE = [
    Row("unknown command", "evalute", 2, r"no such command: evalute: did you mean evaluate"),
    Row("unknown option", "evaluate --raport x", 2, r"--raport \(ltfix evaluate\): did you mean --report"),
    Row("wrong type", "evaluate --many lots", 2, r"'--many'.*\(ltfix evaluate\)"),
    Row(
        "unknown config key",
        "methods",
        2,
        r"unknown key 'formt' \(ltfix\.toml, \[methods\]\): did you mean format\?",
        write("ltfix.toml", "[methods]\nformt = 'json'\n"),
    ),
    Row(
        "unknown config table",
        "methods",
        2,
        r"unknown table 'method' \(ltfix\.toml\): did you mean methods",
        write("ltfix.toml", "[method]\nformat = 'json'\n"),
    ),
    Row(
        "config value of a wrong type",
        "evaluate",
        2,
        r'expected a whole number, found "all" \(ltfix\.toml, \[evaluate\] many\)',
        write("ltfix.toml", "[evaluate]\nmany = 'all'\n"),
    ),
    Row("config file missing", "--config no.toml methods", 3, r"no such configuration file \(no\.toml\)"),
    Row(
        "config file broken", "methods", 3, r"not a TOML file: .* \(ltfix\.toml\)", write("ltfix.toml", "[x")
    ),
    Row(
        "output exists: init", "init", 2, r"\(ltfix\.toml\): --overwrite replaces it", write("ltfix.toml", "")
    ),
    Row(
        "output exists: report", f"{EVALUATE} --output o.csv", 2, r"o\.csv.*--overwrite", write("o.csv", "a")
    ),
]

METHODS = [
    Row("unknown method", "methods sanm", 2, r"unknown method 'sanm'.*did you mean samn"),
    Row("unknown method to fit", "fit --method sanm", 2, r"unknown method 'sanm'.*did you mean samn"),
    Row("unknown --set key", "fit --set variat=paper", 2, r"variat.*did you mean variant", real=False),
    Row("--set without a value", "fit --set variant", 2, r"--set takes KEY=VALUE"),
    Row("--set of a wrong word", "fit --set variant=codex", 2, r"codex.*code", real=False),
    Row("option not used", "fit --method tau-norm --lr 1", 2, r"tau-norm has no use for it \(--lr\)"),
    Row("a head to stdout", "fit --method ce --out -", 2, r"a file, not to stdout \(--out -\)", real=False),
    Row(
        "a head below a file",
        "fit --method ce --out o.csv/head.safetensors",
        3,
        r"not a folder \(o\.csv\)",
        write("o.csv", "a"),
        real=False,
    ),
    Row("a rate that diverges", "fit --method ce --lr 1e38 --epochs 3", 3, r"epoch", real=False),
    Row("no such device", "fit --device cuda:99", 4, r"cuda:99", real=False),
    Row(
        "output exists: head",
        f"fit --method ce --out {GOOD_HEAD}",
        2,
        r"good\.safetensors.*--overwrite",
        real=False,
    ),
]

CACHES = [
    Row(
        "no training features",
        "fit",
        3,
        r"\(features/train\): `ltfix extract` writes them.*ltfix fit CACHE",
        drop("features"),
        real=False,
    ),
    Row("no test features", "evaluate", 3, r"no test features \(features/test\)", drop("features")),
    Row("no such cache", "evaluate --cache nowhere", 3, r"nowhere"),
    Row("manifest missing", EVALUATE, 3, r"whose manifest\.json is gone \(features/train\)", drop(MANIFEST)),
    Row("manifest is no JSON", EVALUATE, 3, r"manifest\.json", write(MANIFEST, "{")),
    Row("manifest disagrees with a shard", EVALUATE, 3, r"shard-00000", edit_manifest(dim=5)),
    Row("manifest of a newer format", EVALUATE, 3, r"features/2", edit_manifest(format="ltfix-features/2")),
    Row("shard truncated", EVALUATE, 3, r"shard-00000", cut(FIRST_SHARD, 300)),
    Row("shard missing", EVALUATE, 3, r"shard-00000", drop(FIRST_SHARD)),
    Row("NaN feature", BARE, 3, r"row 4", bare(features=feature(np.nan))),
    Row("infinite feature", BARE, 3, r"row 4", bare(features=feature(np.inf))),
    Row(
        "NaN feature to fit", "fit bare.safetensors", 3, r"row 4", bare(features=feature(np.nan)), real=False
    ),
    Row("negative label", BARE, 3, r"-1", bare(labels=np.array([0, 1, 2, 0, -1, 2]))),
    Row("label not below K", BARE, 3, r"3", bare(labels=np.array([0, 1, 2, 0, 3, 2]), **K3)),
    Row("one class only", "fit bare.safetensors", 3, r"class", bare(labels=np.zeros(6, int)), real=False),
    Row("labels of another length", BARE, 3, r"bare\.safetensors", bare(labels=np.arange(5) % 3)),
    Row("no labels", BARE, 3, r"labels", bare(labels=None)),
    Row("not a cache at all", "evaluate --cache x.txt", 3, r"x\.txt", write("x.txt", "hello")),
    Row("nothing to inspect", "inspect nowhere", 3, r"nowhere"),
]

HEADS = [
    Row("no such head", "evaluate heads/none.safetensors", 3, r"heads/none\.safetensors"),
    Row("head truncated", EVALUATE, 3, r"heads/good\.safetensors", cut(GOOD_HEAD, 60)),
    Row("head of another D", EVALUATE, 3, r"good\.safetensors", put_head(dim=5)),
    Row("head of fewer classes than the cache", EVALUATE, 3, r"good\.safetensors", put_head(n_classes=2)),
    Row("unknown report", f"{EVALUATE} --report per-clas", 2, r"per-clas.*did you mean per-class"),
    Row("gate with an unknown shot", f"{EVALUATE} --fail-under fwe=20", 2, r"fwe.*did you mean few"),
    Row("gate as a fraction", f"{EVALUATE} --fail-under all=0.4", 2, r"percent"),
    Row("gate on an empty shot", f"{EVALUATE} --fail-under many=20", 3, r"many"),
    Row("gate missed", f"evaluate {GOOD_HEAD} --fail-under all=99.9", 1, r"all"),
]

EXPORT = "export heads/good.safetensors"
ALONE = f"{EXPORT} --features --to torch-export --out x.pt2"


EXPORTS = [
    Row("no head to export", "export", 2, r"no HEAD given", real=False),
    Row("unknown format", f"{EXPORT} --to tensorflow", 2, r"--to.*it may be timm", real=False),
    Row("no body", EXPORT, 2, r"of which backbone.*--backbone", edit_manifest(backbone={}), real=False),
    Row("a model of a head alone", f"{EXPORT} --features", 2, r"timm takes a whole model", real=False),
    Row("a body for a head alone", f"{ALONE} --data photos", 2, r"--data", real=False),
    Row("export exists", ALONE, 2, r"x\.pt2.*--overwrite", write("x.pt2", ""), real=False),
    Row("a name of another format", f"{EXPORT} --to onnx --out x.pt2", 2, r"name it x\.onnx", real=False),
]

IMAGES = [
    Row("no backbone said", "extract --data photos", 2, r"--backbone is needed"),
    Row("no images said", "extract --backbone resnet18", 2, r"--data is needed"),
    Row("no images said to train on", "train-backbone", 2, r"--data is needed"),
    Row("no such folder", f"{EXTRACT} nowhere", 3, r"nowhere", real=False),
    Row(
        "unknown model",
        "extract --data photos --backbone resnet5O",
        2,
        r"resnet5O.*did you mean .*resnet50",
        real=False,
    ),
    Row(
        "checkpoint of another architecture",
        f"{WEIGHTS} photos --checkpoint other.safetensors",
        3,
        r"other\.safetensors.*layers\.0\.w|layers\.0\.w.*other\.safetensors",
        foreign_checkpoint,
        real=False,
    ),
    Row("no such checkpoint", f"{WEIGHTS} photos --checkpoint no.pth", 3, r"no\.pth", real=False),
    Row("corrupt image", f"{EXTRACT} photos", 3, r"cat/0\.png", write(IMAGE, "not an image"), real=False),
    Row("truncated image", f"{EXTRACT} photos", 3, r"cat/0\.png", cut(IMAGE, 900), real=False),
    Row("enormous image", f"{EXTRACT} photos", 3, r"cat/0\.png", enormous, real=False),
    Row("empty class folder", f"{EXTRACT} photos", 3, r"eel", empty_class, real=False),
    Row("one class only to extract", f"{EXTRACT} photos", 3, r"one class|class", one_class, real=False),
    Row("class unknown to train", f"{EXTRACT} photos", 3, r"ape", unknown_class, real=False),
    Row(
        "a list without labels", f"{EXTRACT} list:l.txt", 3, r"l\.txt", write("l.txt", "a.png\n"), real=False
    ),
    Row(
        "a list of no file",
        f"{EXTRACT} list:l.txt",
        3,
        r"a\.png",
        write("l.txt", "a.png 0\nb.png 1\n"),
        real=False,
    ),
    Row("unknown views", f"{EXTRACT} photos --views top", 2, r"top", real=False),
    Row("wrong mean", f"{EXTRACT} photos --mean 0.5,x,0.5", 2, r"0\.5,x,0\.5 ?.*--mean"),
    Row(
        "output exists: cache",
        f"{EXTRACT.replace('--out new', '')} photos",
        2,
        r"features/(train|test).*--overwrite",
        real=False,
    ),
]
ROWS = [*COMMAND_LINE, *METHODS, *CACHES, *HEADS, *EXPORTS, *IMAGES]
