"""What the user sees: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix import bars
from ltfix.cli import config, tables
from ltfix.cli.printable import printable
from ltfix.cli.spelling import spell
from ltfix.errors import Unused, UsageError
from ltfix.progress import SILENT, Progress

if TYPE_CHECKING:
    from ltfix.evaluation.result import Result
    from ltfix.report.figures import Drawn

ENDINGS = {".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".xml": "junit"}
ENDINGS |= {".jsonl": "jsonl", ".parquet": "parquet"}
"""What a result file is whose format is not asked for, where the command has that format."""


def note(text: str) -> None:
    """One line to the user on stderr, once; nothing with --quiet."""
    here, line = config.current(), "ltfix: " + one_line(text)
    if not here.quiet and line not in here.told:
        here.told.add(line)
        if sys.stderr.isatty():
            line = bars.hung(line, shutil.get_terminal_size().columns, bars.HANGING)
        print(line, file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text of the library as one line that the user of the running command can read and a terminal show."""
    return printable(" ".join(spell(text).split()))


def refuse_unused(names: Iterable[str], user: str) -> None:
    """Refuse options that the chosen method does not use; one at its default says nothing.

    Args:
        names: options, as ``weight_decay``.
        user: what does not use them, for the message: ``"method tau-norm"``.

    Raises:
        Unused: one was typed, or set (see `carry_out`).
    """
    for name in names:
        if config.origin(name) != "default":
            raise Unused(f"{user} has no use for it", where=name)


def carry_out(act: Callable[[dict[str, Any]], Any], values: dict[str, Any]) -> Any:
    """Have a command act on its values; those of the environment or the file that do nothing are left out.

    A note says so, unless one was set for every command alike.

    Raises:
        Unused: one that was typed.
    """
    while True:
        try:
            return act(values)
        except Unused as err:
            values = {**values, **_left_out(err, values)}


def _left_out(err: Unused, values: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the place of an option that does nothing: its default, of --set the other pairs."""
    here, name = config.current(), str(err.place).partition("=")[0]
    option = config.option(name) or config.option("set")
    if option is None or (source := config.origin(option.key)) in ("option", "default"):
        raise err
    left: Any = option.default
    if option.key == "set" and (idle := err.values or {name} - {"set"}):
        left = [pair for pair in values["set"] or () if pair.partition("=")[0].replace("-", "_") not in idle]
        if left == values["set"]:
            raise err
    else:
        del here.origins[option.key]
    if option.key not in here.shared:
        given = "the environment" if source == "environment" else here.file
        note(f"{option.typed(values.get(option.key))} from {given} is not used: {err.what}")
    return {option.key: left}


def write(text: str, *, drawn: bool = False) -> None:
    """Text to stdout, ending in one line break; a character the terminal lacks becomes ``?``.

    What a terminal would obey is escaped, unless ``tables`` has drawn the text and seen to that.
    """
    text, encoding = text if drawn else printable(text), sys.stdout.encoding or "utf-8"
    sys.stdout.write((text.rstrip("\n") + "\n").encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def claim(*places: Path | None, overwrite: bool) -> None:
    """Demand that results can go to files before the work for them is done; stdout always can.

    Raises:
        UsageError: one exists and ``overwrite`` is false.
        InputError, EnvironmentFault: one cannot be written.
    """
    for path in places:
        if path is not None and not is_stdout(path):
            from ltfix import files

            files.demand_place(path, overwrite=overwrite)


def claim_results(output: Path | None, plot: Path | None, *, overwrite: bool) -> None:
    """Demand the same of a table and its picture, and that a picture can be drawn.

    Raises:
        UsageError, InputError: as :func:`claim`, or a picture of another kind.
        EnvironmentFault: also: matplotlib is not installed.
    """
    claim(plot, output, overwrite=overwrite)
    if plot is not None:
        from ltfix.report.canvas import demand_plotting

        demand_plotting(plot)


def is_stdout(path: Path | None) -> bool:
    """Whether the user named stdout: ``-``, or by the name that the system has for it."""
    return str(path) in ("-", "/dev/stdout")


def deliver(text: str, output: Path | None, *, overwrite: bool = False, drawn: bool = False) -> None:
    """A result to stdout (``output`` None or ``-``; see `write`), a stream, or, whole or not at all, a file.

    Raises:
        UsageError: the file exists and ``overwrite`` is false.
        EnvironmentFault: it cannot be written.
    """
    if output is None or is_stdout(output):
        write(text, drawn=drawn)
        return
    from ltfix import files

    files.write_text(output, text.rstrip("\n") + "\n", overwrite=overwrite)


def format_of(form: str, output: Path | None) -> str:
    """The format of ``--format`` or of the file's ending (none and ``.txt``: a table), whichever was typed,
    else set by a variable, else by the file; where both were, of ``--format``.

    Raises:
        UsageError: an ending of no format, as ``.yaml``.
        Unused: another format was asked for than that of a file which a variable or ltfix.toml names, so that
            the result is not for it (see `carry_out`).
    """
    asked, named = (config.ORIGINS.index(config.origin(name)) for name in ("format", "output"))
    if output is None:
        return form
    option, ending = config.option("format"), output.suffix.lower()
    ours = [*ENDINGS.values()] if option is None else option.option.choices
    known = {end: its for end, its in ENDINGS.items() if its in ours} | {".txt": "table"}
    meant = known.get(ending, form)
    if asked > named:
        if meant != form:
            raise Unused(f"format={form} goes to stdout", where="output")
        return form
    if ending and ending not in known and not asked:
        hint = f"known: {', '.join(sorted(known))}, none; or choose by --format"
        drawn = ending in (".png", ".pdf", ".svg") and config.option("plot") is not None
        hint = f"--plot {output} draws it" if drawn else hint
        raise UsageError(f"{ending} is the ending of no format", where=f"output={output}", hint=hint)
    return form if asked == named else meant


def deliver_result(found: Result, form: str, output: Path | None, digits: int, *, overwrite: bool) -> None:
    """What a command found, as ``--format`` says, to where ``--output`` says (see `deliver`)."""
    if form == "table":
        plain = output is not None and not is_stdout(output)
        text = "\n\n".join(tables.draw_result(table, plain=plain) for table in found.shown(digits))
    else:
        text = found.render(form, digits)
    deliver(text, output, overwrite=overwrite, drawn=form == "table")


def draw(drawn: Drawn, path: Path, overwrite: bool) -> None:
    """Figures into a picture, or their numbers (see ``report.figures.write``), and a note of where it is."""
    from ltfix.report import figures

    figures.write(drawn, path, overwrite=overwrite)
    note(f"drawn in {path}")


def tell(text: str) -> None:
    """One line to stdout, which a terminal shows on several: broken between words, the others indented."""
    write(bars.hung(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a plain table to stdout (see ``tables.draw``)."""
    write(tables.draw(columns, rows), drawn=True)


def progress() -> Progress:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere, nothing with --quiet."""
    if config.current().quiet:
        return SILENT
    if sys.stderr.isatty():
        bar = bars.ProgressBar(one_line)
        config.current().clean_up.append(bar.finish)  # a progress bar left open hides the cursor
        return bar
    return bars.ProgressLines(
        lambda text: print(printable(text), file=sys.stderr, flush=True), clean=one_line
    )
