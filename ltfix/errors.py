"""What can go wrong, one class per exit code (docs/cli.md lists the codes)."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST = 60  # characters of a value in a message
NEAREST, MANY_NAMES = 10, 12  # of more names than these the nearest are told
_CALLED = dict.fromkeys(("gate", "gates"), "fail-under")  # what the docs or the field call an option
_CALLED |= dict.fromkeys(("weights", "ckpt", "pretrained-weights"), "checkpoint")
_CALLED |= {"arch": "backbone", "model": "backbone", "dataset": "data", "learning-rate": "lr"}
MANY_FILES = 1000  # are looked through for a name


class LtfixError(Exception):
    """A failure with one clear line: ``WHAT (WHERE): HINT``.

    Args:
        what: what is wrong, in one clause.
        where: the file, row, class or option it is wrong in; an option or value by its Python name, as
            ``val_fraction`` or ``init=random``, which the command line turns into what is typed there.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, None if where is None else str(where), hint
        self.place = where
        line = what if where is None else f"{what} ({where})"
        super().__init__(line if hint is None else f"{line}: {hint}")


class GateMissed(LtfixError):
    """A head is below a gate that it was held to (exit code 1)."""

    exit_code = 1


class UsageError(LtfixError):
    """An option, a config key or a name that does not exist or does not fit (exit code 2)."""

    exit_code = 2


class Unused(UsageError):
    """An option that would do nothing here, named by ``where``; of ``set``, these ``values``.

    The command line leaves it out with a note where it was not typed.
    """

    def __init__(
        self, what: str, *, where: str, hint: str = "leave it out", values: Iterable[str] = ()
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.values = set(values)


class InputError(LtfixError):
    """A file, image, cache, head or checkpoint that is missing or wrong (exit code 3)."""

    exit_code = 3


class EnvironmentFault(LtfixError):
    """The machine cannot do it: no such device, no memory, disk full, no permission (exit code 4)."""

    exit_code = 4


@contextlib.contextmanager
def extra(name: str, where: object = None) -> Iterator[None]:
    """Around the import of what an extra brings (EnvironmentFault: it is not installed; how to is said)."""
    try:
        yield
    except ImportError as err:
        package = (err.name or name).partition(".")[0]
        hint = f'pip install "ltfix[{name}]"'
        raise EnvironmentFault(f"{package} is not installed", where=where, hint=hint) from err


def cut(value: object) -> str:
    """A value as a message shows it: on one line, and its beginning alone where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def readable(text: str) -> str:
    """Text of others with a ``?`` for what does not print: control characters, turns of direction, halves."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _plain(name: str) -> str:
    return name.lower().strip("-").replace("_", "-")


def nearest(name: str, known: Iterable[str], form: str = "{}") -> str:
    """A hint that offers the known names nearest to a wrong one, told in this form: ``--{}``."""
    known = sorted(known)
    meant = [one for one in known if _plain(one) == _CALLED.get(_plain(name), "-")]
    if meant:
        return f"did you mean {form.format(meant[0])}?"
    begun = [one for one in known if len(name) > 2 and one.startswith(name)]  # all of a family, in order
    same = [one for one in known if one.lower() == name.lower()]
    close = same or begun
    if not 0 < len(close) <= NEAREST:
        close = difflib.get_close_matches(name, known, 3, 0.8) or difflib.get_close_matches(name, known, 3)
    if close:
        return "did you mean " + " or ".join(map(form.format, close)) + "?"
    if len(known) > MANY_NAMES:
        near = sorted(difflib.get_close_matches(name, known, n=NEAREST, cutoff=0.0))
        return f"known: {', '.join(map(form.format, near))} and {len(known) - NEAREST} more"
    return f"known: {', '.join(map(form.format, known))}" if known else "there is none to choose from"


def nearby(path: Path) -> str | None:
    """A hint that offers what is called nearly as what is not there: a path, or its first missing folder.

    Names that differ in their numbers alone are no slips, but the next of a row.
    """
    while not os.path.lexists(path.parent):
        path = path.parent
    row = re.sub(r"\d", "", path.stem)
    with contextlib.suppress(OSError):
        beside = sorted(itertools.islice(path.parent.iterdir(), MANY_FILES))
        others = {one.stem for one in beside if one.name[0] != "."}
        slips = {stem for stem in others if stem == path.stem or re.sub(r"\d", "", stem) != row}
        close = difflib.get_close_matches(path.stem, slips)
        told = [str(one) for one in beside if one.stem in close][:3]
        return f"did you mean {' or '.join(told)}?" if told else None
    return None
