"""Pictures whose labels are not known or not looked at: of a folder at any depth, a list, any source."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.images.columns import parse
from ltfix.images.listing import keep_inside
from ltfix.images.parts import base_of, open_parts
from ltfix.images.pictures import below
from ltfix.images.places import name_of, open_text
from ltfix.images.source import kind_of, no_such_split, open_source
from ltfix.images.split import Split, check_name
from ltfix.images.tree import IMAGES, left_out, walk

NAME = "unlabelled"  # of the split, where none is asked for


def open_unlabelled(
    spec: str | Path,
    *,
    root: str | Path | None = None,
    split: Sequence[str] = (),
    columns: str | None = None,
) -> Split:
    """The pictures of one split, without labels and without classes.

    Args:
        spec: a picture; a folder, whose pictures are taken at any depth; ``list:FILE``, a path a line, where
            a label may follow (``list:-`` is standard input); or another source, labels not looked
            at (a table needs none).
        root, columns: as :func:`ltfix.images.source.open_source` has them.
        split: which, where there are several; of a folder, the folder of that name in it, if there is one.

    Raises:
        UsageError: several splits. InputError: no pictures.
    """
    kind, rest = kind_of(str(spec))
    if len(split) > 1:
        raise UsageError(
            "pictures without labels are one split", where="split", hint="extract one after another"
        )
    if kind == "folder":
        return _folder(Path(rest), *split)
    if kind == "list":
        lists = open_parts(kind, rest, split or (NAME,))
        name = _one(tuple(lists), split, spec)
        return _lists(lists[name], None if root is None else str(root), name)
    table = kind in ("csv", "tsv", "jsonl", "parquet")
    if table:
        columns = ",".join(f"{meaning}={name}" for meaning, name in {**parse(columns), "label": ""}.items())
    source = open_source(spec, root=root, split=split, columns=columns)
    name = _one(source.splits(), split, spec)
    found = source.split(name, ("0",) if table else source.classes(name))
    return dataclasses.replace(found, labels=np.zeros(len(found), np.int64), classes=(), notes=())


def _one(known: Sequence[str], split: Sequence[str], where: object) -> str:
    """The split that was asked for, or the only one."""
    if not split and len(known) > 1:
        hint = f"split={known[-1]} takes one"
        raise UsageError(f"it has the splits {', '.join(known)}", where=where, hint=hint)
    name = split[0] if split else known[0]
    if name not in known:
        raise no_such_split(name, known, where)
    return name


def _folder(path: Path, name: str = NAME) -> Split:
    if path.suffix.lower() in IMAGES and path.is_file():  # one picture, named by itself
        return _split(name, [path.name], os.fspath(path.parent), "folder", name_of(os.fspath(path.parent)))
    with files.os_errors(path):
        if not path.is_dir():
            if not path.exists() and re.search("[,*?]", str(path)):
                hint = "several are a folder, list:FILE, or paths on standard input, which data=- reads"
                raise InputError("no such file or folder", where=path, hint=hint)
            path.stat()
            raise InputError("not a folder", where=path, hint="list:FILE reads a list of paths")
    inside = path / name if (path / name).is_dir() else path
    others = collections.Counter[str]()
    with files.os_errors(inside):
        found = walk(os.fspath(inside), ".", others)
    samples = sorted(
        f"{folder}/{name}".removeprefix("./") for folder, (names, _) in found.items() for name in names
    )
    for sample in samples:
        check_name(sample, inside)
    split = _split(name, samples, os.fspath(inside), "folder", name_of(os.fspath(path)))
    return dataclasses.replace(split, notes=left_out(inside.name or os.fspath(inside), others))


def _lists(paths: list[str], root: str | None, name: str) -> Split:
    base = base_of(paths[0], root)
    samples = [picture for path in paths for picture in read_paths(path)]
    keep_inside(samples, base, root is not None, lambda row: f"{paths[0]}, picture {row + 1}")
    return _split(name, samples, base, "list", name_of(root or paths[0]))


def read_paths(file: str) -> Iterator[str]:
    """The path of each line of a list, as it is read; blank lines are skipped.

    A label may follow: behind a tab, or behind blanks where the line does not end as a picture does.
    """
    with open_text(file) as text:
        for number, line in enumerate(text, 1):
            row = line.strip("\ufeff \t\r\n")
            if row:
                check_name(row, f"{file}, line {number}")
                yield row if row.lower().endswith(IMAGES) else _without_label(row)


def _without_label(row: str) -> str:
    path, tab, _ = row.rpartition("\t")
    words = row.rsplit(None, 1)
    if tab:
        return path.strip()
    return words[0] if words[0].lower().endswith(IMAGES) else row


def _split(name: str, samples: list[str], base: str, kind: str, root: str) -> Split:
    if not samples:
        raise InputError("no pictures", where=base, hint=f"they end in {', '.join(IMAGES)}")
    pictures, sizes, stamps = below(base, samples)
    labels = np.zeros(len(samples), np.int64)
    return Split(name, samples, labels, (), sizes, pictures, kind, root, stamps)
