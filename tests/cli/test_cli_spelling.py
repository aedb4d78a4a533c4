"""The library's names in messages, as the user of a command line would type them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import pytest

from ltfix.bars import ProgressLines
from ltfix.cli import config, console
from ltfix.cli.signature import options
from ltfix.cli.spelling import spell, spell_error
from ltfix.errors import InputError, UsageError
from ltfix.files import os_errors
from ltfix.option import Option


def command(
    *,
    val_fraction: Annotated[float, Option("f")] = 0.2,
    normalize: Annotated[str, Option("n")] = "auto",
    overwrite: Annotated[bool, Option("o")] = False,
    pretrained: Annotated[bool, Option("p", negatable=True)] = True,
    few: Annotated[int, Option("f")] = 20,
    compile: Annotated[bool, Option("c", negatable=True)] = False,
    fail_under: Annotated[str | None, Option("u", metavar="SHOT=PERCENT,…")] = None,
    model_args: Annotated[list[str] | None, Option("m", flag="model-arg")] = None,
    set_: Annotated[list[str] | None, Option("s", flag="set", metavar="KEY=VALUE")] = None,
) -> None: ...


@pytest.fixture
def running():
    """As if ``command`` ran, with ``--set varaint=3``."""
    with config.started() as here:
        here.options, here.values = options(command), {"set": ["varaint=3"], "normalize": "views"}
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
        (
            "run `ltfix.fit(TRAIN, method='auto', val_fraction=0.1)`",
            "run `ltfix fit TRAIN --method auto --val-fraction 0.1`",
        ),
        (
            """`ltfix.evaluate([TRAIN, "a b"], max_drop="few=1,all=2", a=1e-3).render("json")`""",
            "`ltfix evaluate TRAIN 'a b' --max-drop few=1,all=2 --a 1e-3 --format json --output last.json`",
        ),
        (
            "`ltfix.train_backbone(..., overwrite=True, pretrained=False)`",
            "`ltfix train-backbone … --overwrite --no-pretrained`",
        ),
        ("`ltfix.import_features(['a', 'b'], out='c')`", "`ltfix import a b --out c`"),
        (
            "`ltfix.Head(weight, bias` `ltfix fit` `ltfix.fit`",
            "`ltfix.Head(weight, bias` `ltfix fit` `ltfix.fit`",
        ),
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
        ("model_args", "--model-arg"),
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
    ProgressLines(said.append, clean=console.one_line).note("normalize=none would do")
    assert said == ["ltfix: --normalize none would do"]


def test_errors_of_a_command_are_spelled(probe, error):
    def act() -> None:
        raise UsageError("too much", where="weight_decay", hint="try weight_decay=0 or overwrite=True")

    probe.act = act
    assert error("probe") == (2, "too much (--weight-decay): try --weight-decay 0 or --overwrite")


def test_a_path_is_no_value_of_a_method(probe, error):
    """A method has a value called ``heads``, which is a folder too."""

    def act() -> None:
        with os_errors("x"):
            raise OSError(errno.EROFS, "", "heads")

    probe.act = act
    hint = "choose a folder that you may write to"
    assert error("probe") == (4, f"the file system is read-only (heads): {hint}")


def test_a_place_that_was_not_typed_is_where_it_stands(probe, error, monkeypatch: pytest.MonkeyPatch):
    def act() -> None:
        raise UsageError("too much", where="weight_decay")

    probe.act = act
    Path("ltfix.toml").write_text("[probe]\nweight-decay = 3\n")
    assert error("probe") == (2, "too much (ltfix.toml, [probe] weight-decay)")
    monkeypatch.setenv("LTFIX_PROBE_WEIGHT_DECAY", "3")
    assert error("probe") == (2, "too much (LTFIX_PROBE_WEIGHT_DECAY in the environment)")
    assert error("probe", "--weight-decay", "3") == (2, "too much (--weight-decay)")
