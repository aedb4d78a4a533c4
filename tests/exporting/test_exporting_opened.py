"""Files that are no exports, or hostile ones, are one line; folders of timm's own are taken."""

from __future__ import annotations

import copy
import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import ModelCard

import ltfix
from ltfix.errors import InputError, LtfixError
from ltfix.exporting.request import FORMATS, is_export


@pytest.fixture(scope="module")
def exports(project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export of each format."""
    folder, made = tmp_path_factory.mktemp("exports"), {}
    for to, ending in FORMATS.items():
        body = project("torchvision" if to == "torchvision" else "vit")
        more = {} if to in ("timm", "torchvision") else {"features": True}
        made[to] = folder / f"exported{ending}"
        ltfix.export(body.heads["linear"], made[to], cache=body.cache, to=to, **more)
    return made


def test_exports_are_told_from_heads_and_caches(exports, project, tmp_path: Path):
    assert all(is_export(path) for path in exports.values())
    cache = project("vit").cache
    for name in ("head.safetensors", "head"):
        project("vit").heads["linear"].save(tmp_path / name)
        assert not is_export(tmp_path / name)
    assert not is_export(cache.path)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_torn_export_is_one_line(exports, tmp_path: Path, to: str, damage: str):
    data = (exports[to] / "model.safetensors" if to == "timm" else exports[to]).read_bytes()
    torn = {"cut": data[: len(data) // 2], "empty": b"", "noise": bytes(range(256)) * 40}[damage]
    place = tmp_path / f"torn{FORMATS[to]}"
    if to == "timm":
        place.mkdir()
        (place / "config.json").write_bytes((exports[to] / "config.json").read_bytes())
        (place / "model.safetensors").write_bytes(torn)
    else:
        place.write_bytes(torn)
    with pytest.raises(InputError, match="torn"):
        ltfix.open_export(place)


def changed(program: Path, place: Path, entries: dict[str, bytes]) -> Path:
    """A .pt2 with entries that are others, or more."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(place, "w") as new:
        for name, data in ({entry.filename: old.read(entry) for entry in old.infolist()} | entries).items():
            new.writestr(name, data)
    return place


@pytest.mark.parametrize(
    "name",
    [
        "model/data/constants/custom_obj_0",
        "model/data/sample_inputs/model.pt",
        "model/data/a.so",
        "model/data/constants/opaque_obj_0/data/constants/tensor_0",
    ],
)
def test_a_program_with_pickled_objects_is_refused(exports, tmp_path: Path, name: str):
    place = changed(exports["torch-export"], tmp_path / "x.pt2", {name: b"cos\nsystem\n(S'true'\ntR."})
    with pytest.raises(InputError, match="more than tensors and a graph"):
        ltfix.open_export(place)


CODE = "__import__('pathlib').Path('ran').touch()"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expr_str", CODE),
        ("expr_str", {"x": CODE}),
        ("target", "torch.os.system"),
        ("target", "torch.ops.aten.from_file.default"),
        ("guards_code", [CODE]),
        ("in_spec", '[1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]'),
        ("use_pickle", True),
        ("path_name", "custom_obj_0"),
    ],
)
def test_a_program_that_runs_code_is_refused(exports, tmp_path: Path, monkeypatch, key: str, value: object):
    def put(found: object) -> object:
        if isinstance(found, dict):
            return {name: value if name == key else put(entry) for name, entry in found.items()}
        return [put(entry) for entry in found] if isinstance(found, list) else found

    with zipfile.ZipFile(exports["torch-export"]) as opened:
        texts = {name: opened.read(name) for name in opened.namelist() if name.endswith(("g.json", "l.json"))}
    packed = {name: json.dumps(put(json.loads(text)), separators=(",", ":")) for name, text in texts.items()}
    monkeypatch.chdir(tmp_path)
    place = changed(exports["torch-export"], tmp_path / "x.pt2", packed)
    with pytest.raises(InputError, match=f"more than tensors and a graph: {key}"):
        ltfix.open_export(place)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "ltfix-export/9"}, "newer"),
        ({"format": None}, "format"),
        ({"classes": "abc"}, "classes"),
        ({"model": "resnet9000"}, "no model"),
        ({"model": "resnet18"}, "tensors are not those"),
        ({"model_args": {"weights_path": "/etc/passwd"}}, "names a file"),
        ({"preprocess": None}, "no preprocessing"),
        ({"preprocess": {"image_size": 64}}, "crop_pct"),
    ],
)
def test_a_record_is_not_believed(exports, tmp_path: Path, change: dict, says: str):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(exports["torchvision"], "pt") as file:
        record = json.loads(file.metadata()["ltfix"])
    place = tmp_path / "changed.safetensors"
    save_file(load_file(exports["torchvision"]), place, {"ltfix": json.dumps({**record, **change})})
    with pytest.raises(LtfixError, match=says):
        ltfix.open_export(place)


def test_as_many_logits_as_classes(exports):
    opened = dataclasses.replace(ltfix.open_export(exports["onnx"]), classes=("a", "b"))
    with pytest.raises(InputError, match="2 class names"):
        opened.logits(np.zeros((2, 24), np.float32))


def test_what_is_no_export(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        ltfix.open_export(tmp_path / "nothing.onnx")
    for name in ("x", "x.pth"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputError, match="not an export"):
            ltfix.open_export(tmp_path / name)
    with pytest.raises(InputError, match=r"config\.json"):
        ltfix.open_export(tmp_path)


def test_a_folder_that_timm_wrote(tmp_path: Path):
    model = timm.create_model("test_vit", num_classes=3)
    timm.models.save_for_hf(
        model.eval(), tmp_path / "own", model_config={"label_names": ["a", "b", "c"]}, safe_serialization=True
    )
    opened = ltfix.open_export(tmp_path / "own")
    assert opened.classes == ("a", "b", "c")
    assert opened.preprocess.image_size == 160
    grey = np.full((1, 160, 160, 3), 255, np.uint8)
    expected = model(torch.ones(1, 3, 160, 160)).detach().numpy()  # mean and std are 0.5
    assert np.allclose(opened.logits(grey), expected, atol=1e-4)


def test_a_file_that_a_head_names_is_not_run(project, tmp_path: Path, monkeypatch):
    made = project("vit")
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("open('ran', 'w').close()\nMETHOD = None\n")
    head = dataclasses.replace(made.heads["linear"], method="own.py:METHOD")
    ltfix.export(head, "m", cache=made.cache)
    assert not Path("ran").exists()


def test_the_card_holds_hostile_names(project, tmp_path: Path):
    made = project("vit")
    head = dataclasses.replace(
        made.heads["linear"],
        method="<script>|x\n---",
        classes=("a|b", "<b>", "---\nx: y".replace("\n", " ")),
        meta={**made.heads["linear"].meta, "selection": {"by": "<img src=x>", "epoch": 3}},
    )
    ltfix.export(head, tmp_path / "m", cache=made.cache, test=made.cache.path.parent / "test")
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)  # as the hub reads it
    assert card.data.library_name == "timm"
    body = card.text
    assert "<script>" not in body.replace("\\<", "")
    assert "<img" not in body.replace("\\<", "")
    assert "Not measured here" in body  # the head's class names are not the test features'


def test_the_card_tells_what_chose_the_head_and_not_what_was_tried(project, tmp_path: Path):
    made = project("vit")
    told = {
        "by": "mean class accuracy",
        "on": "class-wise cuts",
        "epoch": "last",
        "score": 0.9,
        "chosen": ["lr"],
    }
    selection = {
        **told,
        "start_score": 0.805,
        "tried": [{"lr": 0.1, "score": 0.9}] * 24,
        "auto": {"tried": [1]},
    }
    head = dataclasses.replace(
        made.heads["linear"], meta={**made.heads["linear"].meta, "selection": selection}
    )
    ltfix.export(head, tmp_path / "m", cache=made.cache)
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| selected"))
    assert row == (
        "| selected | by mean class accuracy, on class-wise cuts, 90.0%, where it began 80.5%, chosen: lr; "
        "the choice was made there, which flatters it |"
    )
    assert "SHA-256 of the body's tensors, not of the file" in text


def test_the_card_tells_the_temperature_and_no_advice(project, tmp_path: Path):
    made = project("vit")
    head = dataclasses.replace(made.heads["linear"], temperature=np.full(3, 1.25, np.float32))
    ltfix.export(head, tmp_path / "m", cache=made.cache, test=made.cache.path)
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "temperature | 1.25, chosen on" in text
    assert "In percent on" in text
    assert "No row of stage 1" not in text
    assert ("\n| samn |" in text, "\n| stage-1 |" in text) == (True, False)
    known = dataclasses.replace(head, meta={**head.meta, "cache": made.cache.identity})
    cache = copy.copy(made.cache)
    cache.head = dataclasses.replace(head, method="stage-1", temperature=None)
    ltfix.export(known, tmp_path / "n", cache=cache, test=made.cache.path)
    text = (tmp_path / "n" / "README.md").read_text(encoding="utf-8")
    assert text.index("\n| stage-1 |") < text.index("\n| samn |")
