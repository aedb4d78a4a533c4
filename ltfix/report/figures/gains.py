"""What each head gained and lost by shot against the start of stage 2; without one, its accuracies."""

from __future__ import annotations

from typing import Any

from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Axes, Panel, label
from ltfix.report.subject import Subject

TITLE = "Gained and lost, by shot"
READ = (
    "A bar is a head's accuracy in points above what stage 2 began with, as the axis says, and a line "
    "through its end the 95 % interval of a paired bootstrap: where it crosses zero, nothing is sure."
)
OF = "many-medium-few"
BARS = ("all", *SHOTS)


def data(subject: Subject) -> dict[str, Any]:
    """``heads``: of each its name, and by shot ``value``, ``low`` and ``high`` as fractions, or None."""
    heads = subject.heads(OF)
    against = subject.report(OF).about.get("against", {}).get("name")
    compared = [{"name": h["name"], **h["difference"]} for h in heads if h.get("difference") is not None]
    alone = [{"name": h["name"], **{bar: _alone(h[bar]) for bar in BARS}} for h in heads]
    return {"against": against if compared else None, "heads": compared or alone}


def _alone(value: float | None) -> dict[str, float] | None:
    return None if value is None else {"value": value, "low": value, "high": value}


def panels(data: dict[str, Any]) -> list[Panel]:
    """One a head, all on one scale."""
    ends = [
        100 * head[bar][end] for head in data["heads"] for bar in BARS if head[bar] for end in ("low", "high")
    ]
    low, high = min([0.0, *ends]), max([1.0, *ends])
    room = 0.14 * (high - low)
    limits = (low - room if low < 0 else 0.0, high + room)
    said = "accuracy, percent" if data["against"] is None else f"points above {data['against']}"
    return [Panel(head["name"], _drawn(head, limits, said)) for head in data["heads"]]


def _drawn(head: dict[str, Any], limits: tuple[float, float], said: str) -> Any:
    def draw(axes: Axes) -> None:
        for x, bar in enumerate(BARS):
            if head[bar] is None:
                continue
            value, low, high = (100 * head[bar][key] for key in ("value", "low", "high"))
            axes.bar(x, value, width=0.62, color=COLOURS[bar if bar != "all" else "muted"])
            if low < high:
                axes.plot([x, x], [low, high], color=COLOURS["ink"], lw=1)
            above = value >= 0
            text = f"{round(value, 1) + 0.0:+.1f}" if said.startswith("points") else f"{value:.1f}"
            end, shift = (max(value, high), 3) if above else (min(value, low), -3)
            axes.annotate(
                text.replace("-", "−"),
                (x, end),
                (0, shift),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
            )
        axes.axhline(0, color=COLOURS["muted"], lw=0.8)
        axes.set_xticks(range(len(BARS)), [bar.capitalize() for bar in BARS])
        axes.set_ylim(*limits)
        axes.grid(visible=False, axis="x")
        label(axes, "", said)

    return draw
