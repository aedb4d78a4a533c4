"""Accuracies that a head must reach, its gates: ``few=20,all=45``, in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.errors import GateMissed, UsageError, nearest
from ltfix.evaluation.shots import SHOTS
from ltfix.heads.head import BEFORE

GATED = ("all", *SHOTS)
_ROUNDING = 1e-9


def parse_gates(text: str) -> dict[str, float]:
    """Read ``few=20,all=45`` as gates in percent.

    Raises:
        UsageError: not ``name=number``; an unknown or repeated name; a number that is not a percentage
            above 1 (a fraction was probably meant as percent).
    """
    gates: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not name or not equals:
            raise UsageError(f"not a gate: {part.strip()!r}", where="fail_under", hint="write few=20,all=45")
        if name not in GATED:
            raise UsageError(f"no shot {name!r}", where="fail_under", hint=nearest(name, GATED))
        if name in gates:
            raise UsageError(f"{name} is given twice", where="fail_under")
        gates[name] = _percent(name, number)
    return gates


def _percent(name: str, number: str) -> float:
    try:
        percent = float(number)
    except ValueError:
        percent = float("nan")
    if 0 <= percent <= 1:
        raise UsageError(
            f"{name}={number} is {percent:g} percent: was {100 * percent:g} percent meant?",
            where="fail_under",
            hint=f"gates are percent, as the tables print; write {name}={100 * percent:g}",
        )
    if not 1 < percent <= 100:
        raise UsageError(
            f"{name}={number} is no percentage", where="fail_under", hint="a number above 1, up to 100"
        )
    return percent


def refuse_empty(gates: Mapping[str, float], heads: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a gate on a shot that no class is in, or none with a test sample.

    Args:
        gates: percent by ``all``, ``many``, ``medium``, ``few``.
        heads: the rows of a many-medium-few report.

    Raises:
        UsageError: naming the shot.
    """
    for name, percent in gates.items():
        if any(head[name] is None for head in heads):
            raise UsageError(
                f"no tested class is {name}, so {name}={percent:g} cannot be held",
                where="fail_under",
                hint="leave it out, or move the boundaries that many and few set",
            )


def check_gates(gates: Mapping[str, float], heads: Sequence[Mapping[str, Any]]) -> None:
    """Hold the fitted heads of a many-medium-few report to the gates.

    The row of stage 1 or the probe, which a fit is to improve on, is held to them only where it stands alone.

    Args:
        gates: percent by ``all``, ``many``, ``medium``, ``few``.
        heads: the report's rows, values as fractions.

    Raises:
        UsageError: as :func:`refuse_empty`.
        GateMissed: naming every head and gate that was missed.
    """
    refuse_empty(gates, heads)
    fitted = [head for head in heads if head["method"] not in BEFORE] or list(heads)
    missed = [
        f"{head['name']}: {name} {_shown(head[name], percent)} < {percent:g}"
        for head in fitted
        for name, percent in gates.items()
        if head[name] < percent / 100 - _ROUNDING
    ]
    if missed:
        raise GateMissed("gate missed", where="; ".join(missed))


def _shown(value: float, percent: float) -> str:
    """The percentage with as many decimals as it takes to look below the gate."""
    return next((s for d in (1, 2, 4) if float(s := f"{100 * value:.{d}f}") < percent), f"{100 * value:.6f}")
