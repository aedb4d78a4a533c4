"""One split of a data set: where its images are, what they are labelled, how one is opened."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltfix import files
from ltfix.errors import InputError, nearest

if TYPE_CHECKING:
    from PIL.Image import Image

ABSENT = -1  # the size of an image file that is not there
OTHER_FORM = "the same name is there in another Unicode form (NFC or NFD): give both in one"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The samples of one split in order.

    Attributes:
        name: "train", "val", "test", …
        samples: N source-relative names.
        labels: [N] int64 in 0..K-1.
        classes: K names in index order.
        sizes: N bytes of each image file, ``ABSENT`` where a listed one is missing.
        read: a sample's name to its image, RGB. Picklable; raises InputError naming the file.
        kind: the source's kind ("folder", "list").
        root: the name of the source's root, no path.
        stamps: [N] int64, another number when an image file was replaced (a resumed run looks at them);
            None where the source does not know.
        notes: what the user should know of how the split was read.
    """

    name: str
    samples: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    sizes: Sequence[int]
    read: Callable[[str], Image]
    kind: str
    root: str
    stamps: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def open(self, index: int) -> Image:
        """Image ``index``, upright RGB.

        Raises:
            InputError: it is missing, corrupt, truncated or enormous; the file is named.
        """
        return self.read(self.samples[index])

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
        rows = zip(self.samples, self.sizes, self.labels.tolist(), strict=True)
        text = "\n".join(f"{name}\t{size}\t{label}" for name, size, label in rows)
        return files.sha256_bytes(text.encode("utf-8", "surrogateescape"))

    def subset(self, index: np.ndarray) -> Split:
        """The samples ``index`` [m] in that order; the classes stay."""
        chosen = index.tolist()
        return dataclasses.replace(
            self,
            samples=[self.samples[i] for i in chosen],
            labels=self.labels[index],
            sizes=[self.sizes[i] for i in chosen],
            stamps=None if self.stamps is None else self.stamps[index],
        )

    def noted(self, note: str | None) -> Split:
        """The split with one more note, if there is one."""
        return self if note is None else dataclasses.replace(self, notes=(*self.notes, note))

    def limit(self, n: int | None) -> Split:
        """At most ``n`` samples, evenly spaced, so that sources sorted by class keep most classes."""
        if n is None or n >= len(self):
            return self
        return self.subset(np.arange(n) * len(self) // n)


def look_at(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Size of an image file, and a stamp of its times; ``ABSENT`` and 0 where nothing can be found there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a million of them
    except (OSError, ValueError):  # a broken link, a link to itself; a NUL
        return ABSENT, 0
    # of both times: a file that takes another's place may bring its time of change along
    return found.st_size, (found.st_mtime_ns * 1_000_003 + found.st_ctime_ns) % (1 << 63)


def check_classes(classes: Sequence[str], where: object) -> tuple[str, ...]:
    """The class names of a training split.

    Raises:
        InputError: fewer than two, one twice, or one with a line break.
    """
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
    """Refuse a name with a line break, as names are stored one a line, or with a NUL, which no file has.

    Raises:
        InputError: naming it.
    """
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
        hint = other_form(name, known) or nearest(name, known)
        raise InputError(f"class {name!r} is not among the {len(known)} classes", where=where, hint=hint)
    return known[name]


def other_form(name: str, known: Iterable[str]) -> str | None:
    """A hint where a name is ``known`` but for its Unicode form: é is one character, or e and an accent.

    The two look the same and are different names to most file systems.
    """
    form = unicodedata.normalize("NFC", name)
    if not any(unicodedata.normalize("NFC", other) == form for other in known):
        return None
    return OTHER_FORM
