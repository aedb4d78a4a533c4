"""What commands that hold heads to gates have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltfix.cli.boundary import say
from ltfix.cli.options import GateOptions
from ltfix.errors import GateMissed, UsageError

if TYPE_CHECKING:
    from ltfix.evaluation.result import Result


def demand_form(form: str, gates: GateOptions) -> None:
    """Refuse, before the work, a format of gates where there is none.

    Raises:
        UsageError: no gate, and the format shows nothing else.
    """
    if form == "junit" and not gates.given:
        raise UsageError(
            "junit shows gates, and there is none", where="format=junit", hint="give fail_under=few=20"
        )


def demand(found: Result) -> None:
    """Say every gate that was missed, one a line.

    Raises:
        GateMissed: with the last line.
    """
    from ltfix.evaluation.gate import missed

    lines = missed(found.gates)
    for line in lines[:-1]:
        say(f"ltfix: error: gate missed ({line})")
    if lines:
        raise GateMissed("gate missed", where=lines[-1])
