"""The library's names in messages, as the user of a command line would type them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer

from ltfix.cli import config, console
from ltfix.cli.progress import Lines
from ltfix.cli.signature import options
from ltfix.cli.spelling import spell, spell_error
from ltfix.errors import InputError, UsageError


def command(
    val_fraction: Annotated[float, typer.Option()] = 0.2,
    normalize: Annotated[str, typer.Option()] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    pretrained: Annotated[bool, typer.Option()] = True,
    few: Annotated[int, typer.Option()] = 20,
    compile_: Annotated[bool, typer.Option("--compile/--no-compile")] = False,
    fail_under: Annotated[str | None, typer.Option(metavar="SHOT=PERCENT,…")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
) -> None: ...


@pytest.fixture
def running():
    """As if ``command`` ran, with ``--set varaint=3``."""
    with config.started() as here:
        here.options, here.values = options(command), {"set_": ["varaint=3"], "normalize": "views"}
        yield here


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("use normalize=none", "use --normalize none"),
        ("normalize=none, or val_fraction=0.1.", "--normalize none, or --val-fraction 0.1."),
        ("(normalize=none): why", "(--normalize none): why"),
        ("overwrite=True replaces it", "--overwrite replaces it"),
        ("weights, or pretrained=False for random ones", "weights, or --no-pretrained for random ones"),
        ("compile=True", "--compile"),
        ("use cosine=learnable or fixed", "use --set cosine=learnable or fixed"),
        ("delta=0.9", "--set delta=0.9"),
        ("nesterov=False", "--set nesterov=false"),
        ("it is n_max / n_min", "it is n_max / n_min"),
        ("lr=1e-5..1e-1, delta=0.5,0.9", "lr=1e-5..1e-1, delta=0.5,0.9"),
        ("write few=20,all=45", "write few=20,all=45"),
        ("expected list:train=F,few=G", "expected list:train=F,few=G"),
        ("found 'a normalize=none'", "found 'a normalize=none'"),
        ("the model's normalize=none is the user's", "the model's --normalize none is the user's"),
        ("runs/normalize=none.npz", "runs/normalize=none.npz"),
        ("something=else stays", "something=else stays"),
        ("`pip install x normalize=none`", "`pip install x normalize=none`"),
        ("run `ltfix fit method=auto val_fraction=0.1`", "run `ltfix fit --method auto --val-fraction 0.1`"),
        ("--normalize none, --set delta=0.9, --overwrite", "--normalize none, --set delta=0.9, --overwrite"),
    ],
)
def test_pairs_are_spelled_as_options(running, text: str, spelled: str):
    assert spell(text) == spelled


@pytest.mark.parametrize(
    ("where", "spelled"),
    [
        ("val_fraction", "--val-fraction"),
        ("normalize=l2", "--normalize l2"),
        ("delta", "--set delta"),
        ("varaint", "--set varaint"),
        ("set", "--set"),
        ("compile", "--compile"),
        ("views", "views"),  # the user's own word, whatever it is
        ("samn", "samn"),
        ("los + class-aware", "los + class-aware"),
        (Path("few"), "few"),
        (Path("normalize=l2"), "normalize=l2"),
        ("--few", "--few"),
        ("lr 0.1", "lr 0.1"),
    ],
)
def test_a_bare_place_is_an_option_a_value_or_itself(running, where: object, spelled: str):
    assert spell_error(UsageError("no", where=where)) == f"no ({spelled})"


def test_a_whole_error(running):
    err = InputError("delta=2 is too much", where="normalize", hint="use normalize=none or overwrite=True")
    line = "--set delta=2 is too much (--normalize): use --normalize none or --overwrite"
    assert spell_error(err) == line
    gate = UsageError("few=300 is no percentage", where="fail_under", hint="write few=30")
    assert spell_error(gate) == "few=300 is no percentage (--fail-under): write few=30"
    assert spell_error(UsageError("no")) == "no"


def test_names_of_other_commands_stay():
    assert spell("normalize=none, delta=0.9") == "normalize=none, delta=0.9"
    assert spell_error(UsageError("no", where="delta")) == "no (delta)"


def test_notes_are_spelled_too(running, capsys: pytest.CaptureFixture[str]):
    console.note("normalize=none would do")
    assert capsys.readouterr().err == "ltfix: --normalize none would do\n"
    said: list[str] = []
    Lines(said.append).note("normalize=none would do")
    assert said == ["ltfix: --normalize none would do"]


def test_errors_of_a_command_are_spelled(probe, error):
    def act() -> None:
        raise UsageError("too much", where="weight_decay", hint="try weight_decay=0 or overwrite=True")

    probe.act = act
    assert error("probe") == (2, "too much (--weight-decay): try --weight-decay 0 or --overwrite")
