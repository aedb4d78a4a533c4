"""Write docs/cli.md from the commands themselves: ``python docs/make_cli.py [--check]``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.signature import Parameter, arguments, options

TARGET = Path(__file__).with_name("cli.md")
HEAD = """\
# Command line

<!-- Written by docs/make_cli.py from the commands themselves; edit those. -->

`ltfix COMMAND [OPTIONS]`; `ltfix COMMAND --help` prints what this page holds.

## Conventions

**Values** come from the option, else from the environment (`LTFIX_FIT_METHOD`: command, then option, in
capitals with `_`; a repeatable option is split at blanks, one of files as `PATH` is), else from `ltfix.toml`
in the working folder, or where there is none in the folder that `--work` or `LTFIX_WORK` names (of two, a
note says which is read), else from the default. The first of these stands alone: a repeatable option adds
to itself, not to the variable or the file. In the file each command has a table whose keys are the long
option names, with `-` or `_`; `work`, `seed`, `device`, `threads` and `quiet` may stand above the tables and
then serve every command, as `LTFIX_SEED` does; every other variable names its command
(`LTFIX_EVALUATE_FORMAT`, not `LTFIX_FORMAT`). Arguments given by place (CACHE, HEAD) have no key and no
variable. An empty variable sets nothing, an empty text for a path is an error. Paths in the file, within
`list:FILE`, `local-dir:FOLDER` and `my.py:NAME` too, are relative to the file's folder; typed ones and those
of variables to the working folder. A repeatable `key=value` option may be a table: `[fit.set]` with
`tau = 0.7` says what `--set tau=0.7` says, and `calibrate = true` what `--calibrate` says. `ltfix init`
writes a file with the options in comments, but for those of one run (`--overwrite`, `--dry-run`,
`--verify`, `--output`, `--format`), which the file may set all the same.

**Misspelt names** are errors. Every command reads the whole file: an unknown key or a value of the wrong
type is refused in any table. `ltfix init --check` writes nothing and ends with 2 at what a command would
refuse of the file before it opens anything: a line for every unknown key and wrong type, or where there is
none, for the first of a table's words, ranges, and names of methods, losses, recipes, values, scores and
reports that is wrong. What the model, the data or the machine decides (the model's name, augmentations,
columns, a GPU) is found when the command runs; a head that `init` names must be there. It reads the file
that `--config` names, else the one in the working folder. Of variables a command refuses `LTFIX_FIT_…` that
is no option of it (`LTFIX_FIT_EPOCH`), what nearly is one (`LTFIX_FTI_EPOCHS`), and an option without the
command (`LTFIX_EPOCHS`). Any other `LTFIX_…` that no command reads, as `LTFIX_TESTS`, has a note.

**Options that are not used**, by the method or since another is missing (a `budget` where nothing is
tuned), are an error when typed, a one-line note when they come from the file's table or the environment.

**Files** lie below `--work` (default: the working folder): `features/train`, `features/val`, `features/test`
(folders, or single files, `features/train.safetensors` or `.npz`), `heads/<name>.safetensors`, `runs/<name>`,
`exports/<head>`. Nothing that exists is replaced without `--overwrite`. All writes are atomic: a file is
whole or absent.

**Formats**: where no `--format` is given, `--output FILE` is written by its ending: `.json`, `.csv`, `.md`,
`.tex` and `.xml` (JUnit, which needs a gate), by `predict` `.json`, `.jsonl`, `.csv` and `.parquet`. `.txt`
and a name without an ending get the table; any other ending is refused. Of `format` and `output`
what is typed goes before a variable, and that before the file: the ending of a typed `--output` before a
`format` of the file (one that says nothing leaves it), a typed `--format` before an `output` there whose
ending is of another format: the result goes to stdout, and a note says that the file is not written.

**Streams**: results go to stdout, progress and notes to stderr. Tables are plain when piped, and as wide as
their columns need, whatever `COLUMNS` says. With `FORCE_COLOR` they are piped as a terminal shows them:
styled, and folded to `COLUMNS` (else 80). `NO_COLOR` takes the colours away; bold stays. `--quiet` silences
progress and notes, not results: `>/dev/null` does that. `-` is stdout
after `--output` and stdin in `--data` (`list:-`, of `predict` also `-` alone); a cache, a head or a baseline
is a file with a name.

**Every command** also has `--config FILE` (read instead of `ltfix.toml`; `LTFIX_CONFIG` names one too),
`--quiet` and `--debug` (the traceback of an error). They may stand before the command's name.
`ltfix --install-completion` sets up the completion of commands and options in your shell.

**Exit codes**

| code | meaning |
|---|---|
| 0 | done |
| 1 | a gate (`--fail-under`, `--max-drop`) was missed |
| 2 | usage: an option, config key or method that does not exist or does not fit; output already there |
| 3 | bad input: a file, image, cache, head or checkpoint that is missing or wrong; a fit that diverges |
| 4 | the environment: no such device, out of memory, disk full, no permission, another process writes there |
| 70 | a fault of ltfix itself: `--debug` shows the traceback, which belongs in a bug report |
| 124 | of `timeout`, not of ltfix: the time was up (with `timeout --preserve-status` it is 143) |
| 130, 143 | interrupted by Ctrl-C, by SIGTERM |
| 141 | the reader of stdout went away |

Under a limit of address space (`ulimit -v`, `h_vmem` of a scheduler) libraries may end the process before
anything can be said: torch by an abort (134), OpenBLAS with a line and a code (1) of its own.

An error is one line on stderr: `ltfix: error: WHAT (WHERE): HINT`.
"""


def render() -> str:
    """The whole page."""
    listing = [f"| [`{name}`](#ltfix-{name}) | {command.help} |" for name, command in COMMANDS.items()]
    table = "\n".join(["## Commands", "", "| command | does |", "|---|---|", *listing, ""])
    return "\n".join([HEAD, table, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    function = load(name)
    positional = arguments(function).values()
    usage = " ".join([f"ltfix {name}", *(_shown(p) for p in positional), "[OPTIONS]"])
    lines = [f"## ltfix {name}", "", "```", usage, "```", "", inspect.getdoc(function) or "", ""]
    own = options(function).values()
    if positional or own:
        lines += ["| option | default | meaning |", "|---|---|---|"]
        lines += [f"| `{_shown(p)}` | {_default(p)} | {_cell(_help(p))} |" for p in positional]
        lines += [f"| `{_cell(_spelled(p))}` | {_default(p)} | {_cell(_help(p))} |" for p in own]
        lines.append("")
    return "\n".join(lines)


def _shown(argument: Parameter) -> str:
    bare = (argument.metavar or argument.name.upper()).strip("[].")
    return f"[{bare} …]" if argument.many else f"[{bare}]"


def _spelled(option: Parameter) -> str:
    if option.kind is bool:
        return option.spelled.replace("/", ", ")
    return f"{option.spelled} {option.metavar}" + (" …" if option.many else "")


def _default(option: Parameter) -> str:
    _, mark, said = option.option.help.partition("[default:")
    value = said.strip().rstrip("]") if mark else option.default
    if value is None or value is False or (option.many and not value and not mark):
        return ""
    if value is True:
        return "on"
    return f"`{_cell(str(value))}`"


def _help(option: Parameter) -> str:
    return option.option.help.partition("[default:")[0].strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv and TARGET.read_text(encoding="utf-8") != render():
        raise SystemExit("docs/cli.md is stale: run `python docs/make_cli.py`")
    if "--check" not in sys.argv:
        TARGET.write_text(render(), encoding="utf-8")
