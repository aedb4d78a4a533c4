"""Archives of class folders as sources: what tar and zip share. Names of members are never paths on disk."""

from __future__ import annotations

import collections
import dataclasses
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ltfix.errors import InputError
from ltfix.images.folder import CLASSLESS, split_folders
from ltfix.images.labels import Labels
from ltfix.images.listing import Listing, ListingSource
from ltfix.images.parts import open_parts, split_parts
from ltfix.images.pictures import Pictures
from ltfix.images.places import look_at, name_of
from ltfix.images.source import OTHER_NAMES, SPLITS, bare_name
from ltfix.images.tree import IMAGES, left_out

_HIDDEN = re.compile(r"(?:^|/)\.(?!\./)")


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: with ``/`` between, and nothing else that is no name.
        archive: which of the archives.
        size: in bytes, unpacked.
        at: where it lies, as the kind of archive says it.
    """

    name: str
    archive: int
    size: int
    at: tuple[int, ...]


Index = Callable[[Sequence[str]], Iterable[Member]]  # the files in archives, in their order
# of archives, members and sample names
Access = Callable[[Sequence[str], Sequence[Member], Sequence[str]], Pictures]
Placed = list[tuple[str, Member]]  # members by what is left of their names


def open_archive(
    kind: str, index: Index, access: Access, rest: str, *, root: str | None = None, split: Sequence[str] = ()
) -> ListingSource:
    """Open archives of class folders, or of split folders of class folders, as a folder of the same would be.

    Folders that all members share are left out of their names.

    Raises:
        UsageError: several splits asked of a bare archive, a split twice.
        InputError: an archive is missing or cut off, or has no class folders.
    """
    parts = open_parts(kind, rest, split[:1])
    first = next(iter(parts.values()))[0]
    found = dict[str, Listing]()
    for name, paths in parts.items():
        members = [(member.name, member) for member in index(paths)]
        if split_parts(rest, kind=kind) is not None:
            by_split = {name: _below_common(members, keep=())}
        else:
            by_split = _by_split(_below_common(members, keep=SPLITS), split, f"{kind}:{rest}")
        for of, rows in by_split.items():
            found[of] = _listing(kind, of, paths, rows, access)
    return ListingSource(kind, name_of(first), found)


def plain(name: str) -> str:
    """A member's name without what is none in it: ``./a//b`` is ``a/b``."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _below_common(rows: Placed, keep: Sequence[str]) -> Placed:
    """Without the folders that all share, but for those of splits and the one of the class."""
    kept = {*keep, *(other for name in keep for other in OTHER_NAMES.get(name, ()))}
    while rows and (top := rows[0][0].partition("/")[0]) not in kept:
        if not all(name.startswith(f"{top}/") and name.count("/") > 1 for name, _ in rows):
            break
        rows = [(name[len(top) + 1 :], member) for name, member in rows]
    return rows


def _by_split(rows: Placed, split: Sequence[str], where: str) -> dict[str, Placed]:
    folders = {name.partition("/")[0] for name, _ in rows if name.count("/") > 1}
    names = {folder: name for name, folder in split_folders(folders.__contains__, split).items()}
    if not names:
        return {bare_name(split, where): rows}
    found = collections.defaultdict[str, Placed](list)
    for path, member in rows:
        top, _, below = path.partition("/")
        if top in names and "/" in below:
            found[names[top]].append((below, member))
    return found


def _listing(kind: str, split: str, paths: Sequence[str], rows: Placed, access: Access) -> Listing:
    others, kept = collections.Counter[str](), Placed()
    for name, member in rows:
        if _HIDDEN.search(name):
            continue
        if "/" in name and name.lower().endswith(IMAGES):
            kept.append((name, member))
        else:
            others[posixpath.splitext(name)[1].lower() or "no ending"] += 1
    if not kept:
        hint = "webdataset's shards are wds:FILE" if others[".cls"] or others[".json"] else CLASSLESS
        raise InputError("no pictures in class folders", where=paths[0], hint=hint)
    kept.sort(key=lambda row: row[0].rpartition("/")[::2])  # ImageFolder's order
    samples, members = [name for name, _ in kept], [member for _, member in kept]
    for before, after, member in zip(samples, samples[1:], members[1:], strict=False):
        if before == after:
            raise InputError(f"{after!r} is there twice", where=paths[member.archive])
    pictures = access(paths, members, samples)
    labels = Labels((name.partition("/")[0] for name in samples), pictures.where, names=True)
    sizes, stamps = looked(paths, members)
    return Listing(paths[0], samples, labels, pictures, sizes, stamps, left_out(split, others), by_class=True)


def looked(paths: Sequence[str], members: Sequence[Member]) -> tuple[np.ndarray, np.ndarray]:
    """[N] int64 sizes of members, and the stamps of the archives that hold them."""
    stamps = np.array([look_at(path)[1] for path in paths], np.int64)
    sizes = np.array([member.size for member in members], np.int64)
    return sizes, stamps[[member.archive for member in members]]
