"""``cifar10:DIR`` and ``cifar100:DIR``: CIFAR's own files, of the binary version or of the Python version."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.places import look_at, name_of, open_text

BYTES = 3072  # of a picture: 32 × 32 pixels, all of red first
# the official MD5 sums of the Python version, whose files are pickles
MD5 = {
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
}
_PYTHON = {name.rpartition("/")[2]: name.rpartition("/")[0] for name in MD5}  # the folder of each file
_TEN = [f"data_batch_{i}" for i in range(1, 6)]
# folder; files of train and of test; file of the class names; their key in it, or the label bytes of a record
_FORMS = {
    "cifar10": (
        ("cifar-10-batches-bin", [f"{name}.bin" for name in _TEN], ["test_batch.bin"], "batches.meta.txt", 1),
        ("cifar-10-batches-py", _TEN, ["test_batch"], "batches.meta", "label_names"),
    ),
    "cifar100": (
        ("cifar-100-binary", ["train.bin"], ["test.bin"], "fine_label_names.txt", 2),
        ("cifar-100-python", ["train"], ["test"], "meta", "fine_label_names"),
    ),
}


def open_cifar(kind: str, rest: str, *, root: str | None = None, split: Sequence[str] = ()) -> ListingSource:
    """Open the folder of CIFAR's files, or the one that holds it; of CIFAR-100 with its 100 fine classes.

    Raises:
        InputError: neither version is there, a file is missing, cut off, or not the official one.
    """
    for name, train, test, meta, form in _FORMS[kind]:
        for folder in (Path(rest), Path(rest, name)):
            if folder.joinpath(meta).exists() and folder.joinpath(train[0]).exists():
                read = functools.partial(_read, folder, meta, form)
                tables = {"train": functools.partial(read, train), "test": functools.partial(read, test)}
                return ListingSource(kind, name_of(str(folder)), tables)
    names = " or ".join(form[0] for form in _FORMS[kind])
    raise InputError(f"it holds no {names}", where=rest, hint="unpack the archive of CIFAR's page there")


open_cifar10 = functools.partial(open_cifar, "cifar10")
open_cifar100 = functools.partial(open_cifar, "cifar100")


def _read(folder: Path, meta: str, form: int | str, names: list[str]) -> Listing:
    paths = [folder / name for name in names]
    if isinstance(form, int):
        with open_text(str(folder / meta)) as text:
            classes = [line.strip() for line in text if line.strip()]
        batches = [_records(path, form) for path in paths]
    else:
        classes, key = _unpickle(folder / meta)[form], form.replace("label_names", "labels")
        found = [_unpickle(path) for path in paths]
        batches = [(np.array(batch[key], np.int64), batch["data"].reshape(-1, BYTES)) for batch in found]
    members = np.repeat(np.arange(len(paths)), [len(labels) for labels, _ in batches])
    labels = np.concatenate([labels for labels, _ in batches])
    if labels.max(initial=0) >= len(classes):
        raise InputError(f"label {labels.max()} of {len(classes)} classes", where=folder)
    pictures = RawPictures(list(map(str, paths)), members, np.concatenate([pixels for _, pixels in batches]))
    written = Labels((classes[label] for label in labels.tolist()), pictures.where, classes=classes)
    stamps = np.array([look_at(path)[1] for path in paths], np.int64)[members]
    samples = [f"{row:05}" for row in range(len(labels))]
    return Listing(str(paths[0]), samples, written, pictures, np.full(len(labels), BYTES), stamps)


class RawPictures:
    """Pictures of CIFAR in memory.

    Args:
        paths: the files.
        members: [N] the file of each row.
        pixels: [N, 3072] uint8, all of red, of green, of blue.
    """

    def __init__(self, paths: Sequence[str], members: np.ndarray, pixels: np.ndarray) -> None:
        self.paths, self.members, self.pixels = paths, members, pixels

    def read(self, row: int) -> bytes:
        """One picture as a PPM; see :class:`ltfix.images.pictures.Pictures`."""
        picture: bytes = self.pixels[row].reshape(3, 32, 32).transpose(1, 2, 0).tobytes()
        return b"P6 32 32 255\n" + picture

    def where(self, row: int) -> str:
        """The file and the row of the split."""
        return f"{self.paths[self.members[row]]}, row {row}"


def _records(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [N] and pixels [N, 3072] of a file of the binary version; the fine label is the last."""
    with files.os_errors(path):
        raw = np.fromfile(path, np.uint8)
    if not len(raw) or len(raw) % (label_bytes + BYTES):
        raise InputError("it is cut off: not a whole number of records", where=path, hint="copy it again")
    records = raw.reshape(-1, label_bytes + BYTES)
    return records[:, label_bytes - 1].astype(np.int64), records[:, label_bytes:]


class _Arrays(pickle.Unpickler):
    """Knows numpy's arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module.partition(".")[0] == "numpy" and name in known:
            return known[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


def _unpickle(path: Path) -> dict[str, Any]:
    """The content of an official file of the Python version."""
    with files.os_errors(path):
        raw = path.read_bytes()
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != MD5[f"{_PYTHON[path.name]}/{path.name}"]:
        hint = "only the official pickles are opened; the binary version has no such check"
        raise InputError("its MD5 is not that of CIFAR's own file", where=path, hint=hint)
    try:
        found: dict[str, Any] = _Arrays(io.BytesIO(raw), encoding="latin1").load()
    except pickle.UnpicklingError as err:
        raise InputError(str(err), where=path) from err
    return found
