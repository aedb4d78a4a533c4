"""One HTML page of all figures, which needs nothing beside itself (the extra ``report``)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ltfix._version import __version__
from ltfix.errors import EnvironmentFault, InputError, readable
from ltfix.evaluation.describe import Description
from ltfix.evaluation.measure import is_chosen
from ltfix.evaluation.shots import SHOTS
from ltfix.progress import SILENT, Progress
from ltfix.records import record_of
from ltfix.report.canvas import draw_svg
from ltfix.report.figures import FIGURES, load, panels_of

if TYPE_CHECKING:
    from ltfix.report.subject import Subject
    from ltfix.report.thumbnails import Thumbnails

PAIRS, PICTURES = 6, 4
"""So many confusions of a direction are shown, and so many pictures of each."""
DIRECTIONS = {"tail_to_head": "Tail taken for head", "head_to_tail": "Head taken for tail"}


def demand_page() -> None:
    """Refuse a page before any work for it, if jinja2 or matplotlib is not installed (EnvironmentFault)."""
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            hint = 'pip install "ltfix[report]"'
            raise EnvironmentFault(f"{package} is not installed", where="report", hint=hint)


def make_page(
    subject: Subject,
    *,
    name: str,
    origins: Sequence[Description] = (),
    commands: Sequence[str] = (),
    pictures: Thumbnails | None = None,
    left_out: Sequence[str] = (),
    progress: Progress = SILENT,
) -> str:
    """The page as text; equal subjects give equal bytes.

    Args:
        name: of the project.
        origins: what the caches, heads and runs say of themselves.
        commands: that made it, as they are typed.
        pictures: of the test samples, where their source is at hand.
        left_out: heads that are not of as many classes or dimensions, by name.

    Raises:
        EnvironmentFault: as :func:`demand_page`.
        InputError: a feature or a logit is not finite.
    """
    demand_page()
    progress.start("report", len(FIGURES), "figures")
    drawn = {}
    subject.report("logits")  # goes through all logits, so that predictions are at hand from here on
    for figure in FIGURES:
        drawn[figure] = _figure(figure, subject)
        progress.advance(1)
    progress.finish()
    return _template()(
        name=name,
        version=__version__,
        title=subject.report("many-medium-few").title,
        n=subject.evaluation.test.cache.n,
        leads=_leads(subject),
        classifiers=subject.distinct(range(len(subject.evaluation.rows))),
        classed=len(subject.evaluation.rows),
        **_best(subject),
        facts=_facts(subject),
        shots=_shots(subject),
        tables=subject.report("many-medium-few").tables()[:1],
        left_out=left_out,
        undrawn=len(subject.evaluation.rows) - len(subject.shown()),
        figures=[figure for figure in drawn.values() if figure["panels"]],
        confusions=_confusions(subject, pictures),
        origins=origins,
        commands=commands,
    )


def _template() -> Callable[..., str]:
    from jinja2 import Environment
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    folder = importlib.resources.files("ltfix.report")
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.css")}
    made = Environment(autoescape=True, finalize=shown, trim_blocks=True, lstrip_blocks=True)
    page, css = made.from_string(texts["page.html"]), Markup(texts["page.css"])
    return lambda **given: page.render(css=css, **given)


def _figure(name: str, subject: Subject) -> dict[str, Any]:
    """What the page shows of a figure; no panels where there is nothing to draw."""
    from markupsafe import Markup

    figure = load(name)
    data = figure.data(subject)
    panels = [
        {"title": panel.title, "svg": Markup(draw_svg(panel, f"{name}{number}"))}
        for number, panel in enumerate(panels_of(figure, data) if data else ())
    ]
    return {"name": name, "title": figure.TITLE, "read": figure.READ, "panels": panels}


def _leads(subject: Subject) -> list[dict[str, Any]]:
    """The heads that validation chose, else the best by All: each with the start that it is compared with."""
    heads, start = subject.report("many-medium-few").heads, subject.start
    first = None if start is None else next(head for head in heads if head["name"] == start.name)
    found = []
    for chosen in _chosen(subject) or [{"row": subject.ranked()[0]}]:
        head = heads[chosen["row"]]
        before = None if first is head else first
        paid = []
        if before and None not in (head["few"], before["few"]) and head["few"] > before["few"]:
            both = [(s, head[s], before[s]) for s in ("medium", "many") if None not in (head[s], before[s])]
            paid = [shot for shot, now, was in both if round(100 * (was - now), 1) >= 0.1]
        found.append({"head": head, "start": before, "paid": paid, "chosen": chosen})
    return found


def _best(subject: Subject) -> dict[str, Any]:
    """The heads of highest accuracy on the test samples, none that says the same of each as another, and
    whether validation chose one of them."""
    heads, chosen, best = subject.report("many-medium-few").heads, _chosen(subject), dict[Any, int]()
    top = heads[subject.ranked()[0]]["all"]
    rows = [row for row in range(len(heads)) if heads[row]["all"] == top]
    for row in sorted(rows, key=lambda row: row not in [it["row"] for it in chosen]):
        best.setdefault((heads[row]["method"], heads[row]["correct"]), row)
    named = sorted(best.values())
    return {
        "best": [heads[row] for row in named],
        "chose_best": bool({it["row"] for it in chosen}.intersection(named)),
    }


@dataclasses.dataclass
class ScoredBy:
    """What a head tells of its score on validation samples; ``tested``: they are the test samples."""

    by: str
    on: str
    score: float
    start_score: float
    flattered: bool = False
    tested: bool = False


def _chosen(subject: Subject) -> list[dict[str, Any]]:
    """Of heads that were scored on validation samples the best one there, which no test score decides."""
    groups: dict[tuple[str, str], list[tuple[int, ScoredBy]]] = {}
    for i, row in enumerate(subject.evaluation.rows):
        with contextlib.suppress(InputError):  # it has no such score, or is another tool's
            said = row.head.meta.get("selection")
            told = record_of(ScoredBy, said, row.where)
            told.flattered = is_chosen(said)
            told.tested = row.head.meta.get("val") == subject.evaluation.test.cache.identity
            groups.setdefault((str(row.head.meta.get("cache")), told.on), []).append((i, told))
    best = [
        (subject.distinct(row for row, _ in scored), *max(scored, key=lambda found: found[1].score))
        for scored in groups.values()
    ]
    return [{"n": n, "row": row, **vars(told)} for n, row, told in best]


def _facts(subject: Subject) -> dict[str, str]:
    counts, cache = subject.shots.counts, subject.evaluation.test.cache
    some = counts[counts > 0]
    found = {
        "classes": f"{len(counts):,}",
        "training samples": f"{int(counts.sum()):,}",
        "of a class": f"{int(counts.max()):,} to {int(counts.min()):,}",
        "imbalance factor": f"{some.max() / some.min():.1f}",
        "test samples": f"{cache.n:,}",
        "features": f"{cache.dim} dimensions" + (f", {cache.views} views" if cache.views > 1 else ""),
    }
    if cache.manifest is not None:
        found["backbone"] = str(cache.manifest.backbone.get("name", "unknown"))
        found["source"] = str(cache.manifest.source.get("root", "unknown"))
    return found


def _shots(subject: Subject) -> list[dict[str, Any]]:
    shots, tested = subject.shots, subject.evaluation.test.tested
    rules = (f"n > {shots.many}", f"{shots.few} ≤ n ≤ {shots.many}", f"n < {shots.few}")
    return [
        {
            "shot": shot,
            "rule": rule,
            "classes": int((shots.of == index).sum()),
            "train": int(shots.counts[shots.of == index].sum()),
            "test": int(tested[shots.of == index].sum()),
        }
        for index, (shot, rule) in enumerate(zip(SHOTS, rules, strict=True))
    ]


def _confusions(subject: Subject, pictures: Thumbnails | None) -> list[dict[str, Any]]:
    """The confused pairs of the start and of the best head, with pictures of confused samples."""
    test, rows, heads = subject.evaluation.test, subject.evaluation.rows, subject.report("confusion").heads
    chosen = [i for i, row in enumerate(rows) if row.is_start][:1] + subject.ranked()
    found = []
    for i in dict.fromkeys(chosen[:2]):
        predicted = test.predictions(rows[i].head)
        directions = [
            {
                "title": title,
                "pairs": [
                    {**pair, "pictures": _pictures(pair, test.labels, predicted, pictures)}
                    for pair in heads[i][direction][:PAIRS]
                ],
            }
            for direction, title in DIRECTIONS.items()
        ]
        found.append({"name": rows[i].name, "directions": directions})
    return found


def _pictures(
    pair: dict[str, Any], labels: np.ndarray, predicted: np.ndarray, pictures: Thumbnails | None
) -> list[str]:
    if pictures is None:
        return []
    wrong = np.flatnonzero((labels == pair["true"]) & (predicted == pair["predicted"]))[:PICTURES]
    return [picture for index in wrong.tolist() if (picture := pictures(index)) is not None]
