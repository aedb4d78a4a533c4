"""Logits of the true class and of the others by shot, with the margin between them (LoMa)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ltfix.evaluation.scores import shot_means
from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Panel, label
from ltfix.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Logits of a class on its own samples and on all others, by shot"
READ = (
    "The upper mark is a class's mean logit on its own test samples and the lower one on all others (bars: "
    "one standard deviation): the number between, LoMa, should not shrink toward the tail."
)
OF = "logits"
KEYS = ("true", "other", "std_pos", "std")


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each by shot ``true``, ``other``, ``std_pos``, ``std`` and ``loma``, or None."""
    of, found = subject.shots.of, []
    for head in subject.heads(OF):
        classes = {key: np.array(head["classes"][key], np.float64) for key in (*KEYS, "loma")}
        means = {key: shot_means(values, of) for key, values in classes.items()}
        shots = {shot: {key: means[key][shot] for key in means} for shot in SHOTS}
        found.append({"name": head["name"], "shots": shots})
    return {"heads": found}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head, each on its own scale: logits of different heads have different ones."""
    return [Panel(head["name"], partial(_draw, head["shots"])) for head in data["heads"]]


def _draw(shots: dict[str, Any], axes: Axes) -> None:
    for x, shot in enumerate(SHOTS):
        found = shots[shot]
        if found["true"] is None or found["other"] is None:
            continue
        colour = COLOURS[shot]
        axes.plot([x, x], [found["other"], found["true"]], ":", color=colour, lw=0.8)
        axes.errorbar(x, found["true"], found["std_pos"], fmt="o", ms=6, color=colour, elinewidth=1)
        axes.errorbar(x, found["other"], found["std"], fmt="o", ms=5, mfc="none", color=colour, elinewidth=1)
        middle = (found["true"] + found["other"]) / 2
        axes.annotate(f"{found['loma']:.2f}", (x, middle), (8, 0), textcoords="offset points", va="center")
    axes.set_xticks(range(len(SHOTS)), [shot.capitalize() for shot in SHOTS])
    axes.set_xlim(-0.5, len(SHOTS) - 0.3)
    axes.grid(visible=False, axis="x")
    label(axes, "", "logit")
