"""One split of a data set: where its images are, what they are labelled, how one is opened."""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltfix.errors import InputError, nearest
from ltfix.images.decode import decode
from ltfix.images.pictures import OTHER_FORM, Pictures

if TYPE_CHECKING:
    from PIL.Image import Image

_BLOCK = 1 << 14  # rows hashed together


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The samples of one split in order.

    Attributes:
        name: "train", "val", "test", …
        samples: N source-relative names.
        labels: [N] int64 in 0..K-1.
        classes: K names in index order.
        sizes: [N] int64 bytes of each picture (or of what holds it, where the source knows no more);
            ``ABSENT`` where a listed one is missing.
        pictures: where their bytes are.
        kind: the source's kind ("folder", "list").
        root: the name of the source's root, no path.
        stamps: [N] int64, another number when a picture was replaced (a resumed run looks at them);
            None where the source does not know.
        rows: [N] int64, the row of ``pictures`` of each sample; None: they are the same.
        notes: what the user should know of how the split was read.
        kept: N JSON objects of the columns that the cache is to keep, if there are any.
    """

    name: str
    samples: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    sizes: np.ndarray
    pictures: Pictures
    kind: str
    root: str
    stamps: np.ndarray | None = None
    rows: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    kept: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def open(self, index: int) -> Image:
        """Image ``index``, upright RGB; InputError names a file that is missing, corrupt or enormous."""
        row = self.row(index)
        return decode(self.pictures.read(row), self.pictures.where(row))

    def row(self, index: int) -> int:
        """Which of ``pictures`` a sample is."""
        return index if self.rows is None else int(self.rows[index])

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def counts(self) -> np.ndarray:
        """[K] int64 samples per class."""
        return np.bincount(self.labels, minlength=self.n_classes).astype(np.int64)

    @property
    def digest(self) -> str:
        """SHA-256 over names, sizes and labels in order: not of the image bytes, and of no dates."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _BLOCK):  # a million rows as one text would take more than the rows
            block = slice(start, start + _BLOCK)
            sizes, labels = self.sizes[block].tolist(), self.labels[block].tolist()
            rows = zip(self.samples[block], sizes, labels, strict=True)
            text = "\n".join(f"{name}\t{size}\t{label}" for name, size, label in rows)
            digest.update(f"{chr(10) * (start > 0)}{text}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def subset(self, index: np.ndarray) -> Split:
        """The samples ``index`` [m] in that order; the classes stay."""
        chosen = index.tolist()
        return dataclasses.replace(
            self,
            samples=[self.samples[i] for i in chosen],
            labels=self.labels[index],
            sizes=self.sizes[index],
            rows=index if self.rows is None else self.rows[index],
            stamps=None if self.stamps is None else self.stamps[index],
            kept=None if self.kept is None else [self.kept[i] for i in chosen],
        )

    def noted(self, note: str | None) -> Split:
        """The split with one more note, if there is one."""
        return self if note is None else dataclasses.replace(self, notes=(*self.notes, note))

    def limit(self, n: int | None) -> Split:
        """At most ``n`` samples, evenly spaced, so that sources sorted by class keep most classes."""
        if n is None or n >= len(self):
            return self
        return self.subset(np.arange(n) * len(self) // n)


def check_classes(classes: Sequence[str], where: object) -> tuple[str, ...]:
    """The class names of a training split (InputError: fewer than two, one twice, one with a line break)."""
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise InputError(f"at least two classes are needed, found {found}", where=where)
    seen: dict[str, str] = {}
    for name in classes:
        form = unicodedata.normalize("NFC", name)
        if form in seen:
            forms = "" if seen[form] == name else ", in two Unicode forms (NFC and NFD)"
            raise InputError(f"class {name!r} is there twice{forms}", where=where)
        seen[form] = name
        check_name(name, where)
    return tuple(classes)


def check_name(name: str, where: object) -> None:
    """Refuse a name with a line break, since names are stored one a line, or with a NUL (InputError)."""
    for wrong, what in (("\n", "a line break"), ("\r", "a line break"), ("\0", "a NUL")):
        if wrong in name:
            raise InputError(f"the name {name!r} holds {what}", where=where, hint="rename it")


def class_index(name: str, known: dict[str, int], where: object) -> int:
    """The index of a class name.

    Raises:
        InputError: the training classes do not have it; the nearest are offered, or the same letters in
            another Unicode form.
    """
    if name not in known:
        form = unicodedata.normalize("NFC", name)  # é is one character, or e and an accent
        same = any(unicodedata.normalize("NFC", other) == form for other in known)
        near = f"classes=FILE of all names, old and new, lets new classes in; {nearest(name, known)}"
        hint = OTHER_FORM if same else near
        raise InputError(f"class {name!r} is not among the {len(known)} classes", where=where, hint=hint)
    return known[name]
