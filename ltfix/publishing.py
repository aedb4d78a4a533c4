"""Whole files or none: what is written under a temporary name and named once it is whole.

Nothing else names a file. A file is written under a temporary name in its own folder, flushed to the disk
and named, so a reader sees the old file or the whole new one, whatever kills the writer. One that may not
replace another gets its name by a link, which fails where something is: of several writers one wins.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ltfix.errors import EnvironmentFault, InputError, UsageError, nearby
from ltfix.locking import LOCKS, try_take

_TEMPORARY = ".ltfix-tmp"
_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")
_SPACE = "free some space and run the same command again"
_RIGHTS = "check its permissions, or choose another folder"
_FAULTS = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: ("the file is larger than the file system or the limit of this shell allows", None),
    errno.EACCES: ("no permission", _RIGHTS),
    errno.EPERM: ("no permission", _RIGHTS),
    errno.EROFS: ("the file system is read-only", "choose a folder that you may write to"),
    errno.ENOMEM: ("out of memory", "use a smaller batch or fewer workers"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n) or use fewer workers"),
}
_WRONG_PATHS = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)


@contextlib.contextmanager
def os_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError about ``path`` into the LtfixError with the right exit code.

    Raises:
        InputError: there is nothing at the path, or not that kind of file, or (an error without a
            number, as decoders raise) its content is wrong.
        EnvironmentFault: everything else that the system refused.
    """
    try:
        yield
    except OSError as err:
        named = err.filename
        where = path if named is None or str(named).endswith(_TEMPORARY) else Path(str(named))
        if err.errno == errno.ENOENT:
            raise InputError("no such file or folder", where=where, hint=nearby(Path(where))) from err
        if err.errno is None or err.errno in _WRONG_PATHS:
            raise InputError((err.strerror or str(err)).lower(), where=where) from err
        what, hint = _FAULTS.get(err.errno, (err.strerror or str(err), None))
        raise EnvironmentFault(what, where=where, hint=hint) from err


def demand_place(path: Path, *, overwrite: bool = True) -> None:
    """Refuse a path that no file could be written to, before the work that would fill it.

    What a killed writer left there half published is removed.

    Raises:
        UsageError: something is there, and ``overwrite`` is false.
        InputError: the path is a folder, a socket or a disk, or passes through a file.
        EnvironmentFault: no permission, or a read-only file system.
    """
    folder = path.parent
    with os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        if is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, "", str(path))
            return
        _demand_replaceable(path)
        while not (folder.exists() or folder.is_symlink() or folder == folder.parent):
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
            raise OSError(
                errno.EROFS if fixed else errno.EACCES, "", str(path if folder == Path() else folder)
            )
        if not overwrite:
            _sweep(path.parent, glob.escape(_prefix(path)), path)
            if os.path.lexists(path):
                raise _taken(path)


def is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe, a terminal or an open descriptor: written to, not replaced."""
    kind = _kind(path)
    return stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or bool(_DESCRIPTOR.fullmatch(str(path)))


def _kind(path: Path) -> int:
    """The file type of what a path leads to; 0 where that is nothing, or cannot be looked at."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def _demand_replaceable(path: Path) -> None:
    kind = _kind(path)
    if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise InputError("is a device, a pipe or a socket, not a file", where=path)


def _taken(path: Path) -> UsageError:
    return UsageError("already there", where=path, hint="overwrite=True replaces it")


@contextlib.contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; give it that name when the block ends well.

    The temporary file exists (empty) and is locked where the system has such locks, so that
    :func:`sweep` can tell it from what a killed writer left.

    Raises:
        UsageError: something is there, and ``overwrite`` is false.
        InputError: the path is a folder or no regular file, or passes through a file.
        EnvironmentFault: no permission, or no space (the temporary file is removed).
    """
    path = Path(path)
    with os_errors(path), _staged([path], overwrite) as (temporary,):
        yield temporary


@contextlib.contextmanager
def _staged(paths: Sequence[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Yield a temporary path for each of ``paths``; when the block ends well, all are named, or none.

    Names that may not replace others are given one after the other, so a file for the whole set tells a
    set that a killed writer left half named from one whose temporary names it only had not yet removed.
    """
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    folders = {path.parent for path in paths}
    with contextlib.ExitStack() as stack:
        temporaries = [
            stack.enter_context(_temporary(path, f"{token}-{i}", overwrite)) for i, path in enumerate(paths)
        ]
        marked = contextlib.ExitStack()
        if len(paths) > 1 and not overwrite:
            for folder in folders:
                with os_errors(folder):
                    marked.enter_context(_locked(_marker(folder, token)))
        with marked:
            yield temporaries
            for temporary, path in zip(temporaries, paths, strict=True):
                with os_errors(path), temporary.open("rb+") as handle:
                    os.fsync(handle.fileno())
            with contextlib.ExitStack() as named:
                for temporary, path in zip(temporaries, paths, strict=True):
                    with os_errors(path):
                        _give_name(temporary, path, overwrite)
                    if not overwrite:
                        named.callback(path.unlink, missing_ok=True)
                named.pop_all()
    for folder in folders:
        _sync_folder(folder)


@contextlib.contextmanager
def _temporary(path: Path, token: str, overwrite: bool) -> Iterator[Path]:
    """A locked temporary file for ``path``, gone at the end; what killed writers left for it goes too."""
    with os_errors(path):
        _demand_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, glob.escape(_prefix(path)), None if overwrite else path)
        held = contextlib.ExitStack()
        temporary = held.enter_context(_locked(path.with_name(f"{_prefix(path)}{token}{_TEMPORARY}")))
    with held:
        yield temporary


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """A new file, locked while it is there; gone at the end."""
    handle = path.open("ab")
    while LOCKS and not try_take(handle, path):  # swept before it was locked
        handle.close()
        handle = path.open("ab")
    if not LOCKS:  # Windows renames no open file
        handle.close()
    with handle, contextlib.ExitStack() as end:
        end.callback(_drop, path)
        end.callback(_drop, path)  # Ctrl-C may come in the first
        yield path


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _marker(folder: Path, token: str) -> Path:
    return folder / f".{token}{_TEMPORARY}"


def _give_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Without ``overwrite`` by a link: the temporary name, which goes last, tells whose the file is."""
    if overwrite:
        temporary.replace(path)
        return
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links: an empty file claims the name
            path.open("xb").close()
            temporary.replace(path)
    except FileExistsError as err:
        raise _taken(path) from err


def _prefix(path: Path) -> str:
    return f".{path.name[:48]}."  # short, so that a long name does not become too long


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # the file is in place; some file systems cannot sync folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder`` under temporary names; live writers' files stay."""
    _sweep(folder, ".")


def _sweep(folder: Path, prefix: str, named: Path | None = None) -> None:
    """Remove dead temporary files; with them ``named``, where its set was not wholly named."""
    for path in folder.glob(f"{prefix}*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            if not LOCKS:
                path.unlink(missing_ok=True)
                continue
            with path.open("rb+") as handle:
                if not try_take(handle, path):
                    continue
                if named is not None:
                    _settle(path, named)
                path.unlink(missing_ok=True)


def _settle(temporary: Path, named: Path) -> None:
    """End what the killed writer of ``temporary`` began: all names of its set stay, or ``named`` goes."""
    token = temporary.name.removesuffix(_TEMPORARY).rpartition(".")[2].rpartition("-")[0]
    marker = _marker(temporary.parent, token)
    others = [path for path in temporary.parent.glob(f".*.{token}-*{_TEMPORARY}") if path != temporary]
    if not marker.exists():
        for path in others:
            with path.open("rb+") as handle:
                if try_take(handle, path):
                    path.unlink(missing_ok=True)
        return
    if os.path.lexists(named) and temporary.samefile(named):
        named.unlink()
    if not others:
        marker.unlink()


def write_bytes(path: Path | str, data: bytes, *, overwrite: bool = True) -> None:
    """Write a whole file atomically, or ``data`` into a stream; errors as :func:`atomic_path`."""
    write_together({Path(path): data}, overwrite=overwrite)


def write_together(contents: Mapping[Path, bytes], *, overwrite: bool = True) -> None:
    """Write whole files that belong together: all under temporary names, then all named.

    Without ``overwrite`` a writer that is killed between the first name and the last is not in the way: the
    next one for the same names removes what got its name.

    Raises:
        UsageError, InputError, EnvironmentFault: as :func:`atomic_path`; then none of them is there.
    """
    staged = {path: data for path, data in contents.items() if not is_stream(path)}
    with _staged(list(staged), overwrite) as temporaries:
        for temporary, (path, data) in zip(temporaries, staged.items(), strict=True):
            with os_errors(path):
                temporary.write_bytes(data)
    for path in contents.keys() - staged.keys():
        with os_errors(path), path.open("ab") as stream:
            stream.write(contents[path])
