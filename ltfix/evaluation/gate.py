"""Bars that heads are held to, their gates: ``few=20,all=45``, in percent, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ltfix.errors import GateMissed, InputError, UsageError, nearest
from ltfix.evaluation.metrics import SCORES
from ltfix.evaluation.shots import demand_bounds
from ltfix.heads.head import BEFORE

GATED = (*SCORES, "ece")
LOWER_IS_BETTER = ("ece",)
_ROUNDING = 1e-9
_MOVE = "leave it out, or move the boundaries that many and few set"

Outcome = dict[str, Any]
"""``head``, ``name``, ``bar`` and ``value`` as fractions, ``passed``, ``seen``; of a fall also its origin,
of a report ``idle``: why it cannot be missed."""


def parse_gates(text: str, where: str = "fail_under", known: Sequence[str] = GATED) -> dict[str, float]:
    """Read ``few=20,all=45`` as gates in percent, or, as ``max_drop``, as points.

    Raises:
        UsageError: not ``name=number``; an unknown or repeated name; a number that is not 0 to 100; one
            without ``%`` that is probably a fraction meant as percent: between 0 and 1, of points and 0.1.
    """
    gates: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not name or not equals:
            raise UsageError(f"not a gate: {part.strip()!r}", where=where, hint="write few=20,all=45")
        if name not in known:
            raise UsageError(f"no score {name!r}", where=where, hint=nearest(name, known))
        if name in gates:
            raise UsageError(f"{name} is given twice", where=where)
        gates[name] = _percent(name, number, where)
    return gates


def _percent(name: str, number: str, where: str) -> float:
    try:
        percent = float(number.removesuffix("%"))
    except ValueError:
        percent = float("nan")
    if not 0 <= percent <= 100:
        hint = "a list of gates has no blanks: few=20,all=45" if "=" in number else "a number 0 to 100"
        raise UsageError(f"{name}={number} is no percentage", where=where, hint=hint)
    smallest, unit = (1, "percent") if where == "fail_under" else (0.1, "points")  # half a point is usual
    if 0 < percent < smallest and name not in LOWER_IS_BETTER and not number.endswith("%"):
        what = f"{name}={number} is {percent:g} {unit}: was {100 * percent:g} meant?"
        hint = f"write {name}={100 * percent:g}, or {name}={number}% for so little"
        raise UsageError(what, where=where, hint=hint)
    return percent


def held_rows(heads: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that are held to gates: fitted ones; stage 1 or the probe, which they improve on, alone."""
    return [head for head in heads if head["method"] not in BEFORE] or list(heads)


def outcomes(gates: Mapping[str, float], heads: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """What came of each gate for each head that is held.

    Args:
        gates: percent by the names of :data:`GATED`: the least that is allowed, of ``ece`` the most.
        heads: rows with ``name``, ``method`` and the gated scores as fractions.

    Raises:
        InputError: no tested class is of that shot.
    """
    return [
        outcome(head, name, percent / 100) for head in held_rows(heads) for name, percent in gates.items()
    ]


def outcome(head: Mapping[str, Any], name: str, bar: float, where: str = "fail_under") -> Outcome:
    """One gate: whether a row's score is on the right side of ``bar``.

    Raises:
        InputError: there is no value: no tested class is of that shot. ``where`` asked for it.
    """
    value = head[name]
    if value is None:
        raise untested(name, where)
    passed = value <= bar + _ROUNDING if name in LOWER_IS_BETTER else value >= bar - _ROUNDING
    found = {"head": head["name"], "name": name, "bar": bar, "value": value, "passed": passed}
    return {**found, "seen": head.get("seen")}


def untested(name: str, where: str = "fail_under") -> InputError:
    """What is said where no tested class is of a shot that ``where`` holds."""
    return InputError(f"no tested class is {name}, so {name} cannot be held", where=where, hint=_MOVE)


def demand_possible(many: int, few: int, fail_under: str | None = None, max_drop: str | None = None) -> None:
    """Refuse boundaries that overlap, or a gate on a shot that no class can be of with them (UsageError)."""
    demand_bounds(many, few)
    for where, text in (("fail_under", fail_under), ("max_drop", max_drop)):
        for name in parse_gates(text, where) if text else ():
            if (name == "few" and few == 0) or (name == "medium" and few > many):
                what = f"no class can be {name} with many = {many} and few = {few}, so {name} cannot be held"
                raise UsageError(what, where=where, hint=_MOVE)


def why_idle(gate: Outcome, n_classes: int) -> str | None:
    """Why a gate cannot be missed, whatever the head says; None where it can, or a bar of nothing was set."""
    if gate["name"] == "top5" and n_classes <= 5:
        return f"of {n_classes} classes each is among the first five"
    most = gate["name"] in LOWER_IS_BETTER
    if "baseline" in gate and (gate["bar"] >= 1 if most else gate["bar"] <= _ROUNDING):
        way = "rise" if most else "fall"
        return f"from {100 * gate['baseline']:.1f} it cannot {way} by more than {100 * gate['max_drop']:g}"
    return None


def idle_gates(found: Sequence[Outcome]) -> list[str]:
    """One line for each gate that cannot be missed."""
    return [f"{one['head']}: {one['name']}, since {one['idle']}" for one in found if one.get("idle")]


def unpaired_gates(found: Sequence[Outcome]) -> list[str]:
    """One line for each reason why scores were held to a baseline without pairs, with their names; with the
    heads' where it does not hold for all."""
    why, heads = dict[str, dict[str, None]](), {one["head"] for one in found if "baseline" in one}
    for one in found:
        if one.get("unpaired"):
            alike = [it for it in found if (it["name"], it.get("unpaired")) == (one["name"], one["unpaired"])]
            name = one["name"] if {it["head"] for it in alike} == heads else f"{one['head']}: {one['name']}"
            why.setdefault(one["unpaired"], {})[name] = None
    return [f"{', '.join(names)}, since {reason}" for reason, names in why.items()]


def missed(found: Sequence[Outcome]) -> list[str]:
    """One line for each gate that was missed."""
    return [told(gate) for gate in found if not gate["passed"]]


def demand(found: Sequence[Outcome]) -> None:
    """Hold to the gates: GateMissed names every head and gate that was missed."""
    if lines := missed(found):
        raise GateMissed("gate missed", where="; ".join(lines))


def told(gate: Outcome) -> str:
    """A gate and what came of it, in one line."""
    return _held(gate) + (f", on samples that it was {gate['seen']} on" if gate.get("seen") else "")


def _held(gate: Outcome) -> str:
    subject = f"{gate['head']}: {gate['name']}"
    if "baseline" in gate:
        if gate["baseline_head"] != gate["head"]:
            subject = f"{gate['head']} against {gate['baseline_head']} of the baseline: {gate['name']}"
        return f"{subject} {_fall(gate)}"
    signs = (">", "≤") if gate["name"] in LOWER_IS_BETTER else ("<", "≥")
    return f"{subject} {_shown(gate['value'], gate['bar'])} {signs[gate['passed']]} {100 * gate['bar']:g}"


def _fall(gate: Outcome) -> str:
    """``fell by 2.1 points to 18.2, more than 1 (95 % interval of the change -4.1 to 0.4: inside …)``."""
    change, interval, now = gate["value"] - gate["baseline"], gate["interval"], f"{100 * gate['value']:.1f}"
    moved = f"{'fell' if change < 0 else 'rose'} by {abs(100 * change):.1f} points to {now}"
    way = "rise" if gate["name"] in LOWER_IS_BETTER else "fall"
    limit = f"{f'may {way} by' if gate['passed'] else 'more than'} {100 * gate['max_drop']:g}"
    told = f"{moved if change else f'stayed at {now}'}, {limit}"
    if interval is not None:
        noise = ": inside the noise" if interval["low"] <= 0 <= interval["high"] else ""
        low, high = (f"{100 * interval[end]:.1f}" for end in ("low", "high"))
        return f"{told} (95 % interval of the change {low} to {high}{noise})"
    return told if gate["paired"] else f"{told} (not paired: {gate['unpaired']})"


def _shown(value: float, bar: float) -> str:
    """The percentage with as many decimals as it takes to look on its own side of the bar."""
    found = [f"{100 * value:.{digits}f}" for digits in (1, 2, 4, 6)]
    return next((s for s in found if _sign(float(s) - 100 * bar) == _sign(value - bar)), found[-1])


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
