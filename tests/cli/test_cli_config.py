from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ltfix import cli
from ltfix.cli import config, console
from ltfix.cli.configfile import may_set, read_tables
from ltfix.errors import Unused, UsageError

Error = Callable[..., tuple[int, str]]


def write(text: str, name: str = "ltfix.toml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_precedence_is_option_environment_file_default(probe, monkeypatch):
    assert cli.run(["probe"]) == 0
    assert probe.values["method"] == "samn"
    assert "method" not in probe.origins

    write('[probe]\nmethod = "los"\n')
    assert cli.run(["probe"]) == 0
    assert (probe.values["method"], probe.origins["method"]) == ("los", "file")

    monkeypatch.setenv("LTFIX_PROBE_METHOD", "ce")
    assert cli.run(["probe"]) == 0
    assert (probe.values["method"], probe.origins["method"]) == ("ce", "environment")

    assert cli.run(["probe", "--method", "ncm"]) == 0
    assert (probe.values["method"], probe.origins["method"]) == ("ncm", "option")


def test_an_option_typed_with_its_default_value_counts_as_typed(probe):
    write('[probe]\nmethod = "los"\n')
    assert cli.run(["probe", "--method", "samn"]) == 0
    assert (probe.values["method"], probe.origins["method"]) == ("samn", "option")


def test_shared_keys_serve_every_command_and_give_way_to_its_own(probe, monkeypatch):
    write('seed = 3\nwork = "w"\nthreads = 2\ndevice = "cpu"\n[probe]\nthreads = 5\n')
    assert cli.run(["probe"]) == 0
    assert (probe.values["seed"], probe.values["work"], probe.values["threads"]) == (3, Path("w"), 5)

    monkeypatch.setenv("LTFIX_SEED", "4")
    assert cli.run(["probe"]) == 0
    assert probe.values["seed"] == 4
    monkeypatch.setenv("LTFIX_PROBE_SEED", "5")
    assert cli.run(["probe"]) == 0
    assert (probe.values["seed"], probe.origins["seed"]) == (5, "environment")


def test_keys_are_written_with_either_dash(probe):
    write("[probe]\nweight-decay = 1\n")
    assert cli.run(["probe"]) == 0
    assert probe.values["weight_decay"] == 1.0
    write("[probe]\nweight_decay = 2e-4\n")
    assert cli.run(["probe"]) == 0
    assert probe.values["weight_decay"] == 2e-4


def test_booleans_lists_tables_and_numbers(probe):
    write('[probe]\nflip = false\nextra = ["a", "b"]\nmethod = 7\n[probe.set]\ntau = 0.7\nkeep = true\n')
    assert cli.run(["probe"]) == 0
    assert probe.values["flip"] is False
    assert probe.values["extra"] == [Path("a"), Path("b")]
    assert probe.values["method"] == "7"
    assert probe.values["set_"] == ["tau=0.7", "keep=true"]
    assert probe.origins["set"] == "file"


def test_lists_and_booleans_from_the_environment(probe, monkeypatch):
    monkeypatch.setenv("LTFIX_PROBE_SET", "tau=0.7 keep=1")
    monkeypatch.setenv("LTFIX_PROBE_EXTRA", os.pathsep.join(["a", "b c"]))
    monkeypatch.setenv("LTFIX_PROBE_FLIP", "no")
    assert cli.run(["probe"]) == 0
    assert probe.values["set_"] == ["tau=0.7", "keep=1"]
    assert probe.values["extra"] == [Path("a"), Path("b c")]
    assert probe.values["flip"] is False


def test_paths_are_relative_to_the_file(probe):
    Path("sub/run").mkdir(parents=True)
    path = write(
        'work = "w"\n[probe]\nval = "v"\nextra = ["/abs", "e"]\n'
        'data = "list:train=a.txt,test=b.txt"\nbackbone = "run"\n',
        "sub/ltfix.toml",
    )
    assert cli.run(["probe", "--config", str(path)]) == 0
    assert probe.values["val"] == Path("sub/v")
    assert probe.values["work"] == Path("sub/w")
    assert probe.values["extra"] == [Path("/abs"), Path("sub/e")]
    assert probe.values["data"] == "list:train=sub/a.txt,test=sub/b.txt"
    assert probe.values["backbone"] == "sub/run"


@pytest.mark.parametrize(("said", "meant"), [("true", "one"), ("false", None), ('"shots"', "shots")])
def test_an_option_that_may_stand_alone_may_be_true_or_false(probe, said: str, meant: str | None):
    path = write(f"[fit]\ncalibrate = {said}\n")
    assert read_tables(path, "fit", may_set("fit"))[1] == {"calibrate": meant}


def test_names_that_are_no_path_stay(probe):
    write('[probe]\nbackbone = "resnet50.a1_in1k"\ndata = "photos"\nval = "-"\n', "sub/x.toml")
    assert cli.run(["probe", "--config=sub/x.toml"]) == 0
    assert probe.values["backbone"] == "resnet50.a1_in1k"
    assert probe.values["data"] == "sub/photos"
    assert probe.values["val"] == Path("-")


def test_config_is_named_before_the_command_too_and_by_the_environment(probe, monkeypatch):
    write('[probe]\nmethod = "los"\n', "a.toml")
    assert cli.run(["--config", "a.toml", "probe"]) == 0
    assert probe.values["method"] == "los"
    monkeypatch.setenv("LTFIX_CONFIG", "a.toml")
    assert cli.run(["probe"]) == 0
    assert probe.values["method"] == "los"


@pytest.mark.parametrize("way", ["--work p", "--work=p", "LTFIX_WORK", "LTFIX_PROBE_WORK"])
def test_the_file_of_the_project_that_work_names_is_read(probe, monkeypatch, capsys, way: str):
    write('[probe]\nmethod = "los"\nval = "v"\nwork = "elsewhere"\n', "p/ltfix.toml")
    argv = ["probe", *way.split()] if way.startswith("-") else ["probe"]
    if len(argv) == 1:
        monkeypatch.setenv(way, "p")
    assert cli.run(argv) == 0
    assert (probe.values["method"], probe.values["val"]) == ("los", Path("p/v"))
    assert (probe.values["work"], probe.origins["method"]) == (Path("p"), "file")
    assert capsys.readouterr().err == ""


def test_of_two_files_that_of_the_working_folder_is_read_and_told(probe, monkeypatch, capsys):
    write('[probe]\nmethod = "los"\n')
    write('[probe]\nmethod = "ce"\n', "p/ltfix.toml")
    line = "ltfix: ltfix.toml is read, p/ltfix.toml is not: --config names another\n"
    assert cli.run(["probe", "--work", "p"]) == 0
    assert (probe.values["method"], capsys.readouterr().err) == ("los", line)
    assert cli.run(["probe", "--work", "p", "--config", "p/ltfix.toml"]) == 0
    assert (probe.values["method"], capsys.readouterr().err) == ("ce", "")
    monkeypatch.chdir("p")
    assert cli.run(["probe", "--work", "../p"]) == 0
    assert (probe.values["method"], capsys.readouterr().err) == ("ce", "")


def test_a_folder_of_the_files_name_in_work_is_not_the_file(probe, capsys):
    Path("p/ltfix.toml").mkdir(parents=True)
    assert cli.run(["probe", "--work", "p"]) == 0
    write('[probe]\nmethod = "los"\n')
    assert cli.run(["probe", "--work", "p"]) == 0
    assert (probe.values["method"], capsys.readouterr().err) == ("los", "")


def test_other_commands_tables_set_nothing(probe):
    write('[fit]\nmethod = "los"\n[train_backbone]\nepochs = 1\n')
    assert cli.run(["probe"]) == 0
    assert probe.values["method"] == "samn"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[probe]\nepoch = 3\n", "unknown key 'epoch' (ltfix.toml, [probe]): did you mean epochs?"),
        (
            "[fit]\nfeature-scal = 3\n",
            "unknown key 'feature-scal' (ltfix.toml, [fit]): did you mean feature-scale?",
        ),
        (
            "[train_backbone]\nresum = 1\n",
            "unknown key 'resum' (ltfix.toml, [train_backbone]): did you mean resume?",
        ),
        ("[fit]\nseeds = true\n", "expected a whole number, found true (ltfix.toml, [fit] seeds)"),
        ("[prob]\nepochs = 3\n", "unknown table 'prob' (ltfix.toml): did you mean probe?"),
        (
            'fail-under = "few=1"',
            "unknown key 'fail-under' (ltfix.toml): it belongs to [evaluate] or [compare]",
        ),
        (
            "[fit]\nrandom-layers = 1",
            "unknown key 'random-layers' (ltfix.toml, [fit]): it belongs to [evaluate]",
        ),
        ("thread = 3\n", "unknown key 'thread' (ltfix.toml): did you mean threads?"),
        ("probe = 3\n", "'probe' is a table, not a key (ltfix.toml): write [probe] above its keys"),
        ('[probe]\nepochs = "3"\n', 'expected a whole number, found "3" (ltfix.toml, [probe] epochs)'),
        ("[probe]\nepochs = 1.5\n", "expected a whole number, found 1.5 (ltfix.toml, [probe] epochs)"),
        ("[probe]\nepochs = true\n", "expected a whole number, found true (ltfix.toml, [probe] epochs)"),
        (
            "[probe]\nweight-decay = []\n",
            "expected a number, found a list (ltfix.toml, [probe] weight-decay)",
        ),
        ("[probe]\nmethod = true\n", "expected a string, found true (ltfix.toml, [probe] method)"),
        ("[probe]\nflip = 1\n", "expected true or false, found 1 (ltfix.toml, [probe] flip)"),
        ("[probe]\nval = 1\n", "expected a string, found 1 (ltfix.toml, [probe] val)"),
        ('seed = "x"\n', 'expected a whole number, found "x" (ltfix.toml, seed)'),
        (
            "[probe]\nweight-decay = 1\nweight_decay = 2\n",
            "weight-decay and weight_decay are the same key (ltfix.toml, [probe]): leave one of them out",
        ),
        (
            "[train-backbone]\n[train_backbone]\n",
            "train-backbone and train_backbone are the same key (ltfix.toml): leave one of them out",
        ),
        (
            "[fit.set]\nstage1-scale = 1\nstage1_scale = 2\n",
            "stage1-scale and stage1_scale are the same key (ltfix.toml, [fit] set): leave one of them out",
        ),
        (
            '[predict]\nhead = "ce"\n',
            "unknown key 'head' (ltfix.toml, [predict]): HEAD_OR_EXPORT is given by place, and has no "
            "option, key or variable",
        ),
        (
            '[evaluate]\nhead = "ce"\n',
            "unknown key 'head' (ltfix.toml, [evaluate]): HEAD is given by place, and has no option, key or "
            "variable",
        ),
    ],
)
def test_wrong_files_are_usage_errors_with_file_and_key(probe, error: Error, text, line):
    write(text)
    assert error("probe") == (2, line)


def test_a_value_out_of_range_names_the_file(probe, error: Error):
    write("[probe]\nepochs = 0\n")
    code, line = error("probe")
    assert code == 2
    assert "ltfix.toml, [probe] epochs" in line


def test_a_value_out_of_range_in_the_environment_says_so(probe, error: Error, monkeypatch):
    monkeypatch.setenv("LTFIX_PROBE_EPOCHS", "many")
    code, line = error("probe")
    assert code == 2
    assert "not a whole number (LTFIX_PROBE_EPOCHS in the environment)" in line
    monkeypatch.setenv("LTFIX_PROBE_EPOCHS", "0")
    code, line = error("probe")
    assert code == 2
    assert "out of range (LTFIX_PROBE_EPOCHS in the environment): it must be at least 1" in line
    monkeypatch.setenv("LTFIX_PROBE_FLIP", "perhaps")
    code, line = error("probe")
    assert code == 2
    assert "--flip" in line
    assert "(LTFIX_PROBE_FLIP in the environment)" in line


def test_a_missing_or_broken_file_is_bad_input(probe, error: Error):
    assert error("probe", "--config", "no.toml") == (
        3,
        "no such configuration file (no.toml): `ltfix init` writes one",
    )
    write("[probe\n")
    code, line = error("probe")
    assert code == 3
    assert line.startswith("not a TOML file: ")
    assert line.endswith("(ltfix.toml)")
    Path("ltfix.toml").write_bytes(b"\xff\xfe")
    assert error("probe")[0] == 3


def test_help_needs_no_valid_file(probe, capsys):
    write("[probe]\nepoch = 3\n")
    assert cli.run(["probe", "--help"]) == 0
    assert "--weight-decay" in capsys.readouterr().out


def test_a_variable_that_is_no_option_is_an_error_as_a_key_is(probe, error: Error, monkeypatch):
    monkeypatch.setenv("LTFIX_PROBE_EPOCH", "3")
    assert error("probe") == (
        2,
        "LTFIX_PROBE_EPOCH is no option of ltfix probe: did you mean LTFIX_PROBE_EPOCHS?",
    )
    monkeypatch.delenv("LTFIX_PROBE_EPOCH")
    monkeypatch.setenv("LTFIX_PROBE_CACHE", "train.npz")
    assert error("probe")[1].endswith(
        "ltfix probe: PATH is given by place, and has no option, key or variable"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LTFIX_PROEB_WEIGHT_DECAY", "LTFIX_PROBE_WEIGHT_DECAY"),
        ("LTFIX_PROB_EPOCH", "LTFIX_PROBE_EPOCHS"),
        ("LTFIX_EXTRA", "LTFIX_PROBE_EXTRA"),
        ("LTFIX_WEIGHT_DECAY", "LTFIX_PROBE_WEIGHT_DECAY"),
        ("LTFIX_FORMAT", "LTFIX_PROBE_FORMAT"),
        ("LTFIX_QIUET", "LTFIX_QUIET"),
    ],
)
def test_a_misspelt_variable_of_no_command_is_an_error(
    probe, error: Error, monkeypatch, name: str, meant: str
):
    monkeypatch.setenv(name, "1")
    line = f"{name} in the environment sets nothing: did you mean {meant}?"
    assert error("probe", "--quiet") == (2, line)


def test_variables_of_other_commands_and_of_the_user_are_none_of_ours(probe, monkeypatch, capsys):
    for name in (
        "EVALUATE_FAIL_UNDER",
        "TRAIN_BACKBONE_EPOCHS",
        "DEVICE",
        "EXTENSION",
        "SHARED",
        "BUILD_STRICT",
    ):
        monkeypatch.setenv(f"LTFIX_{name}", "1")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""
    others = ["EVALUATE_FAILUNDER", "EXTRAS", "FIT_CACHE", "FIT_EPOCH", "RELEASE"]  # --extra is an option
    for name in others:
        monkeypatch.setenv(f"LTFIX_{name}", "1")
    assert cli.run(["probe"]) == 0
    said = [f"ltfix: LTFIX_{name} in the environment sets nothing" for name in others]
    assert capsys.readouterr().err.splitlines() == said


def test_quiet_serves_every_command_from_file_and_environment(probe, monkeypatch, capsys):
    probe.act = lambda: console.note("a note")
    write("quiet = true\n")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""
    Path("ltfix.toml").unlink()
    monkeypatch.setenv("LTFIX_QUIET", "1")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""


def test_unused_options_typed_are_errors_and_others_are_notes(probe, error: Error, monkeypatch, capsys):
    probe.act = lambda: console.refuse_unused(["weight_decay", "epochs"], "method tau-norm")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""
    write("[probe]\nepochs = 3\n")
    monkeypatch.setenv("LTFIX_PROBE_WEIGHT_DECAY", "0.1")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == (
        "ltfix: --weight-decay from the environment is not used: method tau-norm has no use for it\n"
        "ltfix: --epochs from ltfix.toml is not used: method tau-norm has no use for it\n"
    )
    probe.act = lambda: console.refuse_unused(["epochs"], "method tau-norm")
    assert error("probe", "--epochs", "3") == (
        2,
        "method tau-norm has no use for it (--epochs): leave it out",
    )


def test_what_the_library_has_no_use_for_is_left_out_unless_typed(probe, error: Error, monkeypatch, capsys):
    def act() -> None:
        console.note("once")
        if probe.values["epochs"]:
            raise Unused("nothing is fitted", where="epochs")
        if not probe.values["flip"]:
            raise Unused("nothing is flipped", where="flip")
        if "tau=1" in (probe.values["set_"] or []):
            raise Unused("nothing has a tau", where="set", values=["tau"])

    probe.act = act
    write('[probe]\nepochs = 3\nflip = false\nset = ["tau=1", "lr=2"]\n')
    assert cli.run(["probe"]) == 0
    assert (probe.values["epochs"], probe.values["set_"]) == (None, ["lr=2"])
    assert capsys.readouterr().err == (
        "ltfix: once\n"
        "ltfix: --epochs from ltfix.toml is not used: nothing is fitted\n"
        "ltfix: --no-flip from ltfix.toml is not used: nothing is flipped\n"
        "ltfix: --set from ltfix.toml is not used: nothing has a tau\n"
    )
    monkeypatch.setenv("LTFIX_QUIET", "1")
    assert error("probe", "--epochs", "2")[1] == "nothing is fitted (--epochs): leave it out"
    assert error("probe", "--set", "tau=1")[1] == "nothing has a tau (--set): leave it out"


def test_what_is_set_for_every_command_is_never_noted_as_unused(probe, monkeypatch, capsys):
    probe.act = lambda: console.refuse_unused(["seed", "threads"], "method tau-norm")
    write("seed = 3\nthreads = 2\n")
    monkeypatch.setenv("LTFIX_SEED", "4")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("LTFIX_PROBE_SEED", "5")
    write("threads = 2\n[probe]\nthreads = 3\n")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == (
        "ltfix: --seed from the environment is not used: method tau-norm has no use for it\n"
        "ltfix: --threads from ltfix.toml is not used: method tau-norm has no use for it\n"
    )


def test_empty_variables_set_nothing(probe, monkeypatch):
    write("[probe]\nepochs = 3\n")
    monkeypatch.setenv("LTFIX_PROBE_EPOCHS", "")
    monkeypatch.setenv("LTFIX_SEED", "")
    assert cli.run(["probe"]) == 0
    assert (probe.values["epochs"], probe.values["seed"]) == (3, 0)
    assert probe.origins == {"epochs": "file"}


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        ([""], "PATH"),
        (["--overwrite", ""], "PATH"),
        (["a.npz", "--val", ""], "--val"),
        (["--val="], "--val"),
        (["--extra", "a", "--extra", ""], "--extra"),
        (["--data", ""], "--data"),
        (["--config", ""], "--config"),
    ],
)
def test_an_empty_path_is_refused_by_name(probe, error: Error, argv: list[str], what: str):
    assert error("probe", *argv) == (2, f"empty {what}: a path belongs there")


def test_other_texts_may_be_empty(probe, error: Error):
    assert cli.run(["probe", "--method", "", "--set", "a="]) == 0
    assert (probe.values["method"], probe.values["set_"]) == ("", ["a="])
    write('[probe]\nval = ""\n')
    assert error("probe") == (2, "empty (ltfix.toml, [probe] val): a path belongs there")


def test_numbers_are_a_list_or_a_text(probe, error: Error):
    for text in ("[0.5, 1, 0.25]", '"0.5,1,0.25"'):
        write(f"[probe]\nmean = {text}\n")
        assert cli.run(["probe"]) == 0
        assert probe.values["mean"] == (0.5, 1.0, 0.25)
    for text, found in (('[0.5, "x"]', "0.5,x"), ("[0.5, nan]", "0.5,nan"), ("[[0.5], 1]", "[0.5],1")):
        write(f"[probe]\nmean = {text}\n")
        assert error("probe") == (
            2,
            f"expected numbers like 0.5,0.5,0.5, found '{found}' (ltfix.toml, [probe] mean)",
        )


def test_a_wrong_variable_is_blamed_by_its_own_name(probe, error: Error, monkeypatch):
    monkeypatch.setenv("LTFIX_SEED", "abc")
    code, line = error("probe")
    assert (code, "(LTFIX_SEED in the environment)" in line) == (2, True), line
    monkeypatch.setenv("LTFIX_PROBE_SEED", "")
    assert "(LTFIX_SEED in the environment)" in error("probe")[1]
    monkeypatch.setenv("LTFIX_PROBE_SEED", "xyz")
    assert "(LTFIX_PROBE_SEED in the environment)" in error("probe")[1]
    monkeypatch.setenv("LTFIX_PROBE_SEED", "3")
    assert cli.run(["probe"]) == 0
    assert probe.values["seed"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "[probe]\nset = " + "[" * 3000 + "]" * 3000,
        "[probe]\nset = " + "{a=" * 3000 + "1" + "}" * 3000,
        "[probe.set]\n" + ".".join("a" * 3000) + " = 1",
        "[" + ".".join("a" * 3000) + "]",
        "[probe]\nmean = " + "[" * 200 + "]" * 200,
    ],
    ids=["lists", "tables", "keys", "titles", "numbers"],
)
def test_a_deep_file_is_one_line(probe, error: Error, text: str):
    write(text)
    code, line = error("probe")
    assert code in (2, 3)
    assert "ltfix.toml" in line
    assert "unexpected" not in line


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
def test_only_a_regular_file_is_read(probe, error: Error, tmp_path: Path):
    place = tmp_path / "ltfix.toml"
    said = (3, "is a folder or a device, not a file (ltfix.toml)")
    place.mkdir()
    assert error("probe") == said
    place.rmdir()
    os.mkfifo(place)
    assert error("probe") == error("probe", "--config", "ltfix.toml") == said
    place.unlink()
    place.symlink_to("nowhere")
    assert error("probe")[1].startswith("no such configuration file (ltfix.toml)")


def test_outside_a_command_everything_is_default():
    assert config.origin("epochs") == "default"
    assert config.current().origins == {}
    console.refuse_unused(["epochs"], "anything")
    with pytest.raises(UsageError), config.started() as here:
        here.origins["epochs"] = "option"
        console.refuse_unused(["epochs"], "anything")
