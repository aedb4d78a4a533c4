"""What commands that hold heads to gates have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltfix.cli import console
from ltfix.cli.boundary import say
from ltfix.errors import GateMissed

if TYPE_CHECKING:
    from ltfix.evaluation.result import Result


def demand(found: Result, *, noted: bool = False) -> None:
    """Say every gate that was missed, one a line; before, where what a head is held to says little of it.

    Args:
        found: what was held. noted: its notes were shown, so what they say of the gates is not said again.

    Raises:
        GateMissed: with the last line.
    """
    from ltfix.evaluation.gate import idle_gates, missed, told, unpaired_gates

    for head, theirs in sorted({(g["head"], g.get("baseline_head", g["head"])) for g in found.gates}):
        if head != theirs:
            console.note(f"{head} is held against {theirs} of the baseline")
    for head, seen in sorted({(g["head"], g["seen"]) for g in found.gates if g.get("seen")}):
        say(f"ltfix: {head} is held to samples that it was {seen} on: what passes there may fail on others")
    for line in () if noted else unpaired_gates(found.gates):
        say(f"ltfix: held to a baseline without pairs of samples: {line}")
    for line in () if noted else idle_gates(found.gates):
        say(f"ltfix: a gate cannot be missed: {line}")
    for gate in found.gates:
        if gate["passed"]:  # by how much is in no table
            console.note(f"gate held ({told(gate)})")
    lines = missed(found.gates)
    for line in lines[:-1]:
        say(f"ltfix: error: gate missed ({line})")
    if lines:
        raise GateMissed("gate missed", where=lines[-1])
