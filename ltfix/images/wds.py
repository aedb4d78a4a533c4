"""``wds:SHARDS``: webdataset's tars, read in place.

``key.cls`` or ``key.json`` beside ``key.jpg`` is its label.
"""

from __future__ import annotations

import functools
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from ltfix.errors import InputError, UsageError
from ltfix.images.archive import Member, looked
from ltfix.images.columns import Rows, find_columns, kept, parse
from ltfix.images.index import Indexes, TarRow
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.parts import open_parts
from ltfix.images.places import name_of, names_of
from ltfix.images.tar import pictures_of, walk
from ltfix.images.tree import IMAGES

_LONGEST = 1 << 20  # bytes of a label's file
_PICTURES = tuple(ending.removeprefix(".") for ending in IMAGES)


def open_wds(
    rest: str,
    *,
    root: str | None = None,
    split: Sequence[str] = (),
    columns: str | None = None,
    index: Indexes | None = None,
) -> ListingSource:
    """Open ``FILE``, ``train-{0000..1023}.tar``, or ``train=…,test=…``.

    Args:
        rest: the shards.
        root: not used.
        split: the splits asked for.
        columns: ``label=KEY`` names the key of the JSON that is the label.
        index: of what was found in shards before.

    Raises:
        UsageError: a split twice, or several asked of a bare source.
        InputError: a shard is missing or cut off, a key has no label, or two.
    """
    parts, chosen = open_parts("wds", rest, split), parse(columns)
    if kept(chosen):
        raise UsageError("of shards no columns are kept", where="columns", hint="leave keep=… out")
    first = next(iter(parts.values()))[0]
    return ListingSource(
        "wds",
        name_of(first),
        {
            name: functools.partial(_read_shards, paths, chosen, index or Indexes())
            for name, paths in parts.items()
        },
    )


def _read_shards(paths: Sequence[str], chosen: Mapping[str, str], index: Indexes) -> Listing:
    members, rows, alone, shards = list[Member](), Rows("key"), 0, names_of(paths)
    about = f"wds {chosen.get('label')}"
    for archive, path in enumerate(paths):
        rows.begin(path)
        for name, label, start, size in index.rows(path, about, functools.partial(_shard, path, chosen)):
            if size < 0:
                alone += 1
                continue
            rows.add(len(members), f"{shards[archive]}/{name}", label)
            members.append(Member(name, archive, size, (start,)))
    access = pictures_of(paths, members, [member.name for member in members])
    sizes, stamps = looked(paths, members)
    notes = (f"{alone:,} labels without picture are left out ({paths[0]})",) if alone else ()
    return Listing(paths[0], rows.paths, Labels(rows.labels, access.where), access, sizes, stamps, notes)


def _shard(path: str, chosen: Mapping[str, str]) -> list[TarRow]:
    """The pictures of one shard with their labels, and the labels without a picture."""
    found: dict[str, dict[str, Any]] = {"cls": {}, "json": {}}
    pictures = dict[str, tarfile.TarInfo]()
    for info, handle in walk(path):
        folder, slash, base = info.name.rpartition("/")
        stem, _, ending = base.partition(".")
        key, ending = f"{folder}{slash}{stem}", ending.lower()
        if not stem or (ending not in found and ending not in _PICTURES):
            continue
        of_kind = pictures if ending in _PICTURES else found[ending]
        if key in of_kind:
            what = f"{'two pictures' if of_kind is pictures else 'two labels'} for one key"
            raise InputError(what, where=f"{path}: {info.name}")
        if ending in found:
            found[ending][key] = _label(info, handle, ending, chosen, path)
        else:
            pictures[key] = info
    labels, rows = {**found["json"], **found["cls"]}, list[TarRow]()
    for key, info in pictures.items():
        if key not in labels:
            where = f"{path}: {info.name}"
            raise InputError("a picture without label", where=where, hint="key.cls or key.json holds it")
        rows.append((info.name, labels.pop(key), info.offset_data, info.size))
    return rows + [(key, None, 0, -1) for key in labels]


def _label(info: tarfile.TarInfo, handle: BinaryIO, ending: str, chosen: Mapping[str, str], path: str) -> Any:
    where = f"{path}: {info.name}"
    if info.size > _LONGEST:
        raise InputError("a label of more than a megabyte", where=where)
    handle.seek(info.offset_data)
    raw = handle.read(info.size)
    try:
        if ending == "cls":
            return raw.decode().strip()
        value = dict(json.loads(raw))
        name = find_columns([*value, "path"], {**chosen, "path": "path"}, where)[1]
        return value[name]
    except (ValueError, RecursionError, TypeError) as err:
        raise InputError(f"not a label: {err}", where=where) from err
