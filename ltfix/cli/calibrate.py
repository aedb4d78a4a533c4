"""``ltfix calibrate``: a head in, the same with a temperature out."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Annotated

from ltfix.cli import console
from ltfix.cli.caches import (
    USUAL_NAMES,
    fitted_on,
    known_caches,
    locate,
    named_head,
    open_named,
    usual,
)
from ltfix.cli.fit import tell_calibration
from ltfix.cli.inspect import written
from ltfix.cli.options import (
    ArrayNames,
    FewBound,
    ManyBound,
    MayOverwrite,
    ValCache,
    WorkFolder,
    WrittenFormat,
)
from ltfix.cli.signature import ARGUMENT
from ltfix.option import Option
from ltfix.stage2.methods.options import CALIBRATE

_PARTS = "holds parts of these out"


def calibrate(
    *,
    head: Annotated[Path, Option("A head file.", metavar="HEAD"), ARGUMENT],
    val: ValCache = None,
    by: Annotated[str, Option("One temperature, or one a shot group.", choices=CALIBRATE)] = "one",
    out: Annotated[
        Path | None, Option("The head file.  [default: HEAD-calibrated.safetensors]", metavar="FILE")
    ] = None,
    many: ManyBound = 100,
    few: FewBound = 20,
    overwrite: MayOverwrite = False,
    format: WrittenFormat = "table",
    names: ArrayNames = USUAL_NAMES,
    work: WorkFolder = Path(),
) -> None:
    """Give a head the temperature that validation samples ask for, so that its probabilities can be believed.

    One temperature changes no prediction; one a shot group may. Samples that the head or the backbone was
    trained on are too easy, and those that a result is measured on are not to be used.
    """
    from ltfix.errors import UsageError
    from ltfix.heads.head import load_head

    if console.is_stdout(out):
        raise UsageError("a head goes to a file, not to stdout", where=f"--out {out}")
    head = named_head(head, work, alone=True)
    place = out or head.with_name(f"{head.stem}-calibrated{head.suffix}")
    console.claim(place, overwrite=overwrite)
    import ltfix

    more = "" if val or usual(work, "val") else _without_validation(head, place, by, work)
    if more.endswith(_PARTS) and by == "shots" and (many, few) != (100, 20):
        more += ", by the shots of 100 and 20: it takes no others"
    held = locate(val, work, "val", f"--val CACHE{more}", names)
    opened = load_head(head)
    found = ltfix.calibrate(opened, held, by, many=many, few=few, progress=console.progress())
    found.save(place, overwrite=overwrite)
    if format == "json":
        written([place])
        return
    tell_calibration(found.meta["calibration"])
    console.write(f"written to {place}")


def _without_validation(path: Path, place: Path, by: str, work: Path) -> str:
    """For a hint: how training samples can serve, where the backbone was trained on others."""
    from ltfix.cli.made import beside, made, usual_pair
    from ltfix.errors import InputError
    from ltfix.heads.head import load_head

    train, opened = fitted_on(path, work), load_head(path)
    if opened.temperature is not None:
        return "; the head has a temperature already, which another would replace"
    if train is None:
        return ""
    project = train.parent.parent
    places = {known: str(cache) for known, cache in known_caches(project).items()}
    if val := places.get(str(opened.meta.get("val"))):
        return f"; the head was chosen on {val}"
    if open_named(train, USUAL_NAMES).head is not None:
        return f"; those of {train} cannot serve, as the backbone was trained on them"
    with contextlib.suppress(InputError, LookupError):  # of another tool, or of other features
        command = made(opened, places, usual_pair(project), chosen=True)
        words = beside([*command, "--calibrate", by], place, opened)
        typed = shlex.join(["ltfix", *words, *([] if project == Path() else ["--work", str(project)])])
        return f"; where the backbone was trained on others than {train}, `{typed}` {_PARTS}"
    return ""
