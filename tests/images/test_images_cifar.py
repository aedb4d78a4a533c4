"""ltfix.images.cifar: made files in the official format; the published counts of CIFAR-LT."""

from __future__ import annotations

import hashlib
import pickle
import types
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from ltfix.errors import InputError
from ltfix.extraction.opening import training_splits
from ltfix.extraction.request import ImageRequest
from ltfix.images import cifar
from ltfix.images.longtail import cut_long_tail
from ltfix.images.source import open_source

SHAPES = {"cifar10": (10, 5, 1), "cifar100": (100, 1, 2)}  # classes, training files, label bytes


def make(folder: Path, kind: str, a_class: int) -> tuple[Path, np.ndarray, np.ndarray]:
    """The binary version with so many training pictures a class and ten for test; its labels and pixels."""
    classes, batches, label_bytes = SHAPES[kind]
    (_, train, test, meta, _), _ = cifar._FORMS[kind]
    draw = np.random.default_rng(0)
    labels = draw.permutation(np.repeat(np.arange(classes, dtype=np.uint8), a_class))
    records = np.zeros((len(labels), label_bytes + cifar.BYTES), np.uint8)
    records[:, label_bytes - 1] = labels
    records[:, label_bytes + 5 :: 1000] = draw.integers(0, 256, (len(labels), 4))[
        :, : records[:, label_bytes + 5 :: 1000].shape[1]
    ]
    folder.mkdir()
    for name, part in zip(train, np.array_split(records, batches), strict=True):
        part.tofile(folder / name)
    records[:10].tofile(folder / test[0])
    (folder / meta).write_text("".join(f"class {k:02}\n" for k in range(classes)) + "\n")
    return folder, labels, records[:, label_bytes:]


@pytest.mark.parametrize("kind", SHAPES)
def test_the_binary_version(tmp_path: Path, kind: str):
    folder, labels, pixels = make(tmp_path / cifar._FORMS[kind][0][0], kind, 10)
    for place in (folder, tmp_path):
        source = open_source(f"{kind}:{place}")
        assert (source.splits(), source.kind, source.root) == (("train", "test"), kind, folder.name)
    split = source.split("train")
    assert split.classes[:2] == ("class 00", "class 01")
    np.testing.assert_array_equal(split.labels, labels)
    for row in (0, 7, len(labels) - 1):
        expected = pixels[row].reshape(3, 32, 32).transpose(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(split.open(row)), expected)
    assert len(source.split("test", split.classes)) == 10
    assert split.samples[7] == "00007"


@pytest.mark.parametrize(
    ("kind", "a_class", "totals"),
    [("cifar100", 500, (10847, 12608, 19573)), ("cifar10", 5000, (12406, 13996, 20431))],
)
def test_the_published_counts(tmp_path: Path, kind: str, a_class: int, totals: tuple[int, ...]):
    folder, labels, _ = make(tmp_path / "x", kind, a_class)
    source = open_source(f"{kind}:{folder}")
    whole, half = source.split("train"), len(labels) // 2
    for factor, total in zip((100, 50, 10), totals, strict=True):
        for order in ("shuffle", "first"):
            for form, n in (("exp", total), ("step", half + half // factor)):
                kept, left = cut_long_tail(whole, factor, order=order, kind=form)
                assert (len(kept), len(left)) == (n, 0)
    first = ImageRequest(data="x", imbalance_factor=10, imbalance_order="first")
    (split,) = training_splits(source, "train", source.classes("train"), first).values()
    last = int(labels.max())
    n = a_class // 10
    assert [int(name) for name in np.array(split.samples)[split.labels == last]] == np.flatnonzero(
        labels == last
    )[:n].tolist()


def test_the_sums_are_the_official_ones():
    """As torchvision has them."""
    official = {
        f"{data.base_folder}/{name}": md5
        for data in (CIFAR10, CIFAR100)
        for name, md5 in [*data.train_list, *data.test_list, (data.meta["filename"], data.meta["md5"])]
    }
    assert official == cifar.MD5


def write_pickles(folder: Path, monkeypatch: pytest.MonkeyPatch, data: object) -> Path:
    """CIFAR-100's Python version; the sums of its files stand in for the official ones."""
    batch = {"data": data, "fine_labels": [2, 0, 1], "coarse_labels": [0, 0, 0]}
    contents = {"train": batch, "test": batch, "meta": {"fine_label_names": ["a", "b", "c"]}}
    folder.mkdir()
    for name, content in contents.items():
        raw = pickle.dumps(content, protocol=4)
        (folder / name).write_bytes(raw)
        monkeypatch.setitem(cifar.MD5, f"cifar-100-python/{name}", hashlib.md5(raw).hexdigest())
    return folder


def test_the_python_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072)).astype(np.uint8)
    folder = write_pickles(tmp_path / "cifar-100-python", monkeypatch, pixels)
    split = open_source(f"cifar100:{tmp_path}").split("train")
    assert (split.classes, split.labels.tolist()) == (("a", "b", "c"), [2, 0, 1])
    np.testing.assert_array_equal(split.open(1), pixels[1].reshape(3, 32, 32).transpose(1, 2, 0))
    raw = (folder / "train").read_bytes()
    (folder / "train").write_bytes(raw[:-1] + b"x")
    with pytest.raises(InputError, match=r"its MD5 is not that of CIFAR's own file \(.*train\)"):
        open_source(f"cifar100:{folder}").split("train")


@pytest.mark.parametrize("hostile", [print, types.SimpleNamespace(a=1), np.random.default_rng(0), Path("x")])
def test_nothing_but_arrays_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: object):
    folder = write_pickles(tmp_path / "cifar-100-python", monkeypatch, hostile)
    with pytest.raises(InputError, match=r"is no array \(.*train\)"):
        open_source(f"cifar100:{folder}").split("train")


def test_wrong_folders(tmp_path: Path):
    with pytest.raises(InputError, match="it holds no cifar-10-batches-bin or cifar-10-batches-py"):
        open_source(f"cifar10:{tmp_path}")
    folder, _, _ = make(tmp_path / "x", "cifar10", 10)
    (folder / "data_batch_3.bin").write_bytes((folder / "data_batch_3.bin").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"cut off.*data_batch_3\.bin"):
        open_source(f"cifar10:{folder}").split("train")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(InputError, match=r"no such file.*data_batch_3\.bin"):
        open_source(f"cifar10:{folder}").split("train")
