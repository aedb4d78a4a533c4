"""Rewrite the marked tables of docs/methods.md: ``python docs/make_methods.py [--values|--missing|--check]``.

The page is prose with marked tables, ``<!-- KIND: WHAT -->`` … ``<!-- end -->``. ``--values`` renews those
that come from the method table alone (no data needed); without it every row that the page names is also
fitted on the packed CIFAR-100-LT features, in ``../shared/data`` beside the clone or below ``$LTFIX_SHARED``,
with ``--missing`` those alone that the page has no numbers of.
A row is written ``method name=value …``; a name is a value of the method or an option of ``ltfix fit``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("methods.md")
DATA = Path(os.environ.get("LTFIX_SHARED", Path(__file__).parents[2] / "shared")) / "data"
KINDS = ("glance", "recipe", "values", "presets", "measured", "norms", "overview", "reference", "made")
BLOCK = re.compile(
    rf"(<!-- ({'|'.join(KINDS)})(?:: ([^>]*?))? -->\n)(.*?)(<!-- end -->)",
    re.DOTALL,
)
SHOTS = ("all", "many", "medium", "few")
SEEDS = (0, 1, 2)
ROWS = "| row | All | Many | Medium | Few |\n|---|---|---|---|---|"

Row = dict[str, tuple[float, float]]

REFERENCE = {
    "stage-1": (38.39, 71.23, 37.20, 1.47),
    "ce": (39.03, 70.71, 38.35, 2.84),
    "samn": (42.06, 67.89, 40.83, 13.38),
    "samn metric=norm": (42.14, 68.00, 41.66, 12.53),
    "samn part=weight": (41.99, 67.83, 40.83, 13.20),
    "samn part=bias": (39.73, 70.46, 39.80, 3.80),
    "samn projection=none": (42.09, 67.74, 40.98, 13.44),
    "samn projection=recursive": (42.38, 68.11, 41.52, 13.37),
    "los": (43.02, 58.80, 51.49, 14.72),
    "tau-norm tau=1": (41.92, 59.91, 42.66, 20.07),
    "logit-adjust": (43.03, 64.34, 46.97, 13.57),
}
"""Literal runs (autograd, the published SAMN head) on these features: All, Many, Medium, Few in percent."""


def main() -> None:
    """Rewrite the page, or say that its tables are not those of the method table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--values", action="store_true", help="only what needs no fit")
    mode.add_argument("--missing", action="store_true", help="fit only the rows without numbers")
    mode.add_argument("--check", action="store_true", help="write nothing; 1 if --values would change it")
    args = parser.parse_args()
    page = TARGET.read_text(encoding="utf-8")
    made = with_values(page)
    if not (args.values or args.check):
        made = with_fits(made, _shown_rows(page) if args.missing else {})
    if args.check and made != page:
        sys.exit(f"{TARGET.name} is not current: run `python docs/make_methods.py --values`")
    if not args.check:
        TARGET.write_text(made, encoding="utf-8")


def rewrite(page: str, tables: dict[str, Callable[[str], str]]) -> str:
    """The page with the tables of these kinds made anew."""

    def replace(block: re.Match[str]) -> str:
        head, kind, what, body, tail = block.groups()
        return head + (f"{tables[kind](what or '')}\n" if kind in tables else body) + tail

    return BLOCK.sub(replace, page)


def with_values(page: str) -> str:
    """The page with every table that the method table alone decides."""
    return rewrite(page, {"glance": _glance, "recipe": _recipe, "values": _values, "presets": _presets})


def _glance(_: str) -> str:
    import ltfix

    lines = ["| method | head | loss | sampler | post-hoc | starts from |", "|---|---|---|---|---|---|"]
    for m in ltfix.methods():
        trained = m.loss is not None
        loss = f"{m.loss} + MaxNorm" if m.constraint else m.loss or "–"
        sampler = m.values()["sampler"].default if trained else "–"
        start = "–" if m.posthoc is not None and not m.posthoc.keeps_rows else m.init.name
        head = m.head if trained else "linear"
        link = f"[`{m.name}`](#{m.name.replace('+', '')})"
        lines.append(f"| {link} | {head} | {loss} | {sampler} | {m.posthoc or '–'} | {start} |")
    return "\n".join(lines)


def _recipe(_: str) -> str:
    from ltfix.stage2.methods.catalog import TRAINING

    lines = ["| value | default | meaning |", "|---|---|---|"]
    for name, value in TRAINING.items():
        lines.append(f"| `{name}` | {shown(value.default)} | {_meaning(value)} |")
    return "\n".join(lines)


def _values(name: str) -> str:
    """A method's recipe in one line, and a table of the values that are its own."""
    from ltfix.stage2.methods.catalog import TRAINING
    from ltfix.stage2.methods.registry import find_method

    method = find_method(name)
    values = method.values()
    lines = []
    if method.loss is not None:
        lines.append("Recipe: " + ", ".join(f"`{n}` {shown(values[n].default)}" for n in TRAINING) + ".")
    own = {n: value for n, value in values.items() if n not in TRAINING}
    if own:
        lines += [*([""] if lines else []), "| value | default | meaning | searched |", "|---|---|---|---|"]
    for own_name, value in own.items():
        searched = _searched(method, own_name, value)
        lines.append(f"| `{own_name}` | {shown(value.default)} | {_meaning(value)} | {searched} |")
    for condition, other in method.instead.items():
        moved = ", ".join(f"`{n}` {shown(v)}" for n, v in other.items())
        lines += ["", f"With `{condition}`: {moved}."]
    extra = [f"`{n}` {_grid(tried)}" for n, tried in method.grid.items() if n in TRAINING]
    if extra:
        lines += ["", f"`--tune` also tries {', '.join(extra)}."]
    return "\n".join(lines) if lines else "It has no values."


def _presets(_: str) -> str:
    from ltfix.stage2.methods.presets import PRESETS

    lines = ["| method | data set | backbone | values |", "|---|---|---|---|"]
    for line in PRESETS:
        values = ", ".join(f"`{name}` {shown(value)}" for name, value in line.values.items())
        lines.append(f"| `{line.method}` | {line.dataset} | {line.recipe or 'any'} | {values} |")
    return "\n".join(lines)


def _meaning(value: Any) -> str:
    return value.meaning + (f" ({', '.join(value.choices)})" if value.choices else "")


def _searched(method: Any, name: str, value: Any) -> str:
    if name in method.grid:
        return f"{_grid(method.grid[name])} by `--tune`"
    return f"{_grid(value.grid)}, always" if value.grid and value.default is None else "–"


def _grid(tried: Sequence[Any]) -> str:
    """A grid's numbers; a long even one by its ends and step."""
    from ltfix.stage2.tuning.candidates import is_even

    if len(tried) <= 6 or not is_even(tried):
        return ", ".join(shown(v) for v in tried)
    return f"{shown(tried[0])}, {shown(tried[1])}, …, {shown(tried[-1])}"


def shown(value: Any) -> str:
    """A default as the page writes it."""
    return "found when fitting" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _shown_rows(page: str) -> dict[str, Row]:
    """The measured rows that the page has."""
    found = {}
    for spec, cells in re.findall(r"^\| `([^`]+)` ((?:\| [\d.]+ ± [\d.]+ ){4})\|$", page, re.MULTILINE):
        numbers = re.findall(r"([\d.]+) ± ([\d.]+)", cells)
        found[spec] = {
            shot: (float(mean), float(std)) for shot, (mean, std) in zip(SHOTS, numbers, strict=True)
        }
    return found


def with_fits(page: str, known: dict[str, Row]) -> str:
    """The page with every measured row fitted that is not known."""
    named = [what.split(" | ") for _, kind, what, *_ in BLOCK.findall(page) if kind == "measured"]
    specs = list(dict.fromkeys(["stage-1", *(s for row in named for s in row), *REFERENCE]))
    found = known | measure([spec for spec in specs if spec not in known])
    ranked = sorted(specs, key=lambda spec: -found[spec]["all"][0])
    return rewrite(
        page,
        {
            "measured": lambda what: _table({spec: found[spec] for spec in what.split(" | ")}),
            "overview": lambda _: _table({spec: found[spec] for spec in ranked}),
            "norms": lambda _: _norms(),
            "reference": lambda _: _against(found),
            "made": lambda _: _made(),
        },
    )


def measure(specs: Sequence[str]) -> dict[str, Row]:
    """Mean and deviation over the seeds of each row, in percent."""
    import ltfix

    train, test = (ltfix.open_cache(DATA / f"c100_if100_{split}.safetensors") for split in ("train", "test"))
    found = {}
    for spec in specs:
        heads = [train] if spec == "stage-1" else fitted(train, spec)
        rows = ltfix.evaluate(heads, test).to_dict()["heads"]
        scores = {shot: [100 * row[shot] for row in rows] for shot in SHOTS}
        found[spec] = {s: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else 0.0)
                       for s, v in scores.items()}  # fmt: skip
        print(f"{spec:28}", "  ".join(_cell(found[spec][shot]) for shot in SHOTS), flush=True)
    return found


def fitted(train: Any, spec: str) -> list[Any]:
    """The heads of a row, one a seed; where something is chosen, each seed chooses for itself."""
    from ltfix.stage2.fit import fit, plan_fit
    from ltfix.stage2.methods.registry import find_method

    method, *pairs = spec.split()
    given: dict[str, Any] = dict(pair.split("=") for pair in pairs)
    if find_method(method).loss is not None:
        return plan_fit(method, given).train(train, SEEDS)
    return [fit(train, method, seed=seed, **given) for seed in SEEDS]


def _cell(score: tuple[float, float]) -> str:
    return f"{score[0]:.2f} ± {score[1]:.2f}"


def _table(rows: dict[str, Row]) -> str:
    lines = [f"| `{spec}` | " + " | ".join(_cell(row[s]) for s in SHOTS) + " |" for spec, row in rows.items()]
    return "\n".join([ROWS, *lines])


def _against(found: dict[str, Row]) -> str:
    lines = ["| row | All, literal | All, ltfix | Few, literal | Few, ltfix | Many | Medium |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for spec, (all_, many, medium, few) in REFERENCE.items():
        ours = {shot: score[0] for shot, score in found[spec].items()}
        off = {
            shot: f"{round(ours[shot] - literal, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"
            for shot, literal in zip(SHOTS, (all_, many, medium, few), strict=True)
        }
        lines.append(
            f"| `{spec}` | {all_:.2f} | {ours['all']:.2f} ({off['all']}) "
            f"| {few:.2f} | {ours['few']:.2f} ({off['few']}) | {off['many']} | {off['medium']} |"
        )
    return "\n".join(lines)


def _norms() -> str:
    """SAMN's row norms by class, at its start and after training, on features of the fit's scale."""
    import numpy as np

    import ltfix

    train = ltfix.open_cache(DATA / "c100_if100_train.safetensors")
    classes = [int(np.abs(train.counts - n).argmin()) for n in (500, 200, 100, 50, 20, 10, 5)]
    lines = ["| training samples | " + " | ".join(str(train.counts[k]) for k in classes) + " |"]
    lines.append("|---" * (len(classes) + 1) + "|")
    rows: dict[str, dict[str, Any]] = {
        "at the start": {"epochs": 1, "lr": 1e-30},
        "after 20 epochs": {},
        "so with `projection=none`": {"projection": "none"},
        "so with `projection=recursive`": {"projection": "recursive"},
    }
    for when, values in rows.items():
        head = ltfix.fit(train, "samn", seed=0, **values)
        norm = np.linalg.norm(head.weight, axis=1) * head.meta["coordinates"]["feature_scale"]
        lines.append(f"| row norm {when} | " + " | ".join(f"{norm[k]:.2f}" for k in classes) + " |")
    return "\n".join(lines)


def _made() -> str:
    import torch

    from ltfix._version import __version__

    version = torch.__version__.split("+")[0]
    return f"Made with ltfix {__version__}, torch {version}, {platform.machine()}, on the CPU."


if __name__ == "__main__":
    main()
